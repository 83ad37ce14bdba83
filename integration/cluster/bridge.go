package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// ErrNeedsRelays says that containers without Options.Relays cannot do this.
var ErrNeedsRelays = errors.New("the kernel cannot slow a container's link: use Options.Relays")

// bridgeNetwork is a private container network; nodes talk to each other's own
// addresses, and the proxy, on this host, is seen as the network's gateway.
type bridgeNetwork struct {
	cluster *Cluster
	name    string
	prefix  string // of all its addresses, as "10.211.7."

	mu   sync.Mutex // guards cuts
	cuts map[*Node][]cutRule
}

// cutRule is what Cut was asked for; it is applied again after a restart, which
// gives the container a new network namespace.
type cutRule struct {
	peers Peers
	d     Direction
}

var _ network = (*bridgeNetwork)(nil)

func newBridgeNetwork(ctx context.Context, c *Cluster) (*bridgeNetwork, error) {
	var err error
	for range 20 {
		b := &bridgeNetwork{
			cluster: c,
			name:    fmt.Sprintf("bw-%d-%06x", os.Getpid(), rand.IntN(1<<24)),
			prefix:  fmt.Sprintf("10.%d.%d.", 192+rand.IntN(32), rand.IntN(256)),
			cuts:    make(map[*Node][]cutRule),
		}
		_, err = docker(ctx, "network", "create", "--driver", "bridge",
			"--label", fmt.Sprintf("%s=%d", pidLabel, os.Getpid()),
			"--subnet", b.prefix+"0/24", "--gateway", b.gateway(), b.name)
		if err == nil {
			return b, nil
		}
		if !strings.Contains(err.Error(), "overlap") { // else another subnet may be free
			return nil, err
		}
	}
	return nil, err
}

func (b *bridgeNetwork) gateway() string     { return b.prefix + "1" }
func (b *bridgeNetwork) nodeIP(i int) string { return fmt.Sprintf("%s%d", b.prefix, 11+i) }

func (b *bridgeNetwork) address(_, to *Node) (string, error) { return to.DirectAddr(), nil }

func (b *bridgeNetwork) peerIPs(n *Node, p Peers) []string {
	var ips []string
	if p&Proxy != 0 {
		ips = append(ips, b.gateway())
	}
	if p&Nodes != 0 {
		for _, peer := range b.cluster.nodes {
			if peer != n {
				ips = append(ips, b.nodeIP(peer.index))
			}
		}
	}
	return ips
}

func (b *bridgeNetwork) cut(n *Node, p Peers, d Direction) error {
	if err := b.filter(n, cutRule{p, d}); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cuts[n] = append(b.cuts[n], cutRule{p, d})
	return nil
}

// filter drops packets in the container's network namespace.
func (b *bridgeNetwork) filter(n *Node, r cutRule) error {
	for _, ip := range b.peerIPs(n, r.peers) {
		if r.d&In != 0 {
			if err := b.inside(n, "iptables", "-w", "-A", "INPUT", "-s", ip, "-j", "DROP"); err != nil {
				return err
			}
		}
		if r.d&Out != 0 {
			if err := b.inside(n, "iptables", "-w", "-A", "OUTPUT", "-d", ip, "-j", "DROP"); err != nil {
				return err
			}
		}
	}
	return nil
}

// inside runs a command of this host in the container's network namespace.
func (b *bridgeNetwork) inside(n *Node, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s := n.server.(*container)
	pid, err := s.pid(ctx)
	if err != nil {
		return err
	}
	args := append([]string{"nsenter", "-t", pid, "-n"}, command...)
	if os.Getuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s in the network of %s (needs root, nsenter, iptables, ss): %w: %s",
			strings.Join(command, " "), n.name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (b *bridgeNetwork) slow(*Node, Peers, Shape) error { return ErrNeedsRelays }

// reset lets the kernel destroy the container's sockets, which sends resets.
func (b *bridgeNetwork) reset(n *Node, p Peers) error {
	for _, ip := range b.peerIPs(n, p) {
		if err := b.inside(n, "ss", "-K", "dst", ip); err != nil {
			return err
		}
	}
	return nil
}

func (b *bridgeNetwork) heal(n *Node) error {
	b.mu.Lock()
	delete(b.cuts, n)
	b.mu.Unlock()
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		if err := b.inside(n, "iptables", "-w", "-F", chain); err != nil {
			return err
		}
	}
	return nil
}

func (b *bridgeNetwork) up(n *Node) error {
	b.mu.Lock()
	rules := append([]cutRule(nil), b.cuts[n]...)
	b.mu.Unlock()
	for _, r := range rules {
		if err := b.filter(n, r); err != nil {
			return err
		}
	}
	return nil
}

func (b *bridgeNetwork) down(*Node) {}

func (b *bridgeNetwork) close() error {
	_, err := docker(context.Background(), "network", "rm", b.name)
	return err
}

// Unplug takes a container off its network, as pulling the cable does. Plug
// brings it back at the same address. For processes they are Cut and Heal.
func (n *Node) Unplug() error {
	s, ok := n.server.(*container)
	if !ok {
		return n.Cut(All, Both)
	}
	_, err := docker(context.Background(), "network", "disconnect", s.network, s.name)
	return err
}

// Plug ends Unplug.
func (n *Node) Plug() error {
	s, ok := n.server.(*container)
	if !ok {
		return n.Heal()
	}
	_, err := docker(context.Background(), "network", "connect", "--ip", s.ip, s.network, s.name)
	return err
}

// relayedBridge is a container network whose links run through relays on this
// host, which the containers reach at the gateway's address.
type relayedBridge struct {
	*relayNetwork
	bridge *bridgeNetwork
}

var _ network = (*relayedBridge)(nil)

func (r *relayedBridge) close() error {
	return errors.Join(r.relayNetwork.close(), r.bridge.close())
}
