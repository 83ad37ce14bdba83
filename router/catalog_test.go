package router

import (
	"fmt"
	"testing"
)

func function(name, access, body string) Routine {
	return Routine{Schema: "db", Name: name, Function: true, DataAccess: access, Body: body}
}

func TestCatalogFunctions(t *testing.T) {
	for _, c := range []struct {
		name, body string
		safe       bool
	}{
		{"expression", "RETURN a + 1", true},
		{"query", "RETURN (SELECT MAX(x) FROM t WHERE y = a)", true},
		{"block", "BEGIN DECLARE n, m INT DEFAULT 0; SELECT COUNT(*), 1 INTO n, m FROM t; SET n = n + 1, m = 2; IF n > 1 THEN RETURN n; END IF; RETURN m; END", true},
		{"cursor", "BEGIN DECLARE done BOOL DEFAULT FALSE; DECLARE c CURSOR FOR SELECT a FROM t; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE; OPEN c; WHILE NOT done DO FETCH c INTO done; END WHILE; CLOSE c; RETURN 1; END", true},
		{"built-in functions", "RETURN CONCAT(UPPER(a), REPLACE(b, 'x', 'y'), IF(c, NOW(), INSERT(d, 1, 1, 'z')))", true},
		{"another safe function", "RETURN harmless(1)", true},
		{"itself", "RETURN f(a - 1)", true},
		{"insert", "BEGIN INSERT INTO t VALUES (1); RETURN 1; END", false},
		{"update", "BEGIN UPDATE t SET a = 1; RETURN 1; END", false},
		{"delete", "BEGIN DELETE FROM t; RETURN 1; END", false},
		{"replace", "BEGIN REPLACE t VALUES (1); RETURN 1; END", false},
		{"replace with columns", "BEGIN REPLACE t (a) VALUES (1); RETURN 1; END", false},
		{"call", "BEGIN CALL p(); RETURN 1; END", false},
		{"user variable", "RETURN @a", false},
		{"sets a user variable", "BEGIN SET @a = 1; RETURN 1; END", false},
		{"sets a system variable by its bare name", "BEGIN SET timestamp = 1; RETURN 1; END", false},
		{"sets a session variable", "BEGIN SET SESSION sort_buffer_size = 1; RETURN 1; END", false},
		{"for update", "RETURN (SELECT a FROM t FOR UPDATE)", false},
		{"outfile", "BEGIN SELECT 1 INTO OUTFILE 'x'; RETURN 1; END", false},
		{"get_lock", "RETURN GET_LOCK('a', 1)", false},
		{"last_insert_id", "RETURN LAST_INSERT_ID()", false},
		{"sequence", "RETURN NEXT VALUE FOR s", false},
		{"unknown function", "RETURN udf(1)", false},
		{"unsafe function", "RETURN harmful(1)", false},
		{"temporary table", "BEGIN CREATE TEMPORARY TABLE t (a INT); RETURN 1; END", false},
		{"hidden in ANSI quotes", `BEGIN DECLARE s TEXT DEFAULT ' " '; DELETE FROM t WHERE a = ' " '; RETURN 1; END`, false},
		{"executable comment", "RETURN 1 /*! + f2() */", false},
		{"unseen", "", false},
		{"handler", "BEGIN HANDLER t OPEN; RETURN 1; END", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := NewCatalog([]Routine{
				function("F", "READS SQL DATA", c.body), function("harmless", "NO SQL", "RETURN 1"), function("harmful", "MODIFIES SQL DATA", "RETURN 1"),
			}, nil)
			for _, q := range []string{"SELECT f(1)", "SELECT db.f(1)", "SELECT `DB`.`f` (1)"} {
				if st := Classify([]byte(q), Mode{}, cat); st.IsRead() != c.safe {
					t.Errorf("%s: %v because of %v", q, st.Class, st.Reason)
				}
			}
		})
	}
}

func TestCatalogNames(t *testing.T) {
	cat := NewCatalog([]Routine{
		{Schema: "a", Name: "f", Function: true, DataAccess: "NO SQL", Body: "RETURN 1"},
		{Schema: "b", Name: "f", Function: true, DataAccess: "MODIFIES SQL DATA", Body: "RETURN 1"},
		{Schema: "a", Name: "g", Function: true, DataAccess: "NO SQL", Body: "RETURN 1"},
		{Schema: "a", Name: "p", Function: false, DataAccess: "NO SQL", Body: "SELECT 1"},
		{Schema: "a", Name: "count", Function: true, DataAccess: "MODIFIES SQL DATA", Body: "RETURN 1"},
		{Schema: "a", Name: "json_overlaps", Function: true, DataAccess: "MODIFIES SQL DATA", Body: "RETURN 1"},
	}, nil)
	for q, want := range map[string]Reason{
		"SELECT a.f(1)":   ReasonRead,
		"SELECT b.f(1)":   ReasonUnsafeRoutine,
		"SELECT f(1)":     ReasonUnsafeRoutine, // which schema it is in, the text does not say
		"SELECT g(1)":     ReasonRead,
		"SELECT c.g(1)":   ReasonUnknownFunction,
		"SELECT c.a.g(1)": ReasonUnknownFunction,
		"SELECT p(1)":     ReasonUnsafeRoutine,
		"SELECT h(1)":     ReasonUnknownFunction,
		"SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) AS j": ReasonRead,
		"SELECT COUNT(*)":                   ReasonRead,
		"SELECT COUNT (*)":                  ReasonUnsafeRoutine,
		"SELECT MAX (a) FROM t":             ReasonRead,
		"SELECT json_overlaps('1', '1')":    ReasonUnsafeRoutine,
		"SELECT json_value('1', '$')":       ReasonRead,
		"SELECT st_distance(a, b) FROM t":   ReasonRead,
		"SELECT regexp_like(a, 'x') FROM t": ReasonRead,
	} {
		if st := Classify([]byte(q), Mode{}, cat); st.Reason != want {
			t.Errorf("%s: %v, want %v", q, st.Reason, want)
		}
	}
}

func TestCatalogViews(t *testing.T) {
	cat := NewCatalog([]Routine{function("bad", "MODIFIES SQL DATA", "RETURN 1"), function("good", "NO SQL", "RETURN 1")}, []View{
		{"db", "plain", "select `db`.`t`.`a` AS `a` from `db`.`t`"},
		{"db", "uses_good", "select `db`.`good`(1) AS `x`"},
		{"db", "uses_bad", "select `db`.`bad`(1) AS `x`"},
		{"db", "over_bad", "select `db`.`uses_bad`.`x` AS `x` from `db`.`uses_bad`"},
		{"db", "Status", "select * from information_schema.processlist"},
		{"db", "unseen", ""},
		{"db", "größe", "select connection_id()"},
	})
	for q, want := range map[string]Reason{
		"SELECT * FROM plain":          ReasonRead,
		"SELECT * FROM uses_good":      ReasonRead,
		"SELECT * FROM uses_bad":       ReasonUnsafeView,
		"SELECT * FROM `Uses_Bad`":     ReasonUnsafeView,
		"SELECT * FROM db.over_bad":    ReasonUnsafeView,
		"SELECT * FROM STATUS":         ReasonUnsafeView,
		"TABLE unseen":                 ReasonUnsafeView,
		"SELECT * FROM `GRÖßE`":        ReasonUnsafeView,
		"SELECT * FROM kühe":           ReasonUnsafeView, // case beyond ASCII is not folded: any such name
		"SELECT 'uses_bad' FROM plain": ReasonRead,
	} {
		if st := Classify([]byte(q), Mode{}, cat); st.Reason != want {
			t.Errorf("%s: %v, want %v", q, st.Reason, want)
		}
	}
}

func TestLearned(t *testing.T) {
	l := NewLearned(64)
	for d := range uint64(10) {
		if l.Has(d) {
			t.Errorf("%d is known before it was added", d)
		}
		l.Add(d)
		l.Add(d)
		if !l.Has(d) {
			t.Errorf("%d is not known", d)
		}
	}
	for i := range uint64(100000) {
		d := mix(i)
		if l.Add(d); !l.Has(d) {
			t.Fatalf("%x is not known after it was added", d)
		}
	}
	if n := l.Len(); n > 64 {
		t.Errorf("FIELD complaint 11: %d digests are held", n)
	}
	if l.Reset(); l.Len() != 0 || l.Has(5) {
		t.Errorf("%d digests are left", l.Len())
	}
	var none *Learned
	if none.Has(1) || none.Len() != 0 {
		t.Error("a nil set knows something")
	}
}

func TestLearnedConcurrently(t *testing.T) {
	l := NewLearned(128)
	done := make(chan bool)
	for g := range uint64(4) {
		go func() {
			for i := range uint64(5000) {
				l.Add(mix(i * g))
				l.Has(mix(i))
				if i%1000 == 0 {
					l.Reset()
				}
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	if n := l.Len(); n < 0 || n > 128 {
		t.Errorf("%d digests are held", n)
	}
}

func TestTempTables(t *testing.T) {
	for i, c := range []struct {
		steps []string
		want  bool
	}{
		{[]string{"CREATE TABLE a (x INT)"}, false},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)"}, true},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "DROP TABLE a"}, false},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "DROP TEMPORARY TABLE IF EXISTS db.`a`"}, false},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "DROP TABLE other.a"}, true},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "CREATE TEMPORARY TABLE b LIKE a", "DROP TABLE b"}, true},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "CREATE TEMPORARY TABLE b SELECT 1", "DROP TABLE b, c, a"}, false},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "CREATE TEMPORARY TABLE IF NOT EXISTS a (x INT)", "DROP TABLE a"}, true},
		{[]string{"CREATE TEMPORARY TABLE a (x INT)", "ALTER TABLE a RENAME b", "DROP TABLE a"}, true},
		{[]string{"SELECT 1; CREATE TEMPORARY TABLE a (x INT)", "DROP TABLE a"}, true},
		{[]string{"CREATE /*!50000 TEMPORARY */ TABLE a (x INT)", "DROP TABLE a"}, true},
		{[]string{"CREATE TEMPORARY SEQUENCE a", "DROP TABLE a"}, true},
		{[]string{"CREATE TEMPORARY TABLE `a``b` (x INT)", "DROP TABLE a"}, true},
		{[]string{"ALTER TABLE a RENAME b", "DROP TABLE x"}, false},
	} {
		t.Run(fmt.Sprint(i, c.steps), func(t *testing.T) {
			var set TempTables
			for _, q := range c.steps {
				st := Classify([]byte(q), Mode{}, nil)
				set.Apply([]byte(q), Mode{}, &st, "db")
			}
			if set.Any() != c.want {
				t.Errorf("temporary tables: %v, want %v", set.Any(), c.want)
			}
			set.MarkUnknown()
			if set.Reset(); set.Any() {
				t.Error("some are left after a reset")
			}
		})
	}
}

func TestCallsUnknown(t *testing.T) {
	c := NewCatalog([]Routine{{Schema: "db", Name: "Known", Body: "SELECT 1"}}, nil)
	for sql, want := range map[string]bool{
		"CALL known()": false, "call db.KNOWN(1, 'CALL other()')": false, "CALL `known`": false, "CALL /* x */ `db` . `known` ( )": false,
		"CALL other()": true, "CALL db.other": true, "CALL known.other()": true, "CALL db.pkg.other()": true, "CALL known(); CALL other()": true,
		"CALL": true, "CALL 'known'()": true, "/*!50000 CALL other() */": true, "SELECT 1": false,
	} {
		if got := c.CallsUnknown([]byte(sql), Mode{}); got != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
	if !(*Catalog)(nil).CallsUnknown([]byte("CALL known()"), Mode{}) {
		t.Error("without a catalogue a procedure is known")
	}
}

// What a function reads, a temporary table of the session may hide.
func TestSafeFunctionReadsTables(t *testing.T) {
	c := NewCatalog([]Routine{function("f", "READS SQL DATA", "RETURN (SELECT MAX(x) FROM t)")}, nil)
	for _, sql := range []string{"SELECT f(1)", "SELECT db.f(1)"} {
		if st := Classify([]byte(sql), Mode{}, c); !st.IsRead() || !st.ReadsTables {
			t.Errorf("%s: %+v", sql, st)
		}
	}
}
