package sandbox

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// forker starts processes from one thread that lives as long as any of them.
// With Pdeathsig the kernel kills a child when the *thread* that forked it ends,
// and the runtime ends threads as it likes; a locked thread is safe.
type forker struct {
	mu       sync.Mutex // guards all below
	alive    int        // processes not yet waited for
	requests chan forkRequest
}

type forkRequest struct {
	cmd   *exec.Cmd
	reply chan error
}

var processes forker

// start starts cmd so that it dies with this process.
func (f *forker) start(cmd *exec.Cmd) error {
	f.mu.Lock()
	if f.alive == 0 {
		f.requests = make(chan forkRequest)
		go forkLoop(f.requests)
	}
	f.alive++
	requests := f.requests
	f.mu.Unlock()

	setParentDeathSignal(cmd)
	reply := make(chan error)
	requests <- forkRequest{cmd, reply}
	err := <-reply
	if err != nil {
		f.ended()
	}
	return err
}

// ended notes that a started process has been waited for.
func (f *forker) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive--
	if f.alive == 0 {
		close(f.requests)
	}
}

func forkLoop(requests <-chan forkRequest) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for r := range requests {
		r.reply <- r.cmd.Start()
	}
}

// Process is a started program that cannot outlive this process.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done is closed
}

// StartProcess starts cmd in a process group of its own, so that a Ctrl-C at the
// terminal reaches this process only. The kernel kills it (SIGKILL) when this
// process ends, however it does.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if err := processes.start(cmd); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		processes.ended()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended, as of (*exec.Cmd).Wait. It blocks until then.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal. It is safe against the id having been given to another
// process, and returns os.ErrProcessDone after the end.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Pause freezes the process (SIGSTOP) and returns when all its threads stand still.
func (p *Process) Pause() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return waitStopped(p)
}

// Kill ends the process with SIGKILL and waits for the end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}
