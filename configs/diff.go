package configs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two configurations.
type Change struct {
	Path string // key path; list entries by name, as in cluster.nodes[db2].weight
	Old  string // as text, secrets redacted; empty when added
	New  string // as text, secrets redacted; empty when removed
	Hot  bool   // a reload applies it; otherwise a restart is needed
	What string // the same for people, in one line
}

// restartOnly is what a running process cannot change.
var restartOnly = []string{
	"listen.address", "listen.socket", "admin.address", "replication.mode",
	"cluster.flavor", "log.format", "monitor.heartbeat.schema",
	"failover.mode", "failover.acks", "failover.heartbeat_timeout", "failover.probe_interval", "failover.min_interval",
	"failover.max_per_hour", "failover.returned", "failover.hook", "failover.directory",
	"coordination.local.path", "coordination.etcd.endpoints", "coordination.etcd.prefix", "coordination.etcd.name", "coordination.etcd.ttl",
	"coordination.etcd.user", "coordination.etcd.password", "coordination.etcd.password_file", "coordination.etcd.password_env",
	"coordination.etcd.tls.mode", "coordination.etcd.tls.ca", "coordination.etcd.tls.cert", "coordination.etcd.tls.key",
}

// Diff says what a reload from old to next would change, in the order of the
// file format. Nodes, users and rules are compared by name.
func Diff(old, next *Config) []Change {
	var d differ
	d.values(reflect.ValueOf(*old), reflect.ValueOf(*next), "")
	for _, key := range sortedKeys(next.Source.PEM) {
		was, now := old.Source.PEM[key], next.Source.PEM[key]
		if was != "" && was != now && !d.has(key) {
			d.add(key, "", "", fmt.Sprintf("the content of the file of %s changed", key))
		}
	}
	return d.changes
}

// NeedRestart returns the changes that a reload cannot apply.
func NeedRestart(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Hot })
}

type differ struct{ changes []Change }

func (d *differ) has(path string) bool {
	return slices.ContainsFunc(d.changes, func(c Change) bool { return c.Path == path })
}

func (d *differ) add(path, was, now, what string) {
	if what == "" {
		what = fmt.Sprintf("%s: %s → %s", path, orNone(was), orNone(now))
	}
	d.changes = append(d.changes, Change{Path: path, Old: was, New: now, Hot: !slices.Contains(restartOnly, path), What: what})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (d *differ) values(a, b reflect.Value, path string) {
	if list, ok := reflect.TypeAssert[[]Node](a); ok {
		diffNamed(d, path, list, b.Interface().([]Node), func(n *Node, _ int) string { return n.Name }, "node", "drained: running work ends by itself")
		return
	}
	if list, ok := reflect.TypeAssert[[]User](a); ok {
		diffNamed(d, path, list, b.Interface().([]User), func(u *User, _ int) string { return u.Name }, "user", "its sessions end by themselves")
		return
	}
	if list, ok := reflect.TypeAssert[[]Rule](a); ok {
		d.rules(path, list, b.Interface().([]Rule))
		return
	}
	if s, ok := reflect.TypeAssert[Secret](a); ok {
		d.secret(path, s, b.Interface().(Secret))
		return
	}
	if a.Kind() != reflect.Struct {
		if was, now := show(a), show(b); was != now {
			d.add(path, was, now, "")
		}
		return
	}
	for i := range a.NumField() {
		switch tag := a.Type().Field(i).Tag.Get("yaml"); tag {
		case "", "-":
		case ",inline":
			d.values(a.Field(i), b.Field(i), path)
		default:
			d.values(a.Field(i), b.Field(i), join(path, tag))
		}
	}
}

func (d *differ) secret(path string, a, b Secret) {
	if a.Equal(b) {
		return
	}
	path = join(path, "password")
	was, now := a.String(), b.String()
	if was == now {
		d.add(path, was, now, path+" changed")
		return
	}
	d.add(path, was, now, "")
}

func (d *differ) rules(path string, a, b []Rule) {
	name := func(r *Rule, i int) string {
		if r.Name != "" {
			return r.Name
		}
		return fmt.Sprintf("#%d", i+1)
	}
	before := len(d.changes)
	diffNamed(d, path, a, b, name, "rule", "")
	if len(d.changes) > before {
		return
	}
	for i := range a {
		if name(&a[i], i) != name(&b[i], i) {
			d.add(path, ruleNames(a, name), ruleNames(b, name), "the order of the rules changed")
			return
		}
	}
}

func ruleNames(rules []Rule, name func(*Rule, int) string) string {
	names := make([]string, len(rules))
	for i := range rules {
		names[i] = name(&rules[i], i)
	}
	return strings.Join(names, ", ")
}

// diffNamed compares lists whose entries have names: added, removed, and what
// changed within those that stay.
func diffNamed[T any](d *differ, path string, a, b []T, name func(*T, int) string, kind, removed string) {
	old, kept := map[string]*T{}, map[string]bool{}
	for i := range a {
		old[name(&a[i], i)] = &a[i]
	}
	for i := range b {
		key := name(&b[i], i)
		at := fmt.Sprintf("%s[%s]", path, key)
		was, ok := old[key]
		if !ok {
			d.add(at, "", show(reflect.ValueOf(b[i])), fmt.Sprintf("%s %s is added", kind, key))
			continue
		}
		kept[key] = true
		d.values(reflect.ValueOf(*was), reflect.ValueOf(b[i]), at)
	}
	for i := range a {
		key := name(&a[i], i)
		if kept[key] {
			continue
		}
		what := fmt.Sprintf("%s %s is removed", kind, key)
		if removed != "" {
			what += ", " + removed
		}
		d.add(fmt.Sprintf("%s[%s]", path, key), show(reflect.ValueOf(a[i])), "", what)
	}
}

// show is a value as text, without secrets.
func show(v reflect.Value) string {
	switch t := tree(v).(type) {
	case nil:
		return ""
	case string:
		return t
	case []any:
		if len(t) == 0 {
			return ""
		}
		b, _ := json.Marshal(t)
		return string(b)
	default:
		b, _ := json.Marshal(t)
		return string(b)
	}
}
