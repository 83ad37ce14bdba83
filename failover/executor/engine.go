package executor

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
)

// Engine is what replicates in place of the servers. Its methods may be called by
// several goroutines.
type Engine interface {
	// User is its account on the nodes, which nobody else uses.
	User() string
	// Lead tells it who leads in which epoch, and whose commits count for acknowledgements; own
	// says that this proxy coordinates, and it replicates. With no leader it does nothing. The
	// channel is closed when what it did for an earlier leader has ended.
	Lead(leader string, epoch uint64, members []string, own bool) <-chan struct{}
	// Link is how a node is replicated to; false where it is not, from here.
	Link(node string) (EngineLink, bool)
	// Pull applies to a node what another one has, up to until.
	Pull(ctx context.Context, node, from string, until gtid.Set, epoch uint64) error
	// Retry looks again at a node that cannot go on.
	Retry(node string)
	// Repair makes a node equal to the leader, whatever it has of its own.
	Repair(node string) error
	// InSync is how many followers are known to acknowledge; -1 where nobody is waited for.
	InSync() int
}

// EngineLink is what an Engine does with a node.
type EngineLink struct {
	Leader    string
	Receiving bool
	Heard     time.Time // from the leader, the last time
	Copying   bool
	Foreign   bool // it stopped, as the node has transactions that the leader lacks
	Why       string
}

// engineAcks is for how many replicas a leader waits itself: the engine is its only one, and
// counts the followers.
func engineAcks(acks int) int { return min(acks, 1) }

// lookAt completes a sight by what the engine knows. In a fleet, a proxy that does not
// coordinate takes it that the one that does replicates, and is not heard for that.
func lookAt(e Engine, s *failover.Sight, r *topology.Record, held bool, acks int) {
	// Of each node: it may be the leader by the time that the machine looks at it.
	s.Ackers, s.Acks = -1, ofEngine(s.Acks, acks)
	if s.Node == r.Leader {
		s.Ackers = e.InSync()
		return
	}
	if s.New != failover.ReachAnswers && s.Old != failover.ReachAnswers || s.Link != nil {
		return // it says nothing, or replicates by itself
	}
	switch l, ok := e.Link(s.Node); {
	case ok && l.Foreign:
	case ok:
		s.Copying = s.Copying || l.Copying
		s.Link = &failover.Link{Source: l.Leader, Receiving: l.Receiving, Applying: true, Heard: l.Heard, Error: l.Why}
		if l.Receiving && l.Heard.IsZero() {
			s.Link.Heard = s.Sent // the stream has just been opened
		}
	case !held:
		s.Link = &failover.Link{Source: r.Leader, Receiving: true, Applying: true, Heard: time.Unix(0, 0)}
	case r.Leader != "":
		s.Link = &failover.Link{Source: r.Leader, Applying: true, Error: "not yet"}
	}
}

// ofEngine is for how many followers a leader waits that waits for the engine: as many as
// the engine does. Before it has been made to wait that is not known.
func ofEngine(waits, acks int) int {
	switch {
	case acks == 0:
		return 0
	case waits >= 1:
		return acks
	default:
		return -1
	}
}

// reign keeps an engine told of who leads.
type reign struct {
	engine Engine // nil: the servers replicate

	mu     sync.Mutex // guards all below
	told   bool
	leader string
	epoch  uint64
	own    bool
	counts []string
	done   <-chan struct{}
}

// follow tells the engine what the record says. While a failover is under way nothing is
// replicated: what followers hold must not change. In a switchover the old leader is
// replicated from until the new one is written down. members are whose commits count: by
// the record all of them may have to be asked for what was acknowledged, so that nobody
// else's do.
func (r *reign) follow(rec *topology.Record, members []string, held bool) {
	leader, epoch := rec.Leader, rec.Reign
	if c := rec.Change; c != nil && c.Phase == topology.PhaseClaimed && c.Kind != topology.KindSwitchover {
		leader, epoch = "", 0
	}
	r.lead(leader, epoch, members, held)
}

// lead returns when the engine has let go of what it did before, as a channel that is
// closed then.
func (r *reign) lead(leader string, epoch uint64, members []string, own bool) <-chan struct{} {
	if r == nil || r.engine == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.told || r.leader != leader || r.epoch != epoch || r.own != own || !slices.Equal(r.counts, members) {
		r.told, r.leader, r.epoch, r.own, r.counts = true, leader, epoch, own, slices.Clone(members)
		r.done = r.engine.Lead(leader, epoch, members, own)
	}
	return r.done
}

// newer is the later of two records.
func newer(a, b topology.Record) topology.Record {
	if b.Revision > a.Revision {
		return b
	}
	return a
}

// disown ends all that the engine's account does on a node, whoever's that is, and returns
// when the server has done so. The caller has marked the node: nobody of a lower epoch
// begins there again.
func (h *hands) disown(ctx context.Context, s *server) error {
	e := &ender{h: h, s: s}
	defer e.close()
	for {
		var got, by sql.NullInt64
		if err := s.db.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0), IS_USED_LOCK(?)", mark.OwnLock, mark.OwnLock).Scan(&got, &by); err != nil {
			return fmt.Errorf("%s: take the follower's lock: %w", s.name, err)
		}
		if got.Int64 == 1 {
			break
		}
		if by.Valid {
			if err := e.end(ctx, uint64(by.Int64)); err != nil {
				return fmt.Errorf("%s: end connection %d, which owns it: %w", s.name, by.Int64, err)
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s: its owner does not go: %w", s.name, err)
		}
	}
	defer func() { _, _ = s.db.ExecContext(ctx, "DO RELEASE_LOCK(?)", mark.OwnLock) }()
	for {
		n, err := s.kill(ctx, func(p process) bool { return p.user == h.cfg.Engine.User() && p.id != e.id }, e.end)
		if err != nil || n == 0 {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %d connections of the engine do not end: %w", s.name, n, err)
		}
	}
}

// ender ends connections of the engine's account. Where that has MySQL's SYSTEM_USER and
// Bellwether's own account has not, it may do so only itself. Who got an error from it is done
// with it.
type ender struct {
	h    *hands
	s    *server
	pool *sql.DB // of the engine's account; nil until it is needed
	conn *sql.Conn
	id   uint64 // of conn
}

func (e *ender) end(ctx context.Context, id uint64) error {
	if err := mysqlconn.Kill(ctx, e.s.db, id); !killDenied(err) {
		return err
	}
	if err := e.open(ctx); err != nil {
		return err
	}
	return mysqlconn.Kill(ctx, e.conn, id)
}

func (e *ender) open(ctx context.Context) (err error) {
	if e.conn != nil {
		return nil
	}
	c, who := e.h.cfg, e.h.cfg.Replication
	e.pool, err = mysqlconn.Open(mysqlconn.Config{
		Address: e.s.address, User: who.User, Password: who.Password, TLS: c.TLS, ConnectTimeout: c.ConnectTimeout, MaxConns: 1, Program: "bellwether revoke",
	}, e.h.log)
	if err != nil {
		return err
	}
	if e.conn, err = e.pool.Conn(ctx); err != nil {
		return err
	}
	return e.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&e.id)
}

func (e *ender) close() {
	if e.conn != nil {
		_ = e.conn.Close()
	}
	if e.pool != nil {
		_ = e.pool.Close()
	}
}

// standAside makes a node one that the engine can replicate to: read-only for all but it.
func (s *server) standAside(ctx context.Context) error {
	if err := s.exec(ctx, "SET GLOBAL read_only = 1"); err != nil || s.mariadb() {
		return err
	}
	return s.exec(ctx, "SET GLOBAL super_read_only = 0")
}
