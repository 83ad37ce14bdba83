package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds on the YAML tree: what aliases and merge keys expand to counts too.
const (
	maxValues   = 100_000
	maxDepth    = 32
	maxProblems = 50
)

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeByteSize = reflect.TypeFor[ByteSize]()
)

// decoder lays a tree of YAML nodes over a Config. It knows the place of every
// value, and goes on after a mistake to find the others.
type decoder struct {
	file     string
	places   map[string]*yaml.Node // key path -> where to point at
	problems Errors
	values   int // decoded so far
}

// problem records a mistake at n.
func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) >= maxProblems {
		return
	}
	d.problems = append(d.problems, &Problem{
		File: d.file, Line: n.Line, Column: n.Column, Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// place points at the value of path, or at the nearest key above it.
func (d *decoder) place(path string) *yaml.Node {
	for {
		if n := d.places[path]; n != nil {
			return n
		}
		if path == "" {
			return &yaml.Node{}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// follow resolves aliases, and says whether the tree is still within bounds.
func (d *decoder) follow(n *yaml.Node, path string, depth int) (*yaml.Node, bool) {
	for hops := 0; n.Kind == yaml.AliasNode && n.Alias != nil && hops < maxDepth; hops++ {
		n = n.Alias
	}
	d.values++
	if d.values == maxValues || depth > maxDepth {
		d.problem(n, path, "the file is too deeply nested, or its aliases expand to too much")
		d.values = maxValues
	}
	return n, d.values < maxValues
}

// decode sets v, of any type that a Config has, from n. A null leaves the default.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string, depth int) {
	at := n
	n, ok := d.follow(n, path, depth)
	if !ok || isNull(n) {
		return
	}
	if _, known := d.places[path]; !known {
		d.places[path] = at
	}
	switch {
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem(), path, depth+1)
		v.Set(p)
	case v.Kind() == reflect.Struct:
		d.decodeStruct(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		d.decodeList(n, v, path, depth)
	case n.Kind != yaml.ScalarNode:
		d.problem(at, path, "one value is expected here, not %s", kindName(n))
	default:
		if err := setScalar(v, n); err != nil {
			d.problem(at, path, "%v", err)
		}
	}
}

func (d *decoder) decodeList(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
			hint = fmt.Sprintf(": did you mean [%s]?", clip(n.Value))
		} else if n.Kind == yaml.MappingNode {
			hint = ": start each entry with a dash"
		}
		d.problem(n, path, "a list is expected here, not %s%s", kindName(n), hint)
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), 1024))
	for i, item := range n.Content {
		if d.values >= maxValues {
			return
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		e := reflect.New(v.Type().Elem()).Elem()
		if isNull(item) {
			d.problem(item, at, "an empty entry")
		}
		d.decode(item, e, at, depth+1)
		list = reflect.Append(list, e)
	}
	v.Set(list)
}

func (d *decoder) decodeStruct(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "keys are expected here (%s ...), not %s", strings.Join(head(keysOf(v.Type()), 3), ", "), kindName(n))
		return
	}
	seen := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.problem(key, path, "a key must be plain text")
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.problem(key, join(path, key.Value), "is given twice: first in line %d", first.Line)
			continue
		}
		seen[key.Value] = key
		d.decodeKey(key, value, v, path, depth)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			d.merge(n.Content[i+1], seen, v, path, depth)
		}
	}
}

func (d *decoder) decodeKey(key, value *yaml.Node, v reflect.Value, path string, depth int) {
	f := fieldOf(v, key.Value)
	if !f.IsValid() {
		d.problem(key, join(path, clip(key.Value)), "unknown key%s", suggestKey(key.Value, path, v.Type()))
		return
	}
	at := join(path, key.Value)
	if value.Kind == yaml.ScalarNode {
		d.places[at] = value
	} else {
		d.places[at] = key
	}
	d.decode(value, f, at, depth+1)
}

// merge adds the keys of a merge key's mapping (or list of mappings) that are
// not given already.
func (d *decoder) merge(n *yaml.Node, seen map[string]*yaml.Node, v reflect.Value, path string, depth int) {
	n, ok := d.follow(n, path, depth+1)
	if !ok {
		return
	}
	if n.Kind == yaml.SequenceNode && depth < maxDepth {
		for _, item := range n.Content {
			d.merge(item, seen, v, path, depth+1)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "<< merges a mapping, not %s", kindName(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case isMerge(key):
			d.merge(value, seen, v, path, depth+1)
		case key.Kind != yaml.ScalarNode || seen[key.Value] != nil:
		default:
			seen[key.Value] = key
			d.decodeKey(key, value, v, path, depth+1)
		}
	}
}

// setScalar sets a value of text, number, switch, duration or size.
func setScalar(v reflect.Value, n *yaml.Node) error {
	switch {
	case v.Type() == typeDuration:
		dur, err := parseDuration(n.Value)
		v.SetInt(int64(dur))
		return err
	case v.Type() == typeByteSize:
		size, err := ParseByteSize(n.Value)
		v.SetInt(int64(size))
		return err
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
		return nil
	case v.Kind() == reflect.Bool:
		on, ok := parseBool(n.Value)
		if !ok {
			return fmt.Errorf("%q is neither true nor false", clip(n.Value))
		}
		v.SetBool(on)
		return nil
	case v.Kind() == reflect.Int:
		i, err := strconv.Atoi(strings.ReplaceAll(n.Value, "_", ""))
		if err != nil {
			return fmt.Errorf("%q is not a whole number", clip(n.Value))
		}
		v.SetInt(int64(i))
		return nil
	}
	return fmt.Errorf("no value can be given here")
}

func parseBool(s string) (on, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

// fieldOf finds the field of that YAML key, in inlined structures too.
func fieldOf(v reflect.Value, key string) reflect.Value {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("yaml")
		switch {
		case tag == ",inline":
			if f := fieldOf(v.Field(i), key); f.IsValid() {
				return f
			}
		case tag != "" && tag != "-" && tag == key:
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// keysOf lists the YAML keys of a structure, in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for field := range t.Fields() {
		switch tag := field.Tag.Get("yaml"); tag {
		case "", "-":
		case ",inline":
			keys = append(keys, keysOf(field.Type)...)
		default:
			keys = append(keys, tag)
		}
	}
	return keys
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func head(s []string, n int) []string { return slices.Clip(s[:min(n, len(s))]) }
