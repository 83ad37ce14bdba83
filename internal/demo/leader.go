package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

const (
	// restartAfter is how long a killed leader stays dead, unless a key is pressed.
	restartAfter = 8 * time.Second
	// showTurn is how long a change of the leader is shown after it is over.
	showTurn = 20 * time.Second
	// turnTimeout bounds the wait for a new leader, and for the old one's return.
	turnTimeout = time.Minute
)

// turn is a change of the leader that was brought about here.
type turn struct {
	did    string
	began  time.Time
	ended  time.Time // zero: not yet
	leader string    // the new one
	dead   *sandbox.Node
	again  chan struct{} // starts what was killed before its time
}

// leader is the node that leads now; nil for none.
func (s *show) leader() *sandbox.Node {
	if l := s.d.app.Store().Load().Leader; l != nil {
		return s.node(l.Name)
	}
	return nil
}

func (s *show) node(name string) *sandbox.Node {
	for _, n := range s.d.cluster.Nodes() {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// beginTurn makes a change of the leader the one that is shown, unless another one
// is under way.
func (s *show) beginTurn(did string, n *sandbox.Node) *turn {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != nil && s.turn.ended.IsZero() {
		return nil
	}
	s.turn = &turn{did: did, began: now, dead: n, again: make(chan struct{}, 1)}
	s.d.load.begin(now)
	return s.turn
}

func (s *show) endTurn(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.dead, t.ended = nil, time.Now()
}

// killLeader kills the leader (SIGKILL), says what happens then, and starts it again
// some seconds after another one leads. Pressed once more it starts it at once.
func (s *show) killLeader(ctx context.Context) {
	s.mu.Lock()
	if t := s.turn; t != nil && t.dead != nil {
		select {
		case t.again <- struct{}{}:
		default:
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	n := s.leader()
	if n == nil {
		s.note("nobody leads")
		return
	}
	t := s.beginTurn(n.Name()+", the leader, was killed", n)
	if t == nil {
		return
	}
	defer s.endTurn(t)
	s.note("%s, the leader, is killed (SIGKILL)", n.Name())
	if err := n.Kill(); err != nil {
		s.note("%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if s.follow(ctx, t, "failover") {
		s.tellTurn(ctx)
	}
	select {
	case <-ctx.Done():
	case <-t.again:
	case <-time.After(time.Until(t.began.Add(restartAfter))):
	}
	select {
	case <-s.gone:
	default:
		s.bringBack(ctx, n)
	}
}

// bringBack starts a node that led, and waits until it serves as a follower.
func (s *show) bringBack(ctx context.Context, n *sandbox.Node) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnTimeout)
	defer cancel()
	s.note("%s is started again", n.Name())
	if err := n.Start(ctx); err != nil {
		s.note("%v", err)
		return
	}
	for {
		snap, changed := s.d.app.Store().Changed()
		if v := snap.Node(n.Name()); v != nil && v.Eligible || snap.Leader != nil && snap.Leader.Name == n.Name() {
			return
		}
		select {
		case <-changed:
		case <-s.gone:
			return
		case <-ctx.Done():
			s.note("%s serves nobody: %s", n.Name(), s.trouble(n.Name()))
			return
		}
	}
}

// trouble is what is known to be wrong with a node.
func (s *show) trouble(node string) string {
	v, _ := s.d.app.Failover()
	for i := range v.Problems {
		if p := &v.Problems[i]; p.Node == node {
			return p.Text
		}
	}
	return "it is not known why"
}

// switchOver makes a follower the leader, without a fault.
func (s *show) switchOver(ctx context.Context) {
	n := s.leader()
	if n == nil {
		s.note("nobody leads")
		return
	}
	t := s.beginTurn("a switchover away from "+n.Name(), nil)
	if t == nil {
		return
	}
	defer s.endTurn(t)
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	s.note("%s is to lead no longer (switchover)", n.Name())
	v, err := s.d.app.Switchover(ctx, "")
	for _, step := range v.Steps {
		s.note("%9s %s", fmt.Sprintf("%.1f ms", step.TookMS), step.Name)
	}
	switch {
	case err != nil:
		why := err.Error()
		if len(v.Reasons) > 0 {
			why = v.Reasons[0]
		}
		s.note("no switchover: %s", why)
		return
	case len(v.Warnings) > 0:
		s.note("%s", v.Warnings[0])
	}
	s.setLeader(t, v.To)
	s.note("%s leads; writes were held for %.0f ms, and none failed", v.To, v.HeldMS)
	s.tellTurn(ctx)
}

func (s *show) setLeader(t *turn, leader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.leader = leader
}

// follow tells the steps of a change as soon as it is over, and whether it came to an end.
func (s *show) follow(ctx context.Context, t *turn, kind string) bool {
	told, last := "", t.began
	for {
		list, err := s.d.app.Incidents(1)
		if err != nil {
			s.note("%v", err)
			return false
		}
		if len(list) > 0 && list[0].Kind == kind && list[0].Began.After(last) {
			i := &list[0]
			last = i.Began
			for _, text := range steps(i, t.began) {
				s.note("%s", text)
			}
			if i.Outcome != "finished" {
				s.note("the failover was %s: %s", i.Outcome, i.Text)
				continue
			}
			s.setLeader(t, i.To)
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
		if time.Since(t.began) > 2*time.Second {
			if v, _ := s.d.app.Failover(); len(v.Problems) > 0 && v.Problems[0].Text != told {
				told = v.Problems[0].Text
				s.note("%s: %s", v.Problems[0].Rule.Code, told)
			}
		}
	}
}

// steps are the events of an incident for people, each with the time since began:
// what was seen of the old leader, what was decided and done.
func steps(i *executor.Incident, began time.Time) []string {
	var out []string
	begun := false
	for _, e := range i.Events {
		after := i.Began.Add(time.Duration(e.AtMS * float64(time.Millisecond))).Sub(began)
		if after < 0 {
			continue
		}
		text := ""
		switch e.Event {
		case "problem":
			if e.Node == i.From && !begun {
				text = e.Node + ": " + e.Text
			}
		case "failover":
			begun = true
		case "step":
			text = stepTexts[e.Text]
		case "chosen":
			text = e.Node + " is chosen: " + e.Text
		case "blocked", "failed", "undo", "dropped":
			text = e.Event + ": " + e.Text
		case "finished":
			text = e.Text
		}
		if text != "" {
			out = append(out, fmt.Sprintf("%+7.3f s  %s", after.Seconds(), text))
		}
	}
	return out
}

// stepTexts are the steps of a failover in words.
var stepTexts = map[string]string{
	"claim":   "a new epoch is claimed; writes are held",
	"revoke":  "followers stop receiving from the old leader",
	"drain":   "it applies all that any of them has received",
	"publish": "the record names it",
	"open":    "it takes writes",
	"repoint": "the others follow it",
	"finish":  "held writes go on",
}

// tellTurn says what the change meant for clients, once a write was acknowledged.
func (s *show) tellTurn(ctx context.Context) {
	for s.d.load.since().first == 0 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
	select { // what was held comes to its end
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
		return
	}
	since := s.d.load.since()
	s.note("first write acknowledged after %s, longest wait %s; %s answered meanwhile, %s failed",
		short(since.first), short(since.longest), count(int(since.reads), "read"), thousands(since.failed))
}

// fillTurn shows the change of the leader, for a while.
func (s *show) fillTurn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.Turn = nil
	t := s.turn
	if t == nil || !t.ended.IsZero() && time.Since(t.ended) > showTurn {
		return
	}
	since := s.d.load.since()
	s.view.Turn = &Turn{
		Did: t.did, Since: time.Since(t.began), Over: !t.ended.IsZero(), Leader: t.leader,
		First: since.first, Longest: since.longest, Reads: since.reads, Failed: since.failed, Unknown: since.unknown,
	}
}

// leaderKeys are what the keys for the leader do now.
func (s *show) leaderKeys() []Key {
	s.mu.Lock()
	t := s.turn
	busy := t != nil && t.ended.IsZero()
	var dead *sandbox.Node
	if busy {
		dead = t.dead
	}
	s.mu.Unlock()
	switch l := s.leader(); {
	case dead != nil:
		return []Key{{'l', "start " + dead.Name()}}
	case busy || l == nil:
		return []Key{{'l', "..."}}
	default:
		return []Key{{'l', "kill the leader"}, {'w', "switchover"}}
	}
}
