package demo

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/app"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// Options say what to show. The zero value of each stands for its default.
type Options struct {
	Duration  time.Duration // until the demo ends by itself; 0: never
	Dir       string        // where the folder of the demo is made; default: the system's for temporary files
	Followers int           // default 2
	Port      int           // where Bellwether listens; default 3307, or a free one where that is taken
	Server    string        // mariadb (default), mysql, or with a version as in sandbox.Find
	Rate      int           // statements per second; default 600; negative: no limit
	Clients   int           // of the load; default 8
	Plain     bool          // lines of text even on a terminal
	Native    bool          // the servers replicate by themselves, and not Bellwether

	KillLeaderAfter time.Duration // kill the leader once by itself; 0: never
	// Signals kill the leader (SIGUSR1) or change it without a fault (SIGUSR2); may be nil.
	Signals <-chan os.Signal

	Version string // of Bellwether

	In  *os.File  // keys, where it is a terminal; may be nil
	Out io.Writer // a terminal where it is an *os.File that is one
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	o.Dir = dir
	o.Followers, o.Rate, o.Clients = cmp.Or(o.Followers, 2), cmp.Or(o.Rate, 600), cmp.Or(o.Clients, 8)
	if o.Server == "" {
		o.Server = "mariadb"
	}
	switch {
	case o.Followers < 1 || o.Followers > 8:
		return fmt.Errorf("%d followers: want 1 to 8", o.Followers)
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("port %d: want 1 to 65535", o.Port)
	case o.Clients < 1:
		return fmt.Errorf("%d clients: want at least 1", o.Clients)
	case o.Duration < 0:
		return fmt.Errorf("duration %s: want more than 0", o.Duration)
	case o.KillLeaderAfter < 0:
		return fmt.Errorf("kill the leader after %s: want more than 0", o.KillLeaderAfter)
	}
	return nil
}

// ErrLoad says that clients saw errors that they should not have seen.
var ErrLoad = errors.New("clients of the demo saw errors")

// Run shows the demo until ctx ends, the duration is over, or somebody presses
// q. It leaves nothing behind. The error is ErrLoad when all ran, but not well.
func Run(ctx context.Context, o Options) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	server, err := sandbox.Find(ctx, o.Server)
	if err != nil {
		return err
	}
	removed, err := sweep(o.Dir)
	if err != nil {
		return err
	}
	for _, path := range removed {
		fmt.Fprintf(o.Out, "removed what a killed demo left: %s\n", path)
	}
	folder, remove, err := newFolder(o.Dir)
	if err != nil {
		return err
	}
	d := &demo{o: o, server: server, folder: folder}
	err = d.run(ctx)
	if err := remove(); err != nil {
		return fmt.Errorf("remove the demo's folder: %w", err)
	}
	if err == nil || errors.Is(err, ErrLoad) {
		fmt.Fprintf(o.Out, "\nservers stopped, %s removed\n", folder)
	}
	return err
}

// demo is one run.
type demo struct {
	o      Options
	server *sandbox.Server
	folder string

	cluster *sandbox.Cluster
	app     *app.App
	config  string // path of the configuration
	at      app.Addresses
	load    *load
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.o.Native {
		fmt.Fprintf(d.o.Out, "starting a leader and %s (%s) in %s\n", count(d.o.Followers, "follower"), d.server, d.folder)
	} else {
		fmt.Fprintf(d.o.Out, "starting %d plain servers (%s) in %s\n", d.o.Followers+1, d.server, d.folder)
	}
	if err := d.startCluster(ctx); err != nil {
		return orInterrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, d.cluster.Close()) }()

	logFile, err := os.Create(filepath.Join(d.folder, "bellwether.log"))
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended, err := d.startApp(serving, logFile)
	if err != nil {
		return err
	}
	err = d.use(ctx, ended)
	stop()
	if served := <-ended; served != nil {
		err = errors.Join(err, fmt.Errorf("bellwether: %w", served))
	}
	if err != nil && ctx.Err() == nil {
		d.showLog(logFile.Name())
	}
	return err
}

// orInterrupted is nil where the error only says that ctx has ended.
func orInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *demo) startCluster(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	d.cluster, err = sandbox.NewCluster(sandbox.ClusterOptions{
		Server: d.server, Dir: d.folder, Followers: d.o.Followers, Plain: !d.o.Native,
		Node: func(i int, n *sandbox.NodeOptions) { n.ExtraArgs = d.serverArgs(i) },
	})
	if err != nil {
		return err
	}
	if err := d.cluster.Start(ctx); err != nil {
		return err
	}
	at := "'" + sandbox.ProxyAccount.User + "'@'%'"
	for _, q := range slices.Concat(sandbox.SwitchoverGrants(d.server.Flavor, at), sandbox.FailoverGrants(d.server.Flavor, at),
		[]string{"SET GLOBAL read_only = 0"}) {
		if _, err := d.cluster.Leader.DB().ExecContext(ctx, q); err != nil {
			return fmt.Errorf("prepare the leader: %w", err)
		}
	}
	if d.o.Native {
		return d.cluster.WaitReplicated(ctx)
	}
	return nil
}

// serverArgs let the servers count what the demo shows. Each comes up read-only,
// whoever leads by then; MySQL's not super_read_only where accounts have to be made.
func (d *demo) serverArgs(i int) []string {
	args := sandbox.SemiSyncArgs(d.server.Flavor)
	switch {
	case d.server.Flavor == gtid.MariaDB:
		// A killed leader drops at its start what no follower had acknowledged, and so can
		// follow (MDEV-33465). Where it may lead again by itself that is not safe.
		return append(args, "--userstat=ON", "--read-only=ON", "--loose-init-rpl-role=SLAVE")
	case i == 0 || !d.o.Native:
		return append(args, "--performance-schema=ON", "--read-only=ON")
	default:
		return append(args, "--performance-schema=ON", "--super-read-only=ON")
	}
}

// startApp starts Bellwether and returns when it listens. The channel gives its
// error when it has ended.
func (d *demo) startApp(ctx context.Context, logFile io.Writer) (chan error, error) {
	path, cfg, err := d.writeConfig()
	if err != nil {
		return nil, err
	}
	d.config = path
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: level}))
	ready := make(chan app.Addresses, 1)
	d.app, err = app.New(cfg, log, app.Options{
		Path: path, Level: level, Version: d.o.Version, Ready: func(at app.Addresses) { ready <- at },
		FixedProcs: true, // the load runs in this process too
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.app.Run(ctx) }()
	select {
	case d.at = <-ready:
		return ended, nil
	case err := <-ended:
		return nil, fmt.Errorf("bellwether did not start: %w", err)
	}
}

// use fills the shop, lets the load run, and shows it.
func (d *demo) use(ctx context.Context, ended chan error) error {
	if err := d.fill(ctx); err != nil {
		return orInterrupted(ctx, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.o.Duration > 0 {
		time.AfterFunc(d.o.Duration, cancel)
	}
	d.load = &load{
		address: d.at.MySQL, clients: d.o.Clients, rate: d.o.Rate,
		binaryWrites: d.server.Flavor == gtid.MariaDB, // see countNode
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.load.run(ctx)
	}()
	show := newShow(d)
	err := show.run(ctx, cancel, ended)
	cancel()
	<-done
	show.finish()
	if err == nil && d.load.sample().Errors > 0 {
		err = ErrLoad
	}
	return err
}

// fill makes the shop through Bellwether, and waits until reads go to followers.
func (d *demo) fill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	db, err := openShop(d.at.MySQL, true)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if d.o.Native {
		err = d.waitFollowers(ctx)
	} else {
		err = d.waitLeader(ctx) // the others come to be followers while the shop is filled
	}
	if err != nil {
		return err
	}
	if err := waitServing(ctx, db); err != nil {
		return err
	}
	fmt.Fprintf(d.o.Out, "bellwether listens on %s; filling a small shop\n", d.at.MySQL)
	if !d.o.Native {
		stop := d.tellReplication(ctx)
		defer stop()
	}
	if err := makeShop(ctx, db); err != nil {
		return err
	}
	if err := d.waitFollowers(ctx); err != nil {
		return err
	}
	return d.cluster.WaitReplicated(ctx)
}

// waitLeader waits until Bellwether knows who leads.
func (d *demo) waitLeader(ctx context.Context) error {
	for {
		snap, changed := d.app.Store().Changed()
		if v, _ := d.app.Failover(); v.Record.Leader != "" && v.Writes && snap.Leader != nil {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // the record changes too
		case <-ctx.Done():
			return fmt.Errorf("wait for the first leader: %w", ctx.Err())
		}
	}
}

// tellReplication says how plain servers become followers, until stop.
func (d *demo) tellReplication(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		told := map[string]string{}
		for {
			snap, changed := d.app.Store().Changed()
			for _, n := range snap.Nodes {
				state, _, _ := strings.Cut(n.Replication, ":")
				if n.Eligible {
					state = "serves reads"
				}
				if (state == "copying" || state == "serves reads") && told[n.Name] != state {
					told[n.Name] = state
					fmt.Fprintf(d.o.Out, "  %s %s\n", n.Name, map[string]string{
						"copying": "is an empty server: the leader is copied to it", "serves reads": "follows, and serves reads",
					}[state])
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// waitFollowers waits until Bellwether knows the leader, and every follower may be read.
func (d *demo) waitFollowers(ctx context.Context) error {
	for {
		snap, changed := d.app.Store().Changed()
		missing := ""
		if v, _ := d.app.Failover(); v.Record.Leader == "" || v.Record.Acks < d.acks() {
			missing = "who leads is not written down yet"
		}
		for _, n := range snap.Nodes {
			if n != snap.Leader && !n.Eligible {
				missing = fmt.Sprintf("%s gets no reads%s", n.Name, because(n.Why))
			}
		}
		if snap.Leader == nil {
			missing = "no leader was found"
		}
		if missing == "" {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // the record changes too
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster: %s: %w", missing, ctx.Err())
		}
	}
}

// waitServing waits until Bellwether lets clients in: it has just met the leader.
func waitServing(ctx context.Context, db *sql.DB) error {
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("connect to bellwether: %w", err)
		}
	}
}

// showLog prints the end of Bellwether's log, which is about to be removed.
func (d *demo) showLog(path string) {
	const tail = 4 << 10
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return
	}
	fmt.Fprintf(d.o.Out, "\nthe end of Bellwether's log:\n%s\n", b[max(0, len(b)-tail):])
}

// acks is how many followers hold a write before it is acknowledged. With one
// follower only, a write would wait for a dead node to come back.
func (d *demo) acks() int { return min(1, d.o.Followers-1) }

// client is a command that connects to the shop.
func (d *demo) client() string {
	host, port, _ := net.SplitHostPort(d.at.MySQL)
	a := sandbox.AppAccount
	return fmt.Sprintf("%s -h %s -P %s -u %s -p%s %s", d.server.Flavor, host, port, a.User, a.Password, sandbox.AppSchema)
}
