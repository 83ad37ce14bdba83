package router

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Policy is compiled routing configuration. It is immutable, but for the
// Learned that it was given.
type Policy struct {
	maxLag      time.Duration
	refuse      bool // no follower: an error rather than the leader
	consistency Level
	pin         bool
	zone        string
	byLatency   bool
	rules       []rule
	learned     *Learned
}

// rule is a compiled RuleSpec.
type rule struct {
	name      string
	users     []string
	schemas   []string
	clients   []netip.Prefix
	pattern   *regexp.Regexp
	digest    uint64
	hasDigest bool

	target    Target
	node      string
	maxLag    time.Duration // 0: the policy's
	refuse    bool
	hasRefuse bool
	level     Level // LevelNone: the policy's
}

// NewPolicy compiles a policy. The error names the rule and the field.
func NewPolicy(spec PolicySpec) (*Policy, error) {
	p := &Policy{maxLag: spec.MaxLag, pin: spec.Pin, zone: spec.Zone, byLatency: spec.ByLatency, learned: spec.Learned}
	var err error
	if p.refuse, _, err = noFollower(spec.NoFollower); err != nil {
		return nil, fmt.Errorf("no_follower: %w", err)
	}
	if p.consistency, err = levelNamed(spec.Consistency); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	if p.consistency == LevelNone {
		p.consistency = LevelSession
	}
	for i := range spec.Rules {
		r, err := compileRule(&spec.Rules[i])
		if err != nil {
			name := spec.Rules[i].Name
			if name == "" {
				name = "#" + strconv.Itoa(i+1)
			}
			return nil, fmt.Errorf("rule %s: %w", name, err)
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

func levelNamed(s string) (Level, error) {
	if s == "" {
		return LevelNone, nil
	}
	if l, ok := ParseLevel(s); ok {
		return l, nil
	}
	return LevelNone, fmt.Errorf("%q is not known, want eventual, session, causal, global or strong", s)
}

func noFollower(s string) (refuse, given bool, err error) {
	switch s {
	case "":
		return false, false, nil
	case "leader":
		return false, true, nil
	case "error":
		return true, true, nil
	}
	return false, false, fmt.Errorf("%q is not known, want leader or error", s)
}

func compileRule(s *RuleSpec) (r rule, err error) {
	r = rule{name: s.Name, users: s.Users, node: s.Node}
	for _, schema := range s.Schemas {
		r.schemas = append(r.schemas, lower(schema))
	}
	for _, c := range s.Clients {
		prefix, err := parsePrefix(c)
		if err != nil {
			return r, fmt.Errorf("clients: %w", err)
		}
		r.clients = append(r.clients, prefix)
	}
	if s.Pattern != "" {
		if r.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return r, fmt.Errorf("pattern: %w", err)
		}
	}
	if s.Digest != "" {
		if r.digest, err = strconv.ParseUint(strings.TrimPrefix(s.Digest, "0x"), 16, 64); err != nil {
			return r, fmt.Errorf("digest: %q is not a number of 16 hexadecimal digits", s.Digest)
		}
		r.hasDigest = true
	}
	switch s.Target {
	case "":
	case "leader":
		r.target = TargetLeader
	case "follower":
		r.target = TargetFollower
	default:
		return r, fmt.Errorf("target: %q is not known, want leader or follower", s.Target)
	}
	if s.MaxLag != nil {
		if *s.MaxLag <= 0 {
			return r, fmt.Errorf("max_lag: %v is not over zero", *s.MaxLag)
		}
		r.maxLag = *s.MaxLag
	}
	if r.refuse, r.hasRefuse, err = noFollower(s.NoFollower); err != nil {
		return r, fmt.Errorf("no_follower: %w", err)
	}
	if r.level, err = levelNamed(s.Consistency); err != nil {
		return r, fmt.Errorf("consistency: %w", err)
	}
	return r, nil
}

// parsePrefix reads a CIDR or a single address. An IPv4 address in IPv6 clothes
// is the IPv4 address.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// matches says whether all conditions of the rule hold.
func (r *rule) matches(v *SessionView, q *Query) bool {
	if len(r.users) > 0 && !contains(r.users, v.User) {
		return false
	}
	if len(r.schemas) > 0 && !containsFold(r.schemas, v.Schema) {
		return false
	}
	if len(r.clients) > 0 && !r.client(v.ClientAddr) {
		return false
	}
	if r.hasDigest && q.Digest() != r.digest {
		return false
	}
	return r.pattern == nil || r.pattern.Match(q.SQL)
}

func (r *rule) client(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range r.clients {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	return slices.Contains(list, s)
}

// containsFold says whether s, in lower case, is in the list, which is.
func containsFold(list []string, s string) bool {
	for _, x := range list {
		if len(x) != len(s) {
			continue
		}
		i := 0
		for i < len(x) && lowerByte(s[i]) == x[i] {
			i++
		}
		if i == len(x) {
			return true
		}
	}
	return false
}
