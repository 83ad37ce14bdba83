package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat, 1/USER_HZ, which is the
// same on all of Linux's architectures.
const clockTick = 10 * time.Millisecond

// cpuTime is what a process has used of the processors, in its own code and in
// the kernel, by all its threads, those that ended included. proc(5).
func cpuTime(pid int) (user, system time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (user, system time.Duration, err error) {
	// The second field is the name in parentheses, which may hold anything.
	_, rest, ok := cutLast(text, ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return 0, 0, errors.New("/proc/PID/stat is not as proc(5) says")
	}
	u, err1 := strconv.ParseUint(f[11], 10, 63)
	s, err2 := strconv.ParseUint(f[12], 10, 63)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	return time.Duration(u) * clockTick, time.Duration(s) * clockTick, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

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
