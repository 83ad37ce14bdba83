package drivers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// session is the mariadb program on a terminal, as a person has it.
type session struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File
	done     chan struct{} // closed when the terminal says no more

	mu   sync.Mutex // guards out and read
	out  bytes.Buffer
	read int // how much of out has been matched
}

// startSession starts the program on a new terminal and waits for its prompt.
func startSession(t *testing.T, f *fixture, tg target) *session {
	t.Helper()
	control, terminal, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	args := cli{t, f, tg}.args("--no-auto-rehash", "--unbuffered", "--skip-reconnect", sandbox.AppSchema)
	s := &session{t: t, cmd: exec.Command("mariadb", args...), terminal: control, done: make(chan struct{})}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = terminal, terminal, terminal
	s.cmd.Env = append(os.Environ(), "TERM=dumb", "LC_ALL=C.UTF-8", "MYSQL_HISTFILE=/dev/null")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.collect()
	s.expect(regexp.MustCompile(`\[` + sandbox.AppSchema + `\]> `))
	return s
}

// openTerminal opens a pseudo-terminal: its controlling side and the terminal.
func openTerminal() (control, terminal *os.File, err error) {
	control, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = control.Close()
		return nil, nil, err
	}
	return control, terminal, nil
}

func (s *session) collect() {
	defer close(s.done)
	buf := make([]byte, 4096)
	for {
		n, err := s.terminal.Read(buf)
		s.mu.Lock()
		s.out.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return // EIO when the program has ended
		}
	}
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// expect waits for text that was not matched before, and returns the groups.
func (s *session) expect(re *regexp.Regexp) []string {
	s.t.Helper()
	var groups []string
	cluster.Eventually(s.t, "the terminal shows "+re.String(), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		fresh := s.out.Bytes()[s.read:]
		m := re.FindSubmatchIndex(fresh)
		if m == nil {
			return false
		}
		for i := 0; i < len(m); i += 2 {
			groups = append(groups, string(fresh[m[i]:m[i+1]]))
		}
		s.read += m[1]
		return true
	})
	return groups
}

// ask sends a statement and returns the first group of what answers it.
func (s *session) ask(statement string, re *regexp.Regexp) string {
	s.t.Helper()
	s.send(statement + "\n")
	return s.expect(re)[1]
}

func (s *session) end() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	<-s.done
	_ = s.terminal.Close()
	if s.t.Failed() {
		s.t.Logf("the terminal:\n%s", s.out.String())
	}
}

// heavy runs for an hour if nobody ends it.
const heavy = "SELECT SUM(a.id * b.id % 7 + c.id) AS heavy_sum FROM cli_data a, cli_data b, cli_data c"

// running names the nodes that run the heavy statement now.
func (f *fixture) running(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, n := range f.Nodes() {
		count := n.Text(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%heavy_sum%' AND info NOT LIKE '%processlist%'")
		if count != "0" {
			names = append(names, n.Name())
		}
	}
	return names
}

// startHeavy makes the session run the heavy statement and waits until a node has it.
func (s *session) startHeavy(f *fixture, proxied bool) {
	s.t.Helper()
	s.send(heavy + ";\n")
	cluster.Eventually(s.t, "a node runs the statement", func() bool { return len(f.running(s.t)) == 1 })
	if on := f.running(s.t); proxied && on[0] == f.Leader().Name() {
		s.t.Errorf("the read runs on %s, the leader", on[0])
	}
}

// testInterrupt presses Ctrl-C while a statement runs: it ends on its node, a
// follower when it runs through the proxy, and the session goes on.
func testInterrupt(t *testing.T, f *fixture) {
	f.both(t, "interrupted", func(c cli) string {
		s := startSession(t, f, c.target)
		defer s.end()
		s.send("SET @kept = 'session';\n")
		for range 2 {
			s.startHeavy(f, c.proxied)
			s.send("\x03")
			s.expect(regexp.MustCompile(`ERROR 1317 \(70100\).*Query execution was interrupted`))
			cluster.Eventually(t, "no node runs the statement", func() bool { return len(f.running(t)) == 0 })
			s.ask("SELECT CONCAT('the ', @kept, ' lives') AS x;", regexp.MustCompile(`(the session lives)`))
		}
		return "interrupted"
	})
}

// testClientDies kills the client while a statement runs: the statement must not
// go on without it.
func testClientDies(t *testing.T, f *fixture) {
	f.both(t, "gone", func(c cli) string {
		if !c.proxied {
			return "gone" // a server finds out only when it writes
		}
		s := startSession(t, f, c.target)
		s.startHeavy(f, c.proxied)
		s.end()
		cluster.Eventually(t, "no node runs the statement", func() bool { return len(f.running(t)) == 0 })
		return "gone"
	})
}
