package cluster

import (
	"net"
	"sync"
)

// link is a pair that talks: from connects to to. A nil from is the proxy.
type link struct{ from, to *Node }

// relayNetwork links everybody through relays on this host. A node that connects to
// another one at the address that Bellwether uses, as it does when Bellwether lets it
// follow, is recognised by its process: the faults of the link between the two hold.
type relayNetwork struct {
	cluster  *Cluster
	listenIP string

	mu     sync.Mutex // guards relays
	relays map[link]*Relay

	lineMu sync.Mutex // guards lines
	lines  map[link]*line
}

var _ network = (*relayNetwork)(nil)

func newRelayNetwork(c *Cluster, listenIP string) *relayNetwork {
	return &relayNetwork{cluster: c, listenIP: listenIP, relays: make(map[link]*Relay), lines: make(map[link]*line)}
}

func (r *relayNetwork) address(from, to *Node) (string, error) {
	relay, err := r.relay(link{from, to})
	if err != nil {
		return "", err
	}
	return relay.Addr(), nil
}

func (r *relayNetwork) relay(l link) (*Relay, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if relay := r.relays[l]; relay != nil {
		return relay, nil
	}
	ip := r.listenIP
	if l.from == nil {
		ip = "127.0.0.1"
	}
	var whose func(net.Addr) *line
	if l.from == nil {
		whose = func(from net.Addr) *line {
			if n := r.cluster.owner(from); n != nil {
				return r.line(link{n, l.to})
			}
			return nil
		}
	}
	relay, err := newRelay(ip, l.to.DirectAddr(), r.line(l), whose)
	if err != nil {
		return nil, err
	}
	r.relays[l] = relay
	return relay, nil
}

func (r *relayNetwork) line(l link) *line {
	r.lineMu.Lock()
	defer r.lineMu.Unlock()
	if r.lines[l] == nil {
		r.lines[l] = newLine()
	}
	return r.lines[l]
}

// each calls f for the relays between n and the peers, with whether n is the end
// that listens.
func (r *relayNetwork) each(n *Node, p Peers, f func(relay *Relay, listens bool)) error {
	var links []link
	if p&Proxy != 0 {
		links = append(links, link{nil, n})
	}
	if p&Nodes != 0 {
		for _, peer := range r.cluster.nodes {
			if peer != n {
				links = append(links, link{peer, n}, link{n, peer})
			}
		}
	}
	for _, l := range links {
		relay, err := r.relay(l)
		if err != nil {
			return err
		}
		f(relay, l.to == n)
	}
	return nil
}

func (r *relayNetwork) cut(n *Node, p Peers, d Direction) error {
	return r.each(n, p, func(relay *Relay, listens bool) {
		if listens {
			relay.Cut(d)
		} else {
			relay.Cut(d.opposite())
		}
	})
}

// opposite is the same ways seen from the other end.
func (d Direction) opposite() Direction {
	return d&In<<1 | d&Out>>1
}

func (r *relayNetwork) slow(n *Node, p Peers, s Shape) error {
	return r.each(n, p, func(relay *Relay, _ bool) { relay.Slow(s) })
}

func (r *relayNetwork) reset(n *Node, p Peers) error {
	return r.each(n, p, func(relay *Relay, _ bool) { relay.Reset() })
}

func (r *relayNetwork) heal(n *Node) error {
	return r.each(n, All, func(relay *Relay, _ bool) { relay.Heal() })
}

func (r *relayNetwork) up(n *Node) error { return r.listen(n, true) }

func (r *relayNetwork) down(n *Node) { _ = r.listen(n, false) }

// listen lets the relays towards a node refuse connections while it is down, as
// its host would.
func (r *relayNetwork) listen(n *Node, up bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l, relay := range r.relays {
		switch {
		case l.to != n:
		case up:
			relay.Retarget(n.DirectAddr())
			if err := relay.Accept(); err != nil {
				return err
			}
		default:
			relay.Refuse()
		}
	}
	return nil
}

func (r *relayNetwork) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, relay := range r.relays {
		relay.Close()
	}
	return nil
}
