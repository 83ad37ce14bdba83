package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// startTime returns when a process was started, in clock ticks since boot
// (proc_pid_stat(5), field 22), or os.ErrProcessDone.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, os.ErrProcessDone
	}
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; the third field follows it.
	_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: unexpected %q", pid, stat)
	}
	if s := fields[0][0]; s == 'Z' || s == 'X' {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// processesWith returns the running processes that have an argument that begins
// with prefix.
func processesWith(prefix string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, err := os.ReadFile("/proc/" + e.Name() + "/cmdline") // empty for a zombie
		if err == nil && (bytes.HasPrefix(args, []byte(prefix)) || bytes.Contains(args, []byte("\x00"+prefix))) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
