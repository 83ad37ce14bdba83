package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

var (
	errNoLeader   = errors.New("no leader is available")
	errLeaderLeft = errors.New("the leader was lost, or is another node now")
	errStateUnfit = errors.New("the session's state cannot be brought to this follower")
)

// key is what a connection to node for this session must match.
func (s *session) key(node *topology.Node, follower bool) poolKey {
	k := poolKey{
		node: node.Name, address: node.Address, follower: follower, user: s.user, secret: s.secret, schema: s.state.schema,
		caps: s.caps, collation: s.collation, attrs: string(s.attrs),
	}
	if s.srv.settings.Load().SendProxy != 0 {
		k.from = s.addr.String()
	}
	return k
}

// connect takes a connection from the pool or makes one.
func (s *session) connect(ctx context.Context, node *topology.Node, follower bool) (*backend, error) {
	p := s.srv.pools.of(node.Name)
	key := s.key(node, follower)
	share := s.srv.cfg.Server().InitConnect == "" && !s.account.PasswordExpired
	if share {
		if b := p.take(&key, time.Now()); b != nil {
			s.srv.metrics.poolHits.Add(1)
			return b, nil
		}
	}
	if err := p.reserve(ctx); err != nil {
		return nil, err
	}
	set := s.srv.settings.Load()
	b, greeting, err := dial(ctx, s.dialSpec(set, node))
	if err != nil {
		p.release()
		return nil, err
	}
	s.srv.metrics.dials.Add(1)
	s.srv.offers.learn(node.Name, greeting)
	b.key, b.follower = key, follower
	b.dirty = !share
	_ = b.conn.SetDeadline(time.Now().Add(set.ConnectTimeout))
	if err := s.sameAccount(b); err != nil {
		b.broken = true
		p.discard(b)
		return nil, err
	}
	switch err := b.learnCharsets(&p.charsets, s.collation, s.mariadb()); {
	case mustChange(err) && !follower: // until then only that is allowed
		b.dirty, s.retrack = true, true
	case err != nil:
		b.broken = true
		p.discard(b)
		return nil, fmt.Errorf("set up a session on %s: %w", node.Name, err)
	}
	_ = b.conn.SetDeadline(time.Time{})
	return b, nil
}

// mustChange says whether a server wants an expired password changed first.
func mustChange(err error) bool {
	e, ok := errors.AsType[*wire.Err](err)
	return ok && e.Code == wire.ErMustChangePassword
}

// sameAccount makes sure that the node took the client for the account that was
// authenticated. The node sees Bellwether's address, not the client's: where a user
// has accounts for several hosts it may choose another, with other rights.
func (s *session) sameAccount(b *backend) error {
	if !s.srv.cfg.Accounts().Several(s.user) {
		return nil
	}
	got, err := b.queryText("SELECT CURRENT_USER()")
	if err != nil {
		return fmt.Errorf("ask %s for the account: %w", b.node, err)
	}
	if want := s.account.User + "@" + s.account.Host; got != want {
		s.logger().Warn("the node takes the client for another account, because it sees Bellwether's address; "+
			"let the accounts differ by name, or turn cluster.proxy_protocol on",
			"node", b.node, "client_is", want, "node_says", got)
		return wire.NewErr(wire.ErAccessDenied, "Access denied for user '%s'@'%s' (using password: YES)", s.user, s.host())
	}
	return nil
}

func (s *session) mariadb() bool { return s.snapshot().Flavor == gtid.MariaDB }

func (s *session) dialSpec(set *Settings, node *topology.Node) *dialSpec {
	spec := &dialSpec{
		node: node, cred: s.cred, caps: s.caps &^ clientOnly, collation: s.collation,
		schema: s.state.schema, attrs: s.attrs, maxPacket: s.maxPacket,
		mode: set.NodeTLS, tls: nodeTLS(set, node), timeout: set.ConnectTimeout,
	}
	if set.SendProxy != 0 {
		spec.proxyHdr = proxyHeader(set.SendProxy, s.addr, node.Address)
	}
	return spec
}

// clientOnly are capabilities that end at the proxy.
const clientOnly = wire.ClientSSL | wire.ClientCompress | wire.ClientZstdCompression |
	wire.ClientConnectWithDB | wire.ClientConnectAttrs

// homeConn returns the home connection, making one where the session has none.
// It waits for a leader, up to the pool's wait. A home connection to a node that
// is no longer the leader is given up, for writing there could not be undone;
// what the session has left on it is brought to the new one, and where that cannot
// be, errLeaderLeft says that it is gone. While the leader changes by plan it waits.
func (s *session) homeConn(ctx context.Context) (*backend, error) {
	if err := s.enterLeader(ctx); err != nil {
		return nil, err
	}
	if s.home != nil && s.homeStands() {
		return s.home, nil
	}
	leader, err := s.awaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	if b := s.home; b != nil {
		if b.at(leader) && b.alive() == nil {
			return b, nil
		}
		tied := b.dirty && (s.tied() || !s.keepInsertID(b))
		s.dropHome()
		if tied {
			return nil, errLeaderLeft
		}
		s.moved = true
	}
	b, err := s.homeAt(ctx, leader, s.moved)
	if err != nil {
		return nil, err
	}
	s.home, s.moved = b, false
	s.homeID.Store(b.threadID)
	s.homeNow.Store(b)
	return b, nil
}

// homeStands says whether the home connection may be used without waiting. With
// no leader known, the node goes on for the sessions that it has, until it follows.
func (s *session) homeStands() bool {
	snap := s.snapshot()
	n := snap.Leader
	if n == nil {
		n = snap.Node(s.home.node)
		return s.home.at(n) && n.Role != topology.RoleFollower && n.State != topology.StateDown
	}
	return s.home.at(n) && n.State != topology.StateDown
}

// dropHome closes a home connection that is of no more use.
func (s *session) dropHome() {
	if b := s.home; b != nil {
		s.home = nil
		s.homeID.Store(0)
		s.homeNow.Store(nil)
		s.forgetLast(b)
		b.broken = true
		s.srv.pools.of(b.node).discard(b)
	}
}

// awaitLeader returns a leader that is up, waiting for one if it must.
func (s *session) awaitLeader(ctx context.Context) (*topology.Node, error) {
	snap, changed := s.srv.cfg.Topology.Changed()
	if n := snap.Leader; n != nil && n.State == topology.StateUp {
		return n, nil
	}
	t := time.NewTimer(s.srv.settings.Load().Pool.Wait)
	defer t.Stop()
	for {
		select {
		case <-changed:
		case <-t.C:
			return nil, errNoLeader
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		snap, changed = s.srv.cfg.Topology.Changed()
		if n := snap.Leader; n != nil && n.State == topology.StateUp {
			return n, nil
		}
	}
}

// followerConn returns a connection to that follower which has the session's
// state. The one to another follower, if any, goes back to the pool.
func (s *session) followerConn(ctx context.Context, node *topology.Node) (*backend, error) {
	if s.follower != nil && !s.follower.at(node) {
		s.releaseFollower()
	}
	if s.follower == nil {
		b, err := s.connect(ctx, node, true)
		if err != nil {
			return nil, err
		}
		s.follower = b
	}
	b := s.follower
	if b.applied == s.state.version && b.schema == s.state.schema {
		return b, nil
	}
	if err := s.bringUp(b); err != nil {
		return nil, err
	}
	return b, nil
}

// bringUp brings the session's state to a follower connection, as the
// difference from what it has.
func (s *session) bringUp(b *backend) error {
	if s.unfit == b.node && s.unfitAt == s.state.version {
		return errStateUnfit
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	var err error
	if b.schema != s.state.schema {
		if s.state.schema == "" {
			return errStateUnfit // a schema can be changed, not left
		}
		b.dirty = true
		if _, err = b.command(wire.ComInitDB, s.state.schema); err == nil {
			b.schema = s.state.schema
		}
	}
	if sql := s.state.since(b.applied); err == nil && sql != "" {
		b.dirty = true
		if _, err = b.command(wire.ComQuery, sql); readOnlyVariable(err) {
			err = s.bringUpSingly(b)
		}
	}
	var refused *wire.Err
	switch {
	case err == nil:
		b.applied = s.state.version
		return nil
	case errors.As(err, &refused):
		s.unfit, s.unfitAt = b.node, s.state.version
		s.logger().Warn("session state cannot be brought to a follower; it serves none of this session's reads",
			"node", b.node, "err", err)
		return errStateUnfit
	default:
		s.dropFollower()
		return err
	}
}

// readOnlyVariable says whether a SET was refused because a variable cannot be set
// at all, though the home connection reported that it changed.
func readOnlyVariable(err error) bool {
	var e *wire.Err
	return errors.As(err, &e) && (e.Code == erIncorrectGlobalLocalVar || e.Code == wire.ErUnknownSystemVariable)
}

// bringUpSingly sets the variables one by one, and forgets those that cannot be
// set: no client can have set them either.
func (s *session) bringUpSingly(b *backend) error {
	for _, name := range s.state.names(b.applied) {
		_, err := b.command(wire.ComQuery, s.state.only(name))
		switch {
		case readOnlyVariable(err):
			s.state.drop(name)
		case err != nil:
			return err
		}
	}
	return nil
}

// releaseFollower gives the follower connection back to the pool.
func (s *session) releaseFollower() {
	if b := s.follower; b != nil {
		s.left(b)
		s.giveBack(b)
	}
}

// left ends a session's stay on its follower: what it may have read there it must
// find wherever it reads next.
func (s *session) left(b *backend) {
	s.follower = nil
	s.forgetLast(b)
	if b.read {
		b.read = false
		s.floor.read(time.Now())
	}
}

// dropFollower closes a follower connection that is of no more use.
func (s *session) dropFollower() {
	if b := s.follower; b != nil {
		s.left(b)
		b.broken = true
		s.srv.pools.of(b.node).discard(b)
	}
}

// releaseHome gives the home connection back to the pool.
func (s *session) releaseHome() {
	if b := s.home; b != nil {
		s.home = nil
		s.homeID.Store(0)
		s.homeNow.Store(nil)
		s.forgetLast(b)
		s.giveBack(b)
	}
}

func (s *session) forgetLast(b *backend) {
	if s.last == b {
		s.last = nil
	}
}

// giveBack returns a connection to the pool, reset where anything ran on it that
// the next session could notice.
func (s *session) giveBack(b *backend) {
	p := s.srv.pools.of(b.node)
	if s.srv.cfg.Server().InitConnect != "" || s.srv.settings.Load().Pool.MaxIdle <= 0 {
		p.discard(b)
		return
	}
	if n := s.snapshot().Node(b.node); b.broken || !b.at(n) || n.State == topology.StateDown {
		b.broken = true // nothing would answer, or it is another server's place
		p.discard(b)
		return
	}
	if s.srv.unsettled(b) || (s.role && !b.follower) {
		p.discard(b)
		return
	}
	if b.dirty || len(b.prepared) > 0 {
		_ = b.conn.SetDeadline(time.Now().Add(s.srv.settings.Load().ConnectTimeout))
		if err := b.reset(s.mariadb()); err != nil {
			p.discard(b)
			return
		}
		_ = b.conn.SetDeadline(time.Time{})
	}
	b.key.schema = b.schema
	p.put(b, time.Now())
}
