package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// hands perform the machine's actions on servers, which replicate themselves or are
// replicated to by an Engine. All that changes a node is done over a connection that owns
// it, see own.
type hands struct {
	cfg    *Config
	rescue *rescuer // nil where nothing is saved
	log    *slog.Logger

	mu      sync.Mutex         // guards the two below
	servers map[string]*server // by name
	owners  map[uint64]bool    // connections of ours that own a node now

	events atomic.Bool // with an Engine: the leader runs events
}

func newHands(c *Config, targets []Target, log *slog.Logger) (*hands, error) {
	h := &hands{cfg: c, log: log, servers: map[string]*server{}, owners: map[uint64]bool{}}
	for _, t := range targets {
		s, err := dial(c, t.Name, t.Address, gtid.FlavorUnknown, log)
		if err != nil {
			h.close()
			return nil, err
		}
		h.servers[t.Name] = s
	}
	return h, nil
}

func (h *hands) close() {
	for _, s := range h.servers {
		s.close()
	}
}

// server returns a node that has told its flavour.
func (h *hands) server(ctx context.Context, name string) (*server, error) {
	h.mu.Lock()
	s := h.servers[name]
	known := s != nil && s.flavor != gtid.FlavorUnknown
	h.mu.Unlock()
	switch {
	case s == nil:
		return nil, fmt.Errorf("there is no node %q", name)
	case known:
		return s, nil
	}
	f, err := flavorOf(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.flavor != f {
		c := *s
		c.flavor = f
		h.servers[name] = &c
	}
	return h.servers[name], nil
}

// outdated says that a node is marked by a higher epoch.
type outdated struct{ held uint64 }

func (e *outdated) Error() string {
	return fmt.Sprintf("it is marked by epoch %d: a newer coordinator acts there", e.held)
}

// ownerLock is the named lock that who changes a node holds.
const ownerLock = "bellwether_owner"

// own takes the node: its named lock, from an older holder by force, and then its
// mark, which no lower epoch passes. What is done over the returned server is
// done by the connection that holds the lock: when a newer coordinator takes the node
// over it kills that connection, and one that slept can do nothing any more.
func (h *hands) own(ctx context.Context, name string, epoch uint64) (s *server, release func(), err error) {
	all, err := h.server(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	conn, err := all.pool.Conn(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	var id uint64
	release = func() {
		h.mu.Lock()
		delete(h.owners, id)
		h.mu.Unlock()
		// Closed for good: the lock goes with the session.
		mysqlconn.Discard(conn)
	}
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		release()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	h.mu.Lock()
	h.owners[id] = true
	h.mu.Unlock()
	mine := *all
	mine.db = conn
	if err := h.lock(ctx, &mine, epoch); err != nil {
		release()
		return nil, nil, err
	}
	held, err := mark.Mark(ctx, all.pool, epoch)
	if errors.Is(err, mark.ErrOutdated) {
		err = &outdated{held}
	}
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return &mine, release, nil
}

// lock takes the named lock. A holder that is not of this process is an older
// coordinator, unless the node's mark says that it is a newer one; one of this
// process that is not at work any more is an attempt that was given up.
func (h *hands) lock(ctx context.Context, s *server, epoch uint64) error {
	for {
		var got, holder *int64
		if err := s.db.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0), IS_USED_LOCK(?)", ownerLock, ownerLock).Scan(&got, &holder); err != nil {
			return fmt.Errorf("%s: take its lock: %w", s.name, err)
		}
		if got != nil && *got == 1 {
			return nil
		}
		held, err := mark.Read(ctx, s.pool)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if held > epoch {
			return fmt.Errorf("%s: %w", s.name, &outdated{held})
		}
		h.mu.Lock()
		ours := holder != nil && h.owners[uint64(*holder)]
		h.mu.Unlock()
		if holder != nil && !ours {
			_ = mysqlconn.Kill(ctx, s.db, uint64(*holder))
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%s: another one holds its lock: %w", s.name, err)
		}
	}
}

// pause waits, and returns why it was cut short.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// perform does one action that changes a node, and returns its result.
func (h *hands) perform(ctx context.Context, a *failover.Action) failover.Done {
	d := failover.Done{ID: a.ID}
	s, release, err := h.own(ctx, a.Node, a.Epoch)
	if err == nil {
		defer release()
		switch a.Kind {
		case failover.Fence:
			d.Executed, err = s.fenceHard(ctx, h.cfg.own())
		case failover.Revoke:
			d.Executed, d.Received, err = h.revoke(ctx, s)
		case failover.Drain:
			d.Executed, err = h.drain(ctx, s, a)
		case failover.Open:
			err = h.promote(ctx, s, a.Acks)
		case failover.RequireAcks:
			err = h.requireAcks(ctx, s, a.Acks)
		case failover.Repoint:
			if a.Code != "" { // a repair: nobody has compared them
				d.Fork, err = h.differs(ctx, a)
			}
			if err == nil {
				d.Own, err = h.repoint(ctx, s, a.Leader)
			}
		case failover.RescueAndRejoin:
			err = h.rejoin(ctx, s, a)
		default:
			err = fmt.Errorf("%s is nothing that is done on a node", a.Kind)
		}
	}
	if o, ok := errors.AsType[*outdated](err); ok {
		d.Mark = o.held
	}
	if err != nil {
		d.Err = describe(err)
	}
	return d
}

// describe is an error for people; what was joined keeps each part.
func describe(err error) string {
	if parts, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only what is joined at the top
		var texts []string
		for _, e := range parts.Unwrap() {
			texts = append(texts, mysqlconn.Describe(e))
		}
		return strings.Join(texts, "; ")
	}
	return mysqlconn.Describe(err)
}

// fenceHard makes a node refuse writes that is to be the leader no longer. Clients are
// sent away first, for read_only waits for what they have open, and once more after,
// for those that came meanwhile. Semi-synchronous replication stays as it is; an
// attempt that did not end in time goes on in the server, which is what is wanted here.
func (s *server) fenceHard(ctx context.Context, spare []string) (gtid.Set, error) {
	if err := s.killClients(ctx, spare); err != nil {
		return gtid.Set{}, err
	}
	if err := s.exec(ctx, s.readOnlySQL()); err != nil {
		return gtid.Set{}, errors.Join(err, s.whyNotReadOnly(ctx))
	}
	if err := s.killClients(ctx, spare); err != nil {
		return gtid.Set{}, err
	}
	return s.executed(ctx)
}

// whyNotReadOnly looks for commits that wait for an acknowledgement: neither server ends
// their wait with their session, and read_only waits behind them.
func (s *server) whyNotReadOnly(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	list, err := sessions(ctx, s.pool) // s.db may be waiting
	if err != nil {
		return nil
	}
	n := 0
	for _, p := range list {
		if strings.HasPrefix(p.state, "Waiting for semi-sync ACK") {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d commits on %s wait for an acknowledgement that nobody gives any more, and read_only waits for them: restart the server", n, s.name)
}

// killClients ends all sessions but the server's own, replication's and Bellwether's, and those
// that may not be ended: who has MySQL's SYSTEM_USER cannot be without, and read_only holds for most
// of them too.
func (s *server) killClients(ctx context.Context, spare []string) error {
	_, err := s.kill(ctx, func(p process) bool {
		return !slices.Contains([]string{"system user", "event_scheduler", ""}, p.user) && !slices.Contains(spare, p.user)
	}, func(ctx context.Context, id uint64) error {
		if err := mysqlconn.Kill(ctx, s.db, id); !killDenied(err) {
			return err
		}
		return nil
	})
	return err
}

// killDenied recognizes MySQL's ER_KILL_DENIED_ERROR.
func killDenied(err error) bool {
	number, _, _ := mysqlconn.ServerError(err)
	return number == 1095
}

// kill ends the sessions that which says, but those that send the binlog, and returns how many there
// were.
func (s *server) kill(ctx context.Context, which func(p process) bool, end func(ctx context.Context, id uint64) error) (n int, err error) {
	list, err := sessions(ctx, s.db)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	for _, p := range list {
		if !which(p) || slices.Contains([]string{"Binlog Dump", "Binlog Dump GTID", "Daemon"}, p.command) {
			continue
		}
		n++
		if err := end(ctx, p.id); err != nil {
			return n, fmt.Errorf("%s: end connection %d: %w", s.name, p.id, err)
		}
	}
	return n, nil
}

// revoke makes sure that a follower receives nothing any more, and tells what it holds.
func (h *hands) revoke(ctx context.Context, s *server) (executed, received gtid.Set, err error) {
	if h.cfg.Engine != nil {
		if err := h.disown(ctx, s); err != nil {
			return executed, received, err
		}
	}
	return s.revoke(ctx)
}

// revoke ends the receiving of a follower, and tells what it holds. MySQL counts whole
// transactions in the relay log. MariaDB's position of the receiver may be in the
// middle of one, so there the applier is waited for; and as MariaDB throws a relay
// log away when replication starts anew with both threads stopped, the applier is
// started before the receiver is stopped.
func (s *server) revoke(ctx context.Context) (executed, received gtid.Set, err error) {
	st, err := look(ctx, s.db, s.flavor)
	switch {
	case err != nil:
		return executed, received, fmt.Errorf("%s: %w", s.name, err)
	case st.Copying:
		return executed, received, s.errHalf()
	case st.Channel == nil:
		return st.Executed, st.Executed, nil
	case !s.mariadb():
		if err := s.exec(ctx, "STOP REPLICA IO_THREAD"); err != nil {
			return executed, received, err
		}
		if st, err = look(ctx, s.db, s.flavor); err != nil || st.Channel == nil {
			return executed, received, errors.Join(fmt.Errorf("%s: its replication cannot be asked", s.name), err)
		}
		return st.Executed, st.Executed.Union(st.Channel.Received), nil
	}
	if !st.Channel.Applying && st.Channel.Started {
		if err := s.exec(ctx, "START SLAVE SQL_THREAD"); err != nil {
			return executed, received, err
		}
	}
	if err := s.exec(ctx, "STOP SLAVE IO_THREAD"); err != nil {
		return executed, received, err
	}
	st, err = s.drained(ctx)
	if err != nil {
		return executed, received, err
	}
	return st.Executed, st.Executed, nil
}

// errHalf says that what a node held before it was to become a copy is gone.
func (s *server) errHalf() error { return fmt.Errorf("%s holds half a copy", s.name) }

// drained waits until a MariaDB follower whose receiver is stopped has applied all
// whole transactions of its relay log.
func (s *server) drained(ctx context.Context) (*state, error) {
	for calm := 0; ; {
		st, err := look(ctx, s.db, s.flavor)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		switch c := st.Channel; {
		case c == nil || st.Executed.Contains(c.Received):
			return st, nil
		case !c.Applying:
			return nil, fmt.Errorf("%s does not apply what it has received: %s", s.name, c.Error)
		case !c.Drained:
			calm = 0
		default:
			// All is read; the last transaction may not be whole, or still be at work.
			var busy int
			q := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_worker' AND STATE NOT LIKE 'Waiting for work%'"
			if err := s.db.QueryRowContext(ctx, q).Scan(&busy); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if calm++; busy > 0 {
				calm = 0
			}
			if calm >= 3 {
				return st, nil
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%s: wait for its applier: %w", s.name, err)
		}
	}
}

// drain waits until the node has executed what is asked, from another node where
// that is named.
func (h *hands) drain(ctx context.Context, s *server, a *failover.Action) (gtid.Set, error) {
	if a.From != "" && h.cfg.Engine != nil {
		if err := h.cfg.Engine.Pull(ctx, s.name, a.From, a.Until, a.Epoch); err != nil {
			return gtid.Set{}, err
		}
		return s.executed(ctx)
	}
	if a.From != "" {
		if _, err := h.repoint(ctx, s, a.From); err != nil {
			return gtid.Set{}, err
		}
	} else if err := s.apply(ctx); err != nil {
		return gtid.Set{}, err
	}
	if err := s.catchUp(ctx, a.Until); err != nil {
		return gtid.Set{}, err
	}
	if a.From != "" {
		if _, _, err := s.revoke(ctx); err != nil {
			return gtid.Set{}, err
		}
	}
	return s.executed(ctx)
}

// apply makes a MySQL applier run that was stopped: its relay log has to be applied.
func (s *server) apply(ctx context.Context) error {
	if s.mariadb() {
		return nil // see revoke
	}
	st, err := look(ctx, s.db, s.flavor)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if st.Channel == nil || st.Channel.Applying {
		return nil
	}
	return s.exec(ctx, "START REPLICA SQL_THREAD")
}

// promote ends the replication of a node and lets it take writes.
func (h *hands) promote(ctx context.Context, s *server, acks int) error {
	if err := s.detach(ctx); err != nil {
		return err
	}
	if acks > 0 {
		if err := h.requireAcks(ctx, s, acks); err != nil {
			return err
		}
	}
	if h.events.Load() {
		// The engine turned it off on followers, for events must run once.
		if err := s.exec(ctx, "SET GLOBAL event_scheduler = ON"); err != nil {
			return err
		}
	}
	return s.open(ctx)
}

// requireAcks lets commits on the node wait for that many followers. The engine lets a
// leader wait no longer by itself.
func (h *hands) requireAcks(ctx context.Context, s *server, acks int) error {
	switch {
	case h.cfg.Engine == nil:
		return s.requireAcks(ctx, acks)
	case acks == 0:
		return nil
	default:
		return s.requireAcks(ctx, engineAcks(acks))
	}
}

// semiSyncTimeout is the longest that both servers take, in milliseconds: 49 days.
const semiSyncTimeout = 1<<32 - 1

// requireAcks lets commits on the node wait for that many followers, for ever. With 0
// it ends that.
func (s *server) requireAcks(ctx context.Context, acks int) error {
	word, replica := s.semiSyncWords(ctx)
	name := "SET GLOBAL rpl_semi_sync_" + word
	if acks == 0 {
		return s.exec(ctx, name+"_enabled = 0")
	}
	statements := []string{
		fmt.Sprintf("%s_timeout = %d", name, uint64(semiSyncTimeout)), name + "_wait_point = 'AFTER_SYNC'",
		fmt.Sprintf("%s_wait_no_%s = 1", name, replica),
	}
	if !s.mariadb() {
		statements = append(statements, fmt.Sprintf("%s_wait_for_%s_count = %d", name, replica, acks))
	}
	return s.exec(ctx, append(statements, name+"_enabled = 1")...)
}

// semiSyncWords are what the server calls the two sides: MySQL before 8.0.26, and all
// of MariaDB, say master and slave.
func (s *server) semiSyncWords(ctx context.Context) (source, replica string) {
	if !s.mariadb() {
		rows, err := s.table(ctx, "SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync_source_enabled'")
		if err == nil && len(rows) == 1 {
			return "source", "replica"
		}
	}
	return "master", "slave"
}

// repoint makes a node a follower of another one, unless it holds what that one does not, which
// it returns: a node that came back may have had more from a past leader that nobody had fenced
// yet. One that follows it already may be ahead of it for a moment: MySQL sends first and commits
// after.
func (h *hands) repoint(ctx context.Context, s *server, leader string) (own gtid.Set, err error) {
	l, err := h.server(ctx, leader)
	if err != nil {
		return own, err
	}
	was, err := look(ctx, s.db, s.flavor)
	if err != nil {
		return own, fmt.Errorf("%s: %w", s.name, err)
	}
	if was.Channel != nil && was.Channel.Source == l.address {
		return own, h.followFrom(ctx, s, l, false)
	}
	if was.Channel != nil {
		if err := s.halt(ctx); err != nil {
			return own, err
		}
	}
	st, lst, err := h.both(ctx, s, l)
	if err != nil {
		return own, err
	}
	if own = divergent(st, lst); !own.IsEmpty() {
		return own, fmt.Errorf("%s has %d transactions that %s has not (%s)", s.name, own.Count(), leader, own)
	}
	if err := h.unbringable(s, st, own, lst.Executed); err != nil {
		return own, fmt.Errorf("%s: %w: it is quarantined until it is copied anew", s.name, err)
	}
	return own, h.followFrom(ctx, s, l, was.Channel == nil)
}

// both looks at a node that receives nothing any more, and then at its leader, which can only
// have more by then.
func (h *hands) both(ctx context.Context, s, leader *server) (st, lst *state, err error) {
	if st, err = look(ctx, s.db, s.flavor); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if lst, err = look(ctx, leader.pool, leader.flavor); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", leader.name, err)
	}
	return st, lst, nil
}

func (h *hands) followFrom(ctx context.Context, s, leader *server, alone bool) error {
	if h.cfg.Engine != nil {
		defer h.cfg.Engine.Retry(s.name)
		return s.standAside(ctx)
	}
	return s.follow(ctx, leader.address, h.cfg.Replication, alone)
}
