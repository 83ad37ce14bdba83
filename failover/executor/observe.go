package executor

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/failover"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Target is a node as the loop reaches it.
type Target struct{ Name, Address string }

// seen is the outcome of one look at a node.
type seen struct {
	node       string
	sent, at   time.Time
	old, fresh failover.Reach // over the connection from before; over a new one
	state      *state         // nil when it said nothing
}

// newEvery is how many looks over the old connection go by between two over a new
// one: a leader that is out of connections still answers on old ones.
const newEvery = 10

// observer looks at one node over connections of its own: a probe that shares its
// connection, or its goroutine, with other work would be late when it matters.
type observer struct {
	target  Target
	flavor  gtid.Flavor // unknown until the node has answered
	timeout time.Duration
	pool    *sql.DB
	old     *sql.Conn
	looks   int
}

func newObserver(c *Config, t Target, flavor gtid.Flavor, timeout time.Duration, log *slog.Logger) (*observer, error) {
	pool, err := mysqlconn.Open(mysqlconn.Config{
		Address: t.Address, User: c.User, Password: c.Password, TLS: c.TLS, ConnectTimeout: min(c.ConnectTimeout, timeout),
		IOTimeout: 2 * timeout, MaxConns: 2, Program: "bellwether failover",
	}, log)
	if err != nil {
		return nil, err
	}
	pool.SetMaxIdleConns(0) // what is not held is closed: the next one is new
	return &observer{target: t, flavor: flavor, timeout: timeout, pool: pool}, nil
}

func (o *observer) close() {
	o.drop()
	_ = o.pool.Close()
}

func (o *observer) drop() {
	if o.old != nil {
		_ = o.old.Close()
		o.old = nil
	}
}

// run looks every interval until ctx ends.
func (o *observer) run(ctx context.Context, interval time.Duration, tell func(context.Context, seen)) {
	defer o.close()
	for ctx.Err() == nil {
		start := time.Now()
		if s := o.look(ctx); ctx.Err() == nil {
			tell(ctx, s)
		}
		t := time.NewTimer(max(interval-time.Since(start), interval/4))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// look asks over the old connection, and over a new one where that fails or is due.
func (o *observer) look(ctx context.Context) seen {
	s := seen{node: o.target.Name, sent: time.Now()}
	if o.old != nil {
		var err error
		if s.state, err = o.ask(ctx, o.old); err == nil {
			s.old = failover.ReachAnswers
		} else {
			s.old = reach(err)
			o.drop()
		}
	}
	if o.looks++; o.old != nil && o.looks%newEvery != 0 {
		s.at = time.Now()
		return s
	}
	conn, st, err := o.connect(ctx)
	s.fresh = failover.ReachAnswers
	switch {
	case err != nil:
		s.fresh = reach(err)
	case o.old != nil:
		_ = conn.Close()
	default:
		o.old, s.state = conn, st
	}
	s.at = time.Now()
	return s
}

// connect makes a new connection; it answers a look only where there is no other.
func (o *observer) connect(ctx context.Context) (*sql.Conn, *state, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	conn, err := o.pool.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.old != nil {
		return conn, nil, nil
	}
	st, err := o.ask(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, st, nil
}

func (o *observer) ask(ctx context.Context, conn *sql.Conn) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if o.flavor == gtid.FlavorUnknown {
		f, err := flavorOf(ctx, conn)
		if err != nil {
			return nil, err
		}
		o.flavor = f
	}
	return look(ctx, conn, o.flavor)
}

// reach says what an error proves about the server.
func reach(err error) failover.Reach {
	const tooMany, tooManyOfUser, denied, hostBlocked, hostDenied, noPassword = 1040, 1203, 1045, 1129, 1130, 1698
	switch number, _, ours := mysqlconn.ServerError(err); {
	case ours && (number == tooMany || number == tooManyOfUser):
		return failover.ReachTooMany
	case ours: // denied, or anything else that it says: it lives
		return failover.ReachDenied
	case mysqlconn.Unreachable(err):
		return failover.ReachRefused
	default:
		return failover.ReachSilent
	}
}

// Heartbeat is the latest write of the heartbeat row, as the lag monitor tells it.
type Heartbeat struct {
	Address      string // of the node that it went to
	Began, Ended time.Time
	Written      bool
	Err          error
}

// hangs is how long a heartbeat's write may take before writes count as hanging.
const hangs = time.Second

// writes says what became of writes on a node that has waited for acks
// acknowledgements since then.
func (h *Heartbeat) writes(address string, since, now time.Time, fresh time.Duration) failover.Writes {
	const diskFull, recordFileFull, tooFewLogSpace = 1021, 1114, 1026
	number, _, ours := mysqlconn.ServerError(h.Err)
	switch {
	case h.Address != address:
		return failover.WritesUnknown
	case h.Ended.IsZero() && now.Sub(h.Began) >= hangs, h.Err != nil && !ours && now.Sub(h.Began) >= hangs:
		return failover.WritesHang
	case h.Ended.IsZero() || now.Sub(h.Ended) > fresh:
		return failover.WritesUnknown
	case number == diskFull || number == recordFileFull || number == tooFewLogSpace:
		return failover.WritesDiskFull
	case h.Err == nil && h.Written && h.Began.After(since):
		return failover.WritesWork
	default:
		return failover.WritesUnknown
	}
}

// memory is what is kept of a node between two looks.
type memory struct {
	state   *state
	booted  time.Time
	acksAt  time.Time // since when it has waited for as many acknowledgements as now
	linkAt  string    // of the channel: when it changes, the source was heard
	heard   time.Time
	address string
}

// bootSlack is the error of a start that is reckoned from an uptime in whole seconds.
const bootSlack = 2 * time.Second

// take brings a look into the memory.
func (m *memory) take(s *seen) {
	st := s.state
	if st == nil {
		return
	}
	booted := s.at.Add(-st.Uptime)
	if m.state == nil || st.Uptime < m.state.Uptime || booted.Sub(m.booted) > bootSlack {
		m.booted = booted
	}
	if m.state == nil || m.state.Acks != st.Acks {
		m.acksAt = s.at
	}
	if c := st.Channel; c == nil {
		m.linkAt, m.heard = "", time.Time{}
	} else if at := c.Source + "/" + c.At; at != m.linkAt {
		m.linkAt, m.heard = at, s.sent
	}
	m.state = st
}

// cluster is what is known of all nodes, by name. The loop owns it.
type cluster map[string]*memory

// sight turns a look into what the machine takes.
func (c cluster) sight(self, leader string, s *seen, h *Heartbeat, timeout, fresh time.Duration) failover.Sight {
	m := c[s.node]
	m.take(s)
	out := failover.Sight{
		Observer: self, Node: s.node, Sent: s.sent, At: s.at, New: s.fresh, Old: s.old, Ackers: -1, Acks: -1,
	}
	st := s.state
	if st == nil {
		return out
	}
	if st.Full && s.old == failover.ReachAnswers {
		out.New = failover.ReachTooMany // for others; Bellwether's account has one more place (CONNECTION ADMIN)
	}
	out.ReadOnly, out.Booted, out.Epoch, out.Version = st.ReadOnly, m.booted, st.Mark, st.Version
	out.Restarted = st.Mark != 0 && st.Marked-st.Uptime >= bootSlack
	out.Executed, out.Received = st.Executed, st.Executed
	out.Ackers, out.Acks, out.Copying = st.Ackers, st.Acks, st.Copying
	out.Writes = h.writes(m.address, m.acksAt, s.at, fresh)
	if ch := st.Channel; ch != nil {
		out.Received = out.Received.Union(ch.Received)
		out.Link = &failover.Link{Source: c.source(ch), Receiving: ch.Receiving, Applying: ch.Applying, Error: ch.Error}
		// A source that is idle and need not say anything for longer than the timeout is
		// not silent.
		if ch.Receiving && ch.Heartbeat > 0 && ch.Heartbeat <= timeout/2 {
			out.Link.Heard = m.heard
		}
	}
	if l := c[leader]; l != nil && l.state != nil && leader != s.node && l.state.Flavor == st.Flavor {
		out.Errant = errant(st, l.state)
	}
	return out
}

// source names the node that a channel's source is; "" for none of ours.
func (c cluster) source(ch *channel) string {
	byAddress := ""
	for name, m := range c {
		if st := m.state; st != nil {
			if ch.SourceUUID != "" && st.UUID == ch.SourceUUID {
				return name
			}
			if ch.SourceUUID == "" && ch.SourceID != "" && ch.SourceID != "0" && st.ServerID == ch.SourceID {
				return name
			}
		}
		if strings.EqualFold(ch.Source, m.address) {
			byAddress = name
		}
	}
	return byAddress
}
