package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/topology"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

var (
	errNoLeader   = errors.New("no leader is available")
	errLeaderLeft = errors.New("the leader was lost, or is another node now")
	errStateUnfit = errors.New("the session's state cannot be brought to this follower")
	errRestarted  = errors.New("the follower may have started anew since the session read from it")
)

// key is what a connection to node for this session must match.
func (s *session) key(node *topology.Node, follower bool) poolKey {
	k := poolKey{
		node: node.Name, address: node.Address, follower: follower, user: s.user, secret: s.secret, schema: s.state.schema,
		caps: s.caps, collation: s.collation, attrs: string(s.attrs), shared: s.shares(),
	}
	sends := s.srv.settings.Load().SendProxy != 0
	if k.shared {
		k.schema, k.attrs = sharedSchema(k.schema), sharedAttrs(s.attrs)
	}
	switch {
	case sends && k.shared:
		k.from = s.addr.Addr().String()
	case sends:
		k.from = s.addr.String()
	}
	return k
}

// sharedSchema is what of the default schema the users of a shared connection must
// have in common: whether there is one.
func sharedSchema(schema string) string {
	if schema == "" {
		return ""
	}
	return "*"
}

// sharedAttrs are the connection attributes that the users of a shared connection must have
// in common: all but those that number a process or a thread, which are those of the client
// that it was made for. None where they are not well-formed.
func sharedAttrs(attrs []byte) string {
	out := make([]byte, 0, len(attrs))
	for rest := attrs; len(rest) > 0; {
		name, n := wire.LenencString(rest)
		if n == 0 {
			return ""
		}
		value, m := wire.LenencString(rest[n:])
		if m == 0 {
			return ""
		}
		switch string(name) {
		case "_pid", "_thread", "_thread_id":
		default:
			out = wire.AppendLenencString(wire.AppendLenencString(out, name), value)
		}
		rest = rest[n+m:]
	}
	return string(out)
}

// wish is what the session wants of the pool of a node.
func (s *session) wish(node *topology.Node, follower bool) *wish {
	return &wish{
		who: s, key: s.key(node, follower), own: !s.srv.shares() || s.account.PasswordExpired,
		schema: s.state.schema, vars: s.state.current(!follower), onWait: s.onWait,
	}
}

// onWait is called before the session waits for a connection: others may have those
// that it does not use meanwhile, and nothing of it is under way on the leader.
func (s *session) onWait() {
	s.rest()
	if s.home == nil {
		s.working.Store(false)
	}
}

// connect takes a connection from the pool or makes one.
func (s *session) connect(ctx context.Context, node *topology.Node, follower bool) (*backend, error) {
	p := s.srv.pools.of(node.Name)
	w := s.wish(node, follower)
	for {
		b, err := p.acquire(ctx, w)
		if err != nil {
			return nil, err
		}
		if b != nil {
			s.srv.metrics.poolHits.Add(1)
			return b, nil
		}
		b, err = s.make(ctx, node, w)
		if err == nil {
			p.made(b, s)
			return b, nil
		}
		p.made(nil, s)
		// The server lets nobody in: one of those that are there has to do.
		if !w.key.shared || w.noDial || !crowded(err) || !p.any() {
			return nil, err
		}
		s.logger().Info("a node lets no more connections in; waiting for one that there is", "node", node.Name, "err", err)
		w.noDial = true
	}
}

// crowded says whether a server refused a login for the number of connections.
func crowded(err error) bool {
	e, ok := errors.AsType[*wire.Err](err)
	return ok && (e.Code == wire.ErConCount || e.Code == erTooManyUserConnections || e.Code == erUserLimitReached)
}

// make logs in to a node and brings the session there to what it must be.
func (s *session) make(ctx context.Context, node *topology.Node, w *wish) (*backend, error) {
	set := s.srv.settings.Load()
	spec := s.dialSpec(set, node)
	b, greeting, err := dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.srv.metrics.dials.Add(1)
	s.srv.offers.learn(node.Name, greeting)
	b.key, b.follower = w.key, w.key.follower
	b.dirty = w.own
	b.baseAutocommit = wire.Status(b.status).Has(wire.StatusAutocommit)
	_ = b.conn.SetDeadline(time.Now().Add(set.ConnectTimeout))
	if err := s.sameAccount(b); err != nil {
		b.broken = true
		b.quit()
		return nil, err
	}
	switch err := b.learnCharsets(&s.srv.pools.of(node.Name).charsets, s.collation, s.mariadb()); {
	case mustChange(err) && !b.follower: // until then only that is allowed
		b.dirty, s.retrack = true, true
	case err != nil:
		b.broken = true
		b.quit()
		return nil, fmt.Errorf("set up a session on %s: %w", node.Name, err)
	}
	_ = b.conn.SetDeadline(time.Time{})
	if set.Pool.MinIdle > 0 && !s.srv.cfg.Accounts().Several(s.user) {
		s.srv.recipes.remember(b.key, spec, s.mariadb())
	}
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
// A leader that cannot be connected to may be dead, and another one lead soon: that is
// waited for, up to the pool's wait.
func (s *session) homeConn(ctx context.Context) (*backend, error) {
	b, err := s.tryHome(ctx)
	if errors.Is(err, errTransactionLost) && s.mayReplay() && s.runAgain(ctx) {
		return s.home, nil
	}
	for deadline := (time.Time{}); unreached(err) && ctx.Err() == nil; b, err = s.tryHome(ctx) {
		if deadline.IsZero() {
			deadline = time.Now().Add(s.srv.settings.Load().Pool.Wait)
		}
		s.leaveLeader()
		if !s.awaitChange(ctx, deadline) {
			return nil, err
		}
	}
	if err == nil && s.needsID && s.insertID.lost {
		return nil, errInsertID
	}
	return b, err
}

// tryHome is one attempt of homeConn.
func (s *session) tryHome(ctx context.Context) (*backend, error) {
	for {
		if err := s.enterLeader(ctx); err != nil {
			return nil, err
		}
		s.claimHome()
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
			if err := s.leaveHome(b); err != nil {
				return nil, err
			}
		}
		b, err := s.homeAt(ctx, leader)
		if err != nil {
			return nil, err
		}
		s.home = b
		s.homeID.Store(b.threadID)
		s.homeNow.Store(b)
		if s.working.Load() { // else it waited in a queue, and the leader may be another now
			return b, nil
		}
	}
}

// homeAt makes a home connection on the leader, with what the session had on its last.
func (s *session) homeAt(ctx context.Context, leader *topology.Node) (*backend, error) {
	for again := range 3 {
		b, err := s.connect(ctx, leader, false)
		if err != nil {
			return nil, err
		}
		want := &luggage{
			schema: s.state.schema, vars: s.state.current(true), home: true,
			autocommit: s.view.Autocommit, lastID: s.insertID.id, clean: s.wantClean,
		}
		if !s.begun { // the server decides what the session begins with
			want.autocommit = b.baseAutocommit
		}
		s.busy.Store(b)
		err = b.bring(want, s.mariadb())
		if err == nil && b.born.Before(s.lostAt) {
			_, err = b.command(wire.ComPing, "")
		}
		s.busy.Store(nil)
		if err == nil {
			return b, nil
		}
		reused := time.Since(b.born) > time.Second
		s.srv.pools.of(b.node).discard(b)
		if _, refused := errors.AsType[*wire.Err](err); refused || again == 2 || !reused {
			return nil, fmt.Errorf("bring the session to %s: %w", b.node, err)
		}
	}
	return nil, errNoLeader
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
		b.inherit = nil
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
	s.claimFollower()
	if s.follower != nil && !s.follower.at(node) {
		s.releaseFollower()
	}
	if s.follower == nil {
		b, err := s.connect(ctx, node, true)
		if err != nil {
			return nil, err
		}
		s.follower = b
		if !s.settleAt(b) {
			return nil, errRestarted
		}
	}
	b := s.follower
	if b.vars.equal(s.state.current(false)) && b.schema == s.state.schema && !b.unclean {
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
	known := s.unfitAt(b.node)
	if known != nil && time.Now().Before(known.until) {
		return errStateUnfit
	}
	s.busy.Store(b)
	defer s.busy.Store(nil)
	err := b.bring(&luggage{schema: s.state.schema, vars: s.state.current(false)}, s.mariadb())
	if readOnlyVariable(err) {
		err = s.bringUpSingly(b)
	}
	var refused *wire.Err
	switch {
	case err == nil, errors.Is(err, errStateUnfit):
		return err
	case errors.As(err, &refused):
		if known == nil {
			s.logger().Warn("session state cannot be brought to a follower; it serves none of this session's reads until that can be",
				"node", b.node, "err", err)
		}
		s.noteUnfit(b.node)
		return errStateUnfit
	default:
		s.dropFollower()
		return err
	}
}

// unfit is a state that a follower refused. It may take it later: the schema that
// the session uses may not have been replicated yet.
type unfit struct {
	node    string
	schema  string
	version uint64    // of the state; see sessionState
	until   time.Time // when the follower is asked again
}

// unfitTime is how long a follower that refused a session's state is not asked again.
const unfitTime = time.Second

// unfitAt returns what the node refused, if that is the session's state now.
func (s *session) unfitAt(node string) *unfit {
	for i := range s.unfit {
		if u := &s.unfit[i]; u.node == node && u.schema == s.state.schema && u.version == s.state.version {
			return u
		}
	}
	return nil
}

// noteUnfit notes that the node refuses the session's state.
func (s *session) noteUnfit(node string) {
	s.unfit = slices.DeleteFunc(s.unfit, func(u unfit) bool { return u.node == node })
	s.unfit = append(s.unfit, unfit{node, s.state.schema, s.state.version, time.Now().Add(unfitTime)})
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
	for _, x := range s.state.current(false).list {
		_, err := b.command(wire.ComQuery, assignments([]variable{x}))
		switch {
		case readOnlyVariable(err):
			s.state.drop(x.name)
		case err != nil:
			return err
		}
	}
	b.vars, b.unclean = s.state.current(false), false
	return nil
}

// releaseFollower gives the follower connection back to the pool, and leaves the follower.
func (s *session) releaseFollower() {
	s.claimFollower()
	if b := s.follower; b != nil {
		s.follower = nil
		s.giveBack(b)
		s.forgetLast(b)
	}
	s.leavePlace()
}

// dropFollower closes a follower connection that is of no more use.
func (s *session) dropFollower() {
	if b := s.follower; b != nil {
		s.follower = nil
		s.forgetLast(b)
		b.broken = true
		s.srv.pools.of(b.node).discard(b)
	}
	s.leavePlace()
}

// releaseHome gives the home connection back to the pool.
func (s *session) releaseHome() {
	s.claimHome()
	if b := s.home; b != nil {
		s.homeID.Store(0)
		s.homeNow.Store(nil)
		b.inherit = nil // nobody asks any more
		s.giveBack(b)
		s.home = nil
		s.forgetLast(b)
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
	if s.srv.unsettled(b) || b.spoilt || (s.role && !b.follower) {
		p.discard(b)
		return
	}
	if b.key.shared && (b.follower || s.leavable()) {
		// The next session brings its own, by difference.
		s.pack(b, !b.follower)
		b.unclean = b.unclean || s.last == b && s.about.kept
		p.put(b, time.Now())
		return
	}
	if b.dirty || len(b.prepared.by) > 0 {
		_ = b.conn.SetDeadline(time.Now().Add(s.srv.settings.Load().ConnectTimeout))
		if err := b.reset(s.mariadb()); err != nil {
			p.discard(b)
			return
		}
		_ = b.conn.SetDeadline(time.Time{})
	}
	b.key.schema = b.schema
	if b.key.shared {
		b.key.schema = sharedSchema(b.schema)
	}
	p.put(b, time.Now())
}
