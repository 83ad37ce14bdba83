package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// redoLogSize leaves room for transactions of tens of MiB.
const redoLogSize = "64M"

// NodeOptions say what a node is to be. Server, Name, Dir and ServerID are needed.
type NodeOptions struct {
	Server   *Server
	Name     string
	Dir      string // the node's own folder; made where it is missing
	Port     int    // TCP port on 127.0.0.1; 0 takes a free one, and keeps it over restarts
	ServerID uint32

	Durable           bool // sync the redo log and the binlog at each commit; fast and unsafe at power loss otherwise
	PerformanceSchema bool
	BufferPool        string   // InnoDB's buffer pool, "32M" by default
	ReportPort        int      // what the node says its port is (SHOW REPLICAS); 0: its port
	TLS               *Certs   // the node's certificate; nil leaves the server's own default
	ExtraArgs         []string // more server options; they win over the package's
	Env               []string // NAME=value, beside this process's own
	Logger            *slog.Logger
}

// Node is one server process with a data directory of its own.
type Node struct {
	opts NodeOptions
	log  *slog.Logger
	last atomic.Pointer[Process] // the process that was started last, for PID

	mu     sync.Mutex // guards all below, and serialises starting and ending
	port   int
	proc   *Process
	paused bool
	db     *sql.DB
}

// NewNode returns a node that is not started.
func NewNode(o NodeOptions) (*Node, error) {
	switch {
	case o.Server == nil:
		return nil, errors.New("node needs a server program")
	case o.Name == "" || o.ServerID == 0:
		return nil, errors.New("node needs a name and a server id")
	case o.Dir == "":
		return nil, errors.New("node needs a folder")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.BufferPool == "" {
		o.BufferPool = "32M"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{opts: o, log: o.Logger.With("node", o.Name), port: o.Port}
	if len(n.Socket()) > maxSocketPath {
		return nil, fmt.Errorf("the path %s is too long for a unix socket: %d bytes, at most %d", n.Socket(), len(n.Socket()), maxSocketPath)
	}
	return n, nil
}

// maxSocketPath is what sun_path holds, without its closing NUL (unix(7)).
const maxSocketPath = 107

// Name is the node's name.
func (n *Node) Name() string { return n.opts.Name }

// ServerID is the node's server_id.
func (n *Node) ServerID() uint32 { return n.opts.ServerID }

// Server is the program that the node runs.
func (n *Node) Server() *Server { return n.opts.Server }

// Dir is the node's folder.
func (n *Node) Dir() string { return n.opts.Dir }

// Socket is the path of the node's unix socket.
func (n *Node) Socket() string { return filepath.Join(n.opts.Dir, "sock") }

// LogFile is the path of the server's error log.
func (n *Node) LogFile() string { return filepath.Join(n.opts.Dir, "error.log") }

// Port is the node's TCP port; 0 before the first start where it was left free.
func (n *Node) Port() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.port
}

// Addr is where the node listens, as 127.0.0.1:port.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port())) }

// PID is the process id of the running server, or 0.
func (n *Node) PID() int {
	p := n.last.Load()
	if p == nil {
		return 0
	}
	select {
	case <-p.Done():
		return 0
	default:
		return p.PID()
	}
}

// DB is a small pool of connections to the node as root, through its socket.
// It stays valid over restarts, and is closed by Close.
func (n *Node) DB() *sql.DB {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.db == nil {
		n.db = OpenRoot("unix", n.Socket(), "")
	}
	return n.db
}

// Log is the end of the server's error log, for people.
func (n *Node) Log() string {
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 40)
}

// OpenRoot returns a small pool of connections as root to a server. It keeps no
// idle connections for long, as the servers behind it come and go.
func OpenRoot(network, address, password string) *sql.DB {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = "root", password, network, address
	c.Timeout = 5 * time.Second
	c.AllowNativePasswords = true
	c.InterpolateParams = true
	c.MultiStatements = true
	c.TLSConfig = "preferred"
	if network == "unix" {
		c.TLSConfig = "false"
	}
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // the configuration above is wrong
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(10 * time.Second)
	return db
}

// running reports whether the process lives. n.mu is held.
func (n *Node) running() bool {
	if n.proc == nil {
		return false
	}
	select {
	case <-n.proc.Done():
		return false
	default:
		return true
	}
}

// Start starts the server, with a new data directory where there is none, and
// waits until it answers.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return nil
	}
	if err := n.prepare(ctx); err != nil {
		return fmt.Errorf("prepare node %s: %w", n.opts.Name, err)
	}
	chosen := n.port != 0
	for attempt := 1; ; attempt++ {
		if !chosen {
			port, err := FreePort()
			if err != nil {
				return err
			}
			n.port = port
		}
		err := n.launch(ctx)
		if err == nil {
			return nil
		}
		if chosen || attempt == 5 || !errors.Is(err, errPortInUse) {
			return fmt.Errorf("start node %s: %w", n.opts.Name, err)
		}
	}
}

// errPortInUse says that somebody else took the port before the server did.
var errPortInUse = errors.New("port in use")

func (n *Node) prepare(ctx context.Context) error {
	data := filepath.Join(n.opts.Dir, "data")
	if isDir(data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(n.opts.Dir, "tmp"), 0o700); err != nil {
		return err
	}
	template, err := n.opts.Server.template(ctx)
	if err != nil {
		return err
	}
	// Renamed at the end, so that a copy that was cut short is not taken for data.
	tmp := data + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	if err := copyTree(ctx, template, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, data)
}

// launch starts the process and waits until it answers. n.mu is held.
func (n *Node) launch(ctx context.Context) error {
	logFile, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	before, err := logFile.Seek(0, 2)
	if err != nil {
		return err
	}
	s := n.opts.Server
	cmd := exec.Command(s.argv[0], append(s.argv[1:len(s.argv):len(s.argv)], n.args()...)...)
	cmd.Dir = n.opts.Dir
	if len(n.opts.Env) > 0 {
		cmd.Env = append(os.Environ(), n.opts.Env...)
	}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	p, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	n.last.Store(p)
	n.log.Debug("server started", "pid", p.PID(), "port", n.port)
	if err := n.waitReady(ctx, p); err != nil {
		p.Kill()
		return n.explain(err, before)
	}
	n.proc, n.paused = p, false
	return nil
}

// waitReady returns when the server answers a query, has ended, or ctx is over.
func (n *Node) waitReady(ctx context.Context, p *Process) error {
	db := OpenRoot("unix", n.Socket(), "")
	defer func() { _ = db.Close() }()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("the server ended: %w", p.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w (%w)", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// explain adds what the server wrote to its log since offset.
func (n *Node) explain(err error, offset int64) error {
	text, readErr := os.ReadFile(n.LogFile())
	if readErr != nil || int64(len(text)) < offset {
		return err
	}
	tail := string(text[offset:])
	if strings.Contains(tail, "Address already in use") {
		err = fmt.Errorf("%w: %w", errPortInUse, err)
	}
	return fmt.Errorf("%w; its log (%s) ends:\n%s", err, n.LogFile(), lastLines(tail, 15))
}

// Stop asks the server to shut down and waits until it has. When ctx is over
// first, the server is killed and the context's error returned.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return nil
	}
	if n.paused {
		_ = n.proc.Signal(syscall.SIGCONT)
		n.paused = false
	}
	if err := n.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop node %s: %w", n.opts.Name, err)
	}
	select {
	case <-n.proc.Done():
		return nil
	case <-ctx.Done():
		n.proc.Kill()
		return fmt.Errorf("stop node %s: killed, as it did not shut down: %w", n.opts.Name, ctx.Err())
	}
}

// Kill ends the server at once (SIGKILL), and returns when it is gone.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		n.proc.Kill()
	}
	n.paused = false
	return nil
}

// Pause freezes the server (SIGSTOP) and returns when all its threads stand
// still: connections to it stay open, and the kernel still accepts new ones, but
// nothing answers.
func (n *Node) Pause() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused && n.running() {
		return nil
	}
	if !n.running() {
		return n.notRunning()
	}
	if err := n.proc.Pause(); err != nil {
		return fmt.Errorf("pause node %s: %w", n.opts.Name, err)
	}
	n.paused = true
	return nil
}

// Continue ends a Pause.
func (n *Node) Continue() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return n.notRunning()
	}
	if err := n.proc.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue node %s: %w", n.opts.Name, err)
	}
	n.paused = false
	return nil
}

func (n *Node) notRunning() error { return fmt.Errorf("node %s: %w", n.opts.Name, os.ErrProcessDone) }

// Restart is Stop and Start.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	return n.Start(ctx)
}

// Close ends the server at once and closes DB. The folder stays.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.db != nil {
		_ = n.db.Close() // what it says of connections to a dead server is of no use
		n.db = nil
	}
	n.mu.Unlock()
	return n.Kill()
}

// args are the server's arguments. Later ones win.
func (n *Node) args() []string {
	o := &n.opts
	reportPort := o.ReportPort
	if reportPort == 0 {
		reportPort = n.port
	}
	args := append([]string{"--no-defaults"}, o.Server.installArgs()...)
	args = append(args,
		"--datadir="+filepath.Join(o.Dir, "data"),
		"--tmpdir="+filepath.Join(o.Dir, "tmp"),
		"--pid-file="+filepath.Join(o.Dir, "pid"),
		"--socket="+n.Socket(),
		"--bind-address=127.0.0.1",
		"--port="+strconv.Itoa(n.port),
		"--report-host=127.0.0.1",
		"--report-port="+strconv.Itoa(reportPort),
		"--innodb-buffer-pool-size="+o.BufferPool,
	)
	args = append(args, ServerArgs(o.Server.Flavor, o.ServerID, o.Durable, o.PerformanceSchema)...)
	if o.Server.Flavor == gtid.MariaDB {
		args = append(args, "--innodb-log-file-size="+redoLogSize)
	} else {
		// The folder that Debian's server is built with need not exist.
		args = append(args, "--mysqlx=OFF", "--secure-file-priv=")
	}
	if o.TLS != nil {
		args = append(args, "--ssl-ca="+o.TLS.CA, "--ssl-cert="+o.TLS.ServerCert, "--ssl-key="+o.TLS.ServerKey)
	}
	return append(args, o.ExtraArgs...)
}

// ServerArgs are the options that make a server fit for GTID replication, here
// and in a container: the command line of the official images takes them too.
func ServerArgs(f gtid.Flavor, serverID uint32, durable, performanceSchema bool) []string {
	args := []string{
		fmt.Sprintf("--server-id=%d", serverID),
		"--log-bin=binlog",
		"--relay-log=relay",
		"--relay-log-recovery=ON",
		"--skip-name-resolve",
		"--max-connections=1000",
	}
	if f == gtid.MariaDB {
		args = append(args, "--binlog-format=ROW", "--log-slave-updates", "--gtid-strict-mode=ON")
	} else {
		args = append(args, "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
	}
	if durable {
		args = append(args, "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1")
	} else {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
	}
	if performanceSchema {
		return append(args, "--performance-schema=ON")
	}
	return append(args, "--performance-schema=OFF")
}

// SemiSyncArgs are the options by which a server can acknowledge, and be waited
// for, without more being set; whether it waits is set when it leads.
func SemiSyncArgs(f gtid.Flavor) []string {
	if f == gtid.MariaDB {
		return []string{"--rpl-semi-sync-slave-enabled=1"}
	}
	return []string{"--plugin-load-add=semisync_source.so;semisync_replica.so", "--rpl-semi-sync-replica-enabled=1"}
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on. It is taken
// from below the range that the kernel gives to outgoing connections, so that
// one of those does not take it while its server is being restarted.
func FreePort() (int, error) {
	const first, last = 20000, 32000
	for range 200 {
		port := first + rand.IntN(last-first)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
