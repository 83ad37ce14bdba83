package corpus

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// verbs begin statements; a string literal that begins with one is taken for a statement.
var verbs = []string{
	"select", "insert", "update", "delete", "replace", "with", "values", "table", "create", "alter", "drop", "rename",
	"truncate", "set", "show", "desc", "describe", "explain", "use", "begin", "start", "commit", "rollback", "savepoint",
	"release", "call", "do", "prepare", "execute", "deallocate", "lock", "unlock", "load", "grant", "revoke", "flush",
	"kill", "analyze", "handler", "xa", "help", "check", "checksum", "optimize", "repair", "import", "install",
	"signal", "purge", "reset", "change", "stop", "binlog", "cache", "backup", "shutdown", "restart",
}

// looksLikeSQL says whether a string is more likely a statement than not.
func looksLikeSQL(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, " \t\r\n("))
	for _, prefix := range []string{"/*", "--", "#"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	for _, v := range verbs {
		if rest, ok := strings.CutPrefix(s, v); ok && (rest == "" || !isLetter(rest[0])) {
			return true
		}
	}
	return false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

// looseStatements returns each string literal of a Go file that looks like a statement.
func looseStatements(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read corpus: %w", err)
	}
	var out []string
	seen := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		s, ok := literal(e)
		if !ok {
			return true
		}
		if looksLikeSQL(s) && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
		return false
	})
	return out, nil
}

// literal returns the value of a string literal, or of a sum of such.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, ok1 := literal(e.X)
		b, ok2 := literal(e.Y)
		return a + b, ok1 && ok2
	case *ast.ParenExpr:
		return literal(e.X)
	}
	return "", false
}

// large sets of data that no test here needs.
var skippedData = []string{"Imdb", "Integration_test", "Tpc", "Sysbench", "Loadtable", "Reserved"}

// engineSetUp returns the statements that make the tables of the engine tests,
// those that make databases first.
func engineSetUp(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read corpus: %w", err)
	}
	var first, rest []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			name := v.Names[0].Name
			if hasAnyPrefix(name, skippedData) || len(v.Values) == 0 {
				continue
			}
			if strings.HasPrefix(name, "Mydb") {
				first = append(first, literals(v.Values[0])...)
			} else {
				rest = append(rest, literals(v.Values[0])...)
			}
		}
	}
	return append(first, rest...), nil
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// literals returns the string literals within an expression, in order.
func literals(e ast.Expr) []string {
	var out []string
	ast.Inspect(e, func(n ast.Node) bool {
		x, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		s, ok := literal(x)
		if ok {
			out = append(out, s)
		}
		return !ok
	})
	return out
}

// engineScripts reads the scripts of one file: each composite literal with a
// SetUpScript is one; what stands in no such literal forms one flat script over
// the common tables.
func engineScripts(file string, setUp []string) ([]Script, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read corpus: %w", err)
	}
	base := filepath.Base(file)
	loose := Script{Source: engineModule, Name: base, SetUp: setUp, Flat: true}
	var scripts []Script
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if field(c, "SetUpScript") != nil || field(c, "Assertions") != nil {
			s := Script{Source: engineModule, Name: fmt.Sprintf("%s:%d", base, fset.Position(c.Pos()).Line)}
			if e := field(c, "SetUpScript"); e != nil {
				s.SetUp = literals(e)
			}
			s.Statements = queriesIn(c)
			if len(s.Statements)+len(s.SetUp) > 0 {
				scripts = append(scripts, s)
			}
			return false
		}
		loose.Statements = append(loose.Statements, queriesOf(c)...)
		return true
	})
	if len(loose.Statements) > 0 {
		scripts = append(scripts, loose)
	}
	return scripts, nil
}

// field returns the value of a composite literal's field, or nil.
func field(c *ast.CompositeLit, name string) ast.Expr {
	for _, e := range c.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

// queriesOf returns the statements that are fields of this literal itself.
func queriesOf(c *ast.CompositeLit) []string {
	var out []string
	for _, name := range []string{"WriteQuery", "Query", "SelectQuery"} {
		if e := field(c, name); e != nil {
			if s, ok := literal(e); ok && strings.TrimSpace(s) != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// queriesIn returns the statements of a literal and of all within it, in order.
func queriesIn(c *ast.CompositeLit) []string {
	var out []string
	ast.Inspect(c, func(n ast.Node) bool {
		if inner, ok := n.(*ast.CompositeLit); ok {
			out = append(out, queriesOf(inner)...)
		}
		return true
	})
	return out
}
