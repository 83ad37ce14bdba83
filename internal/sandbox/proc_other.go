//go:build unix && !linux

package sandbox

import (
	"os/exec"
	"syscall"
)

// setParentDeathSignal can only set the process group here: elsewhere than on
// Linux a server may outlive a process that is killed with SIGKILL.
func setParentDeathSignal(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// waitStopped does not wait here: threads may still run for a moment.
func waitStopped(*Process) error { return nil }
