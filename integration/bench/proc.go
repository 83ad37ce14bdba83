package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// residentMemory is a process's resident set in bytes.
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseResident(string(text))
}

func parseResident(status string) (float64, error) {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 53)
			return float64(kib) * 1024, err
		}
	}
	return 0, errors.New("/proc/PID/status has no VmRSS")
}

// firstLine is what follows prefix in the first line of a file that begins with
// it; empty where there is none.
func firstLine(path, prefix string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
