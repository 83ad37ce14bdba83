package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// haproxyTarget is HAProxy in TCP mode before one server. threads 0 leaves the
// default, one for each core. It is left as Debian builds it, without logs,
// health checks or timeouts that would matter, which costs it the least.
func haproxyTarget(name, dir, server string, threads int) *target {
	return &target{name: name, start: func(t *target) error {
		program, err := find("haproxy")
		if err != nil {
			return fmt.Errorf("%w: run `make setup-bench`", err)
		}
		port, err := sandbox.FreePort()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		t.addr = fmt.Sprint("127.0.0.1:", port)
		conf := filepath.Join(dir, "haproxy.cfg")
		if err := os.WriteFile(conf, []byte(haproxyConfig(t.addr, server, threads, haproxyMaxConn())), 0o600); err != nil {
			return err
		}
		t.proxy, err = startLogged(exec.Command(program, "-db", "-f", conf), filepath.Join(dir, "log"))
		if err != nil {
			return err
		}
		return t.waitListening(filepath.Join(dir, "log"))
	}}
}

func haproxyConfig(listen, server string, threads, maxConn int) string {
	var b strings.Builder
	b.WriteString("global\n")
	if threads > 0 {
		fmt.Fprintf(&b, "    nbthread %d\n", threads)
	}
	fmt.Fprintf(&b, "    maxconn %d\n", maxConn)
	fmt.Fprintf(&b, `defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen mysql
    bind %s
    server leader %s
`, listen, server)
	return b.String()
}

// haproxyMaxConn is as many connections as it has file descriptors for: it does
// not start when it cannot have two for each.
func haproxyMaxConn() int {
	const enough = 9000
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 400
	}
	return int(min(enough, (l.Max-100)/2))
}

// startLogged starts a program with its output in a file.
func startLogged(cmd *exec.Cmd, path string) (*sandbox.Process, error) {
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	return sandbox.StartProcess(cmd)
}

// waitListening waits until the proxy accepts connections.
func (t *target) waitListening(log string) error {
	return t.wait(log, func() bool {
		c, err := net.Dial("tcp", t.addr)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

// wait waits until ok, for half a minute at most.
func (t *target) wait(log string, ok func() bool) error {
	deadline := time.After(30 * time.Second)
	for !ok() {
		var err error
		select {
		case <-t.proxy.Done():
			err = fmt.Errorf("%s ended: %w", t.name, t.proxy.Err())
		case <-deadline:
			t.stop()
			err = errors.New(t.name + " was not ready within 30 s")
		case <-time.After(20 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}
