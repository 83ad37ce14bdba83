package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// origin finds out where a client comes from: its socket, and the PROXY header
// that a trusted load balancer sends before anything else.
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
func (s *session) origin(set *Settings) error {
	if sc, ok := s.socket.(syscall.Conn); ok {
		s.raw, _ = sc.SyscallConn()
	}
	switch addr := s.socket.RemoteAddr().(type) {
	case *net.TCPAddr:
		s.addr = addr.AddrPort()
		s.addr = netip.AddrPortFrom(s.addr.Addr().Unmap(), s.addr.Port())
	default:
		s.local, s.secure = true, true
		s.addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	if s.local || !trusts(set.ProxyTrusted, s.addr.Addr()) {
		return nil
	}
	_ = s.socket.SetReadDeadline(time.Now().Add(set.AuthTimeout))
	r := bufio.NewReaderSize(s.socket, 256)
	h, err := proxyproto.Read(r)
	if err != nil {
		return fmt.Errorf("PROXY header: %w", err)
	}
	if r.Buffered() > 0 {
		return errors.New("PROXY header: the client spoke before it was greeted")
	}
	if h.Command.IsLocal() { // the balancer's own health check
		return nil
	}
	addr, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return nil
	}
	from := addr.AddrPort()
	s.addr = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return nil
}

func trusts(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// proxyHeader is the header that tells a node where the client really is.
func proxyHeader(version int, client netip.AddrPort, node string) []byte {
	dst, err := netip.ParseAddrPort(node)
	if err != nil || !client.Addr().IsValid() || client.Addr().IsUnspecified() {
		return localProxyHeader(version)
	}
	h := proxyproto.HeaderProxyFromAddrs(byte(version), net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(dst))
	b, err := h.Format()
	if err != nil {
		return localProxyHeader(version)
	}
	return b
}

// localProxyHeader says that the connection is Bellwether's own.
func localProxyHeader(version int) []byte {
	if version == 1 {
		return []byte("PROXY UNKNOWN\r\n")
	}
	h := proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	b, err := h.Format()
	if err != nil {
		return nil
	}
	return b
}

// nodeTLS is the TLS configuration for one node: its name is what its
// certificate must bear.
func nodeTLS(set *Settings, node *topology.Node) *tls.Config {
	if set.NodeTLS == TLSOff {
		return nil
	}
	cfg := set.NodeTLSConfig.Clone()
	if host, _, err := net.SplitHostPort(node.Address); err == nil {
		cfg.ServerName = host
	}
	return cfg
}
