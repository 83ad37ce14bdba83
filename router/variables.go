package router

import (
	"bytes"
	"iter"
)

// VariablesNamed walks the system variables that a text names as @@name, without a
// scope, in lower case; in strings and comments too, for a text can hold another
// that runs later. A name may come more than once.
func VariablesNamed(text []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, ok := bytes.Cut(text, []byte("@@"))
			if !ok {
				return
			}
			n := 0
			for n < len(rest) && isNameByte(rest[n]) {
				n++
			}
			name := string(bytes.ToLower(rest[:n]))
			text = rest[n:]
			switch name {
			case "", "global", "session", "local", "persist", "persist_only":
				continue
			}
			if !yield(name) {
				return
			}
		}
	}
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
