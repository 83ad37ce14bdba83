package configs

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// FuzzLoad gives any bytes as a configuration file. What is accepted is valid,
// can be shown, and does not differ from itself; what is not has problems with
// places. No input makes it panic or grow without bound.
func FuzzLoad(f *testing.F) {
	for _, file := range []string{"bellwether.example.yaml", "bellwether.minimal.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{
		"", "~", "[]", "{}", "\t", "\x00", "a: &a [*a]", "cluster: &a {<<: *a}", "cluster: {nodes: [{address: '[::1'}]}",
		minimal + "log: {level: debug, level: info}", minimal + "routing: {max_lag: 1e9, rules: [{pattern: '((a{1000}){1000}', target: leader}]}",
		minimal + "limits: {retry_buffer: .k, max_packet: 1.0000000001G}", minimal + "users: [{name: a, password: b}, ~, 3]",
		"<<: [{log: {level: warn}}, {log: {level: info}}]\n" + minimal, "? {a: b}\n: c", "--- \n...\n---\n", "%YAML 1.1\n---\n" + minimal,
		"cluster:\n  nodes:\n  - !!binary aGk=\n  - !foo {address: !!str 1}\n", minimal + "admin: !!set {address}", "cluster: {nodes: [{address: \"db\\u0000\"}]}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, p := range all {
				if p.Text == "" || p.File != "f.yaml" || p.Line < 0 {
					t.Errorf("%+v", p)
				}
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
		if d := Diff(c, c); len(d) > 0 {
			t.Errorf("differs from itself: %+v", d)
		}
		c.Warnings()
	})
}
