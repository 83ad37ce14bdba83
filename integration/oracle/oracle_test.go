package oracle

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/corpus"
	"github.com/bellwetherdb/bellwether/router"
)

// prelude makes what generated statements can stumble over: functions that
// write under harmless names, a view over one, a sequence, a default that takes
// a sequence's next value.
func prelude() []string {
	body := " RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO gen.log VALUES (1); RETURN 1; END"
	list := []string{
		"DROP DATABASE IF EXISTS gen", "DROP DATABASE IF EXISTS db1", "CREATE DATABASE gen", "CREATE DATABASE db1", "USE gen",
		"SET GLOBAL log_bin_trust_function_creators = 1", "CREATE TABLE gen.log (a INT)",
		"CREATE FUNCTION gen.f1(a INT)" + body, "CREATE FUNCTION db1.f1(a INT)" + body, "CREATE FUNCTION gen.`count`(a INT)" + body,
		"CREATE FUNCTION gen.`max`(a INT)" + body, "CREATE FUNCTION gen.`any`(a INT)" + body, "CREATE FUNCTION gen.`json_overlaps`(a INT, b INT)" + body,
		"CREATE PROCEDURE gen.p1() INSERT INTO gen.log VALUES (2)", "CREATE VIEW gen.fv AS SELECT gen.f1(1) AS x",
		"CREATE SEQUENCE gen.s1", "CREATE TABLE gen.td (a INT DEFAULT (NEXT VALUE FOR gen.s1))", "INSERT INTO gen.td VALUES (1)",
	}
	return append(list, corpus.GenerateSetUp()...)
}

// TestWhatIsReadIsNoWrite runs the corpus. Writes of a script are run in their
// places, so that later statements find what they need.
func TestWhatIsReadIsNoWrite(t *testing.T) {
	scripts, err := corpus.Load(t.Context())
	if err != nil && !errors.Is(err, corpus.ErrMissing) {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("left out: %v", err)
	}
	eachServer(t, func(t *testing.T, s *server) {
		reads, ok := 0, 0
		for i, script := range merged(scripts) {
			name := fmt.Sprintf("script_%d", i)
			s.must(t, s.rw, "CREATE DATABASE "+name)
			for _, c := range []string{"USE " + name, "SET SESSION sql_mode = DEFAULT"} {
				s.must(t, s.rw, c)
				s.must(t, s.ro, c)
			}
			for _, q := range script.SetUp {
				s.step(t, q)
			}
			for _, q := range script.Statements {
				st := router.Classify([]byte(q), router.Mode{Flavor: s.flavor}, nil)
				if !st.IsRead() {
					s.step(t, q)
					continue
				}
				if slow(q) {
					continue
				}
				reads++
				if s.checkRead(t, q) {
					ok++
				}
			}
			s.must(t, s.rw, "DROP DATABASE "+name)
		}
		t.Logf("%d statements called reads, %d of which the server could run", reads, ok)
	})
}

// merged puts flat scripts with the same set-up together, to make it once.
func merged(scripts []corpus.Script) []corpus.Script {
	var out []corpus.Script
	flat := map[string]int{} // source -> where in out
	for _, s := range scripts {
		if at, ok := flat[s.Source]; ok && s.Flat {
			out[at].Statements = append(out[at].Statements, s.Statements...)
			continue
		}
		if s.Flat {
			flat[s.Source] = len(out)
		}
		out = append(out, s)
	}
	return out
}

// slow says whether a statement does nothing but wait.
func slow(q string) bool {
	q = strings.ToLower(q)
	return strings.Contains(q, "sleep") || strings.Contains(q, "benchmark")
}

// step runs a statement that is no read, where it is of the kinds that build
// tables: nothing that would change the server, or the sessions of this test.
func (s *server) step(t *testing.T, q string) {
	t.Helper()
	st := router.Classify([]byte(q), router.Mode{Flavor: s.flavor}, nil)
	if st.Multi || st.AccountAdmin || st.AcquiresLock || st.Opaque || strings.Contains(strings.ToLower(q), "database") {
		return
	}
	switch st.Verb {
	case router.VerbInsert, router.VerbUpdate, router.VerbDelete, router.VerbReplace, router.VerbCreate, router.VerbAlter,
		router.VerbDrop, router.VerbRename, router.VerbTruncate:
		_ = run(t.Context(), s.rw, q)
	}
}

// TestGenerated runs generated statements, with and without a catalogue.
func TestGenerated(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for _, q := range prelude() {
			if _, err := s.rw.ExecContext(t.Context(), q); err != nil {
				t.Logf("%s: %v", q, err) // sequences, on MySQL
			}
		}
		s.must(t, s.ro, "USE gen")
		statements := corpus.Generate(8000, 2)
		statements = append(statements, "SELECT * FROM fv", "SELECT f1(1)", "SELECT `count`(1)", "SELECT count (1)", "SELECT 1 = any(1)", "SELECT DEFAULT(a) FROM td",
			"SELECT json_overlaps(1, 2)", "SELECT f1(1), max(1)", "WITH x AS (SELECT f1 (1)) SELECT * FROM x", "SELECT `fv`.x FROM `fv`", "TABLE fv")
		reads, ok := 0, 0
		for _, cat := range []*router.Catalog{nil, s.catalog(t)} {
			for _, q := range statements {
				if strings.Contains(q, "fv") && cat == nil {
					continue // views are known by the catalogue only
				}
				if st := router.Classify([]byte(q), router.Mode{Flavor: s.flavor}, cat); st.IsRead() {
					reads++
					if s.checkRead(t, q) {
						ok++
					}
					s.checkUnlogged(t, q)
				}
			}
		}
		t.Logf("%d statements called reads, %d of which the server could run", reads, ok)
	})
}

// TestNoWordHidesAStoredFunction makes, for each word that Classify knows, a
// stored function of that name which writes, and calls it in every form: where
// the function runs, Classify must not have called the statement a read.
func TestNoWordHidesAStoredFunction(t *testing.T) {
	forms := []string{
		"SELECT %s(%s)", "SELECT %s (%s)", "SELECT 1, %s (%s)", "SELECT 1 = %s (%s)", "SELECT (1) %s (%s)", "SELECT %s/**/(%s)",
		"SELECT 1 AS %s (%s)", "SELECT 1 FROM words.one WHERE 1 AND %s (%s)", "SELECT 1 FROM words.one ORDER BY 1, %s (%s)", "SELECT 'x' %s (%s)", "VALUES (%s (%s))",
		"SELECT * FROM words.one LIMIT 1 %s (%s)", "WITH q AS (SELECT 1) SELECT 1, %s (%s)", "SELECT words.%s(%s)", "SELECT `%s` (%s)",
	}
	eachServer(t, func(t *testing.T, s *server) {
		for _, q := range []string{"SET GLOBAL log_bin_trust_function_creators = 1", "CREATE DATABASE words", "USE words", "CREATE TABLE words.log (a INT)", "CREATE TABLE words.one SELECT 1 AS a"} {
			s.must(t, s.rw, q)
		}
		s.must(t, s.ro, "USE words")
		ran, control := 0, false
		for _, word := range append(router.KnownWords(), "plain_name") {
			for args, values := range []string{"", "1", "1, 1"} {
				var reads []string
				for _, form := range forms {
					q := fmt.Sprintf(form, word, values)
					if st := router.Classify([]byte(q), router.Mode{Flavor: s.flavor}, nil); st.IsRead() {
						reads = append(reads, q)
					}
				}
				if len(reads) == 0 {
					continue
				}
				params := []string{"", "a INT", "a INT, b INT"}[args]
				_, err := s.rw.ExecContext(t.Context(), fmt.Sprintf("CREATE FUNCTION words.`%s`(%s) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO words.log VALUES (1); RETURN 1; END", word, params))
				if err != nil {
					t.Fatalf("%s: %v", word, err)
				}
				for _, q := range reads {
					ran++
					if err := run(t.Context(), s.ro, q); refused(err) {
						t.Errorf("is called a read, and runs a stored function: %q (%v)", q, err)
					}
				}
				if word == "plain_name" {
					control = control || refused(run(t.Context(), s.ro, fmt.Sprintf("SELECT plain_name(%s)", values)))
				}
				s.must(t, s.rw, fmt.Sprintf("DROP FUNCTION words.`%s`", word))
			}
		}
		t.Logf("%d calls that Classify takes for reads", ran)
		if !control {
			t.Error("a function with a name of its own was not refused: the test shows nothing")
		}
	})
}
