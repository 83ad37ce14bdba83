package cluster

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// owner is the node whose process has the socket with that local address; nil where
// it is none of them, or not known (only Linux tells).
func (c *Cluster) owner(local net.Addr) *Node {
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return nil
	}
	inode := inodeOf(tcp)
	if inode == "" {
		return nil
	}
	for _, n := range c.nodes {
		p, ok := n.server.(interface{ PID() int })
		if !ok {
			return nil
		}
		if pid := p.PID(); pid != 0 && hasSocket(pid, inode) {
			return n
		}
	}
	return nil
}

// inodeOf finds a socket by its local address in /proc/net/tcp (proc(5)). There may be
// thousands of lines, and this is done for each connection.
func inodeOf(local *net.TCPAddr) string {
	all, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	ip := slices.Clone(local.IP.To4())
	slices.Reverse(ip) // as a number of this machine
	want := fmt.Appendf(nil, ": %X:%04X ", []byte(ip), local.Port)
	for {
		at := bytes.Index(all, want)
		if at < 0 {
			return ""
		}
		line, rest, _ := bytes.Cut(all[at:], []byte("\n"))
		const inode = 9
		if fields := strings.Fields(string(line)); len(fields) > inode && fields[inode] != "0" { // 0: closed, and waits
			return fields[inode]
		}
		all = rest
	}
}

func hasSocket(pid int, inode string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		return err == nil && to == "socket:["+inode+"]"
	})
}
