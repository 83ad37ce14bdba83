package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Load reads the file at path over the defaults, with the files that it names,
// and checks everything. The error is of type Errors: all that is wrong, with
// line, column and key path.
func Load(path string) (*Config, error) {
	c, _, err := load(path)
	return c, err
}

// load is Load that also tells what it found in every file it looked at, also
// when it fails.
func load(path string) (*Config, map[string]fileState, error) {
	var files fileReader
	data, err := files.read(path, maxConfigFile)
	if err != nil {
		return nil, files.seen, Errors{{File: path, Text: reason(err)}}
	}
	c, d := parse(path, data)
	c.resolvePaths(filepath.Dir(path))
	c.Source.Path = path
	c.loadFiles(&files, func(key, text string) { d.problem(d.place(key), key, "%s", text) })
	if err := d.err(); err != nil {
		return nil, files.seen, err
	}
	c.Source.Hash = c.hash()
	return c, files.seen, nil
}

// Parse reads a configuration from memory over the defaults and checks it, but
// opens no file that it names. The name is for messages.
func Parse(name string, data []byte) (*Config, error) {
	c, d := parse(name, data)
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func parse(name string, data []byte) (*Config, *decoder) {
	c := Defaults()
	d := &decoder{file: name, places: make(map[string]*yaml.Node)}
	if len(data) > maxConfigFile {
		d.problem(&yaml.Node{}, "", "the file is larger than %s", ByteSize(maxConfigFile))
		return c, d
	}
	root := d.parseTree(data)
	if root != nil {
		d.decode(root, reflect.ValueOf(c).Elem(), "", 0)
	}
	c.Normalize()
	syntax := len(d.problems)
	if root != nil || syntax == 0 {
		for _, p := range c.check() {
			d.addChecked(p, syntax)
		}
	}
	return c, d
}

// addChecked records what Validate found, unless the same place is already
// known to be wrong.
func (d *decoder) addChecked(p *Problem, syntax int) {
	for _, q := range d.problems[:syntax] {
		if q.Path == p.Path || strings.HasPrefix(q.Path, p.Path+".") || strings.HasPrefix(q.Path, p.Path+"[") {
			return
		}
	}
	d.problem(d.place(p.Path), p.Path, "%s", p.Text)
}

// err is what was found, in the order of the file.
func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(d.problems) == maxProblems {
		d.problems = append(d.problems, &Problem{File: d.file, Text: "and more: only the first problems are shown"})
	}
	return d.problems.orNil()
}

// parseTree turns the text into YAML nodes; nil when there are none.
func (d *decoder) parseTree(data []byte) *yaml.Node {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		d.problem(&yaml.Node{}, "", "this is not a text file in UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err, data)
		}
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		d.problem(&more, "", "a second YAML document: everything belongs in one")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err, data)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// syntax reports an error of the YAML parser, with a hint for the usual causes.
func (d *decoder) syntax(err error, data []byte) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var at yaml.Node
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if n := brokenLine(lines, data); n > 0 {
		at.Line = n
	}
	hint := ""
	if at.Line > 0 && at.Line <= len(lines) {
		line := lines[at.Line-1]
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		switch {
		case bytes.ContainsRune(indent, '\t'):
			hint = ": indent with spaces, YAML allows no tabs"
		case strings.Contains(text, "mapping values are not allowed"), strings.Contains(text, "did not find expected"):
			hint = ": check the indentation of this line and the one before, brackets, and quote values that contain ': '"
		case strings.Contains(text, "cannot start any token"):
			hint = ": quote values that start with %, @ or `"
		}
	}
	d.problem(&at, "", "this is not YAML: %s%s", clip(text), hint)
}

// brokenLine finds the line from which on the text is no longer YAML: the one
// after the longest run of lines that is. The parser itself often names the
// line where the surrounding block began. 0 for a text that is too long or too
// deeply nested to parse it so often.
func brokenLine(lines [][]byte, data []byte) int {
	if len(lines) > 500 || len(data) > 32<<10 || bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > 200 {
		return 0
	}
	for n := len(lines) - 1; n > 0; n-- {
		data = data[:len(data)-len(lines[n])]
		var doc yaml.Node
		if yaml.Unmarshal(data, &doc) == nil {
			return n + 1
		}
	}
	return 1
}

// resolvePaths makes the paths of a configuration independent of where the
// process runs.
func (c *Config) resolvePaths(dir string) {
	paths := []*string{
		&c.Listen.Socket, &c.Listen.TLS.Cert, &c.Listen.TLS.Key, &c.Listen.TLS.CA,
		&c.Cluster.TLS.CA, &c.Cluster.TLS.Cert, &c.Cluster.TLS.Key, &c.Cluster.Password.File,
		&c.Replication.Password.File, &c.Admin.Password.File, &c.Coordination.Etcd.Password.File,
		&c.Coordination.Etcd.TLS.CA, &c.Coordination.Etcd.TLS.Cert, &c.Coordination.Etcd.TLS.Key,
	}
	for i := range c.Users {
		paths = append(paths, &c.Users[i].Password.File)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// hash identifies what is configured, secrets left out.
func (c *Config) hash() string {
	b, _ := c.MarshalJSON()
	for _, key := range sortedKeys(c.Source.PEM) {
		b = fmt.Appendf(b, "\n%s %s", key, c.Source.PEM[key])
	}
	return digest(b)[:16]
}
