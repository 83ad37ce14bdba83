package lagmonitor

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/visible"
)

// peek is a follower's position, asked for alone.
type peek struct {
	node     string
	sent     time.Time
	position gtid.Set
}

// How often a follower is asked while sessions wait for it: soon after one began to, for
// most followers are a millisecond behind, and then at a steady pace.
const (
	firstPeek  = 500 * time.Microsecond
	steadyPeek = 2 * time.Millisecond
)

// errOnlyProbes says that a follower's position cannot be asked for alone.
var errOnlyProbes = errors.New("the position is known by probes only")

// peeker asks one follower for nothing but its position, on a connection of its own.
type peeker struct {
	db        *sql.DB
	timeout   time.Duration
	following func() (Following, bool) // the engine's knowledge, in place of the server's; nil in native mode
	standby   func() bool
	visible   visible.Position
}

func newPeeker(cfg *Config, n *NodeConfig, log *slog.Logger) (*peeker, error) {
	db, err := mysqlconn.Open(mysqlconn.Config{
		Address: n.Address, User: cfg.User, Password: cfg.Password, TLS: cfg.TLS,
		ConnectTimeout: min(cfg.ConnectTimeout, cfg.Timeout), IOTimeout: 2 * cfg.Timeout,
		Program: "bellwether positions",
	}, log)
	if err != nil {
		return nil, err
	}
	p := &peeker{db: db, timeout: cfg.Timeout, standby: cfg.standby(n.Name)}
	if following := cfg.Following; following != nil {
		name := n.Name
		p.following = func() (Following, bool) { return following(name) }
	}
	return p, nil
}

// ask returns the follower's position: a lower bound of what can be read there from
// now on.
func (p *peeker) ask(ctx context.Context, flavor gtid.Flavor) (gtid.Set, error) {
	if p.following != nil {
		if f, ok := p.following(); ok && f.Applying && !f.Applied.IsEmpty() {
			return f.Applied, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if flavor == gtid.MariaDB && p.following != nil { // gtid_slave_pos stands still
		if !p.standby() {
			return gtid.Set{}, errOnlyProbes
		}
		return p.visible.Ask(ctx, p.db)
	}
	q := "SELECT @@global.gtid_slave_pos"
	if flavor == gtid.MySQL {
		q = "SELECT @@global.gtid_executed"
	}
	var text string
	if err := p.db.QueryRowContext(ctx, q).Scan(&text); err != nil {
		return gtid.Set{}, err
	}
	return gtid.Parse(flavor, text)
}

// peekLoop asks a follower for its position as long as somebody waits for it, and
// does nothing otherwise.
func (m *Monitor) peekLoop(ctx context.Context, node string, p *peeker) {
	defer func() { _ = p.db.Close() }()
	awaited := m.store.Awaited(node)
	for {
		select {
		case <-ctx.Done():
			return
		case <-awaited:
		}
		for pause := firstPeek; ; {
			snap, sent := m.store.Load(), time.Now()
			wait := m.pause(node, pause, sent)
			if n := snap.Node(node); wait == 0 || n == nil || n.Role != topology.RoleFollower {
				break
			}
			position, err := p.ask(ctx, snap.Flavor)
			if err != nil {
				m.met.peeks.WithLabelValues(node, "failed").Inc()
				wait = hurriedInterval
			} else {
				m.met.peeks.WithLabelValues(node, "answered").Inc()
				select {
				case <-ctx.Done():
					return
				case m.peeks <- peek{node, sent, position}:
				}
			}
			fresh, ok := restBetween(ctx, awaited, wait, err == nil)
			if !ok {
				return
			}
			if pause = min(2*pause, steadyPeek); fresh {
				pause = firstPeek
			}
		}
	}
}

// restBetween sleeps between two peeks, at most firstPeek where somebody begins to wait
// meanwhile (fresh) and eager is set. It is false where ctx is done.
func restBetween(ctx context.Context, awaited <-chan struct{}, d time.Duration, eager bool) (fresh, ok bool) {
	if !eager {
		return false, sleep(ctx, d)
	}
	if !sleep(ctx, min(d, firstPeek)) {
		return false, false
	}
	if d <= firstPeek {
		return false, true
	}
	t := time.NewTimer(d - firstPeek)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-awaited:
		return true, true
	case <-t.C:
		return false, true
	}
}

// pause is how long to wait after a peek, 0 where nobody wants another. Where no
// session waits and only the follower's delay is being learned, the precision is a
// quarter of it.
func (m *Monitor) pause(node string, pause time.Duration, now time.Time) time.Duration {
	sessions, learning := m.store.Waiting(node)
	switch {
	case sessions > 0:
		return pause
	case learning.IsZero():
		return 0
	}
	return min(max(now.Sub(learning)/4, pause), time.Second)
}

// advance publishes a position that was asked for alone.
func (m *Monitor) advance(p peek) {
	mb := m.judge.member(p.node)
	if mb == nil || !p.sent.After(mb.obs.Sent) {
		return
	}
	mb.peek = p
	m.store.Update(func(next *topology.Snapshot) *topology.Snapshot {
		n := next.Node(p.node)
		if n == nil || n.Role != topology.RoleFollower || n.Position.Flavor() != p.position.Flavor() {
			return nil
		}
		n.Position, next.At = p.position, time.Now()
		return next
	})
}
