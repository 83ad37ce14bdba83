package apply

import (
	"bytes"
	"errors"
	"testing"
)

func TestParseDefinition(t *testing.T) {
	for _, c := range []struct {
		text, table, columns, staging string
		err                           error
	}{
		{"CREATE TABLE `a` (\n  `x` int(1) NOT NULL\n)", "`a`", "`x`", "CREATE TABLE `a` (\n  `x` int(1) NOT NULL\n)", nil},
		{
			"CREATE OR REPLACE TABLE `s(1)`.`a``(` (\n  `g` int GENERATED ALWAYS AS (`x` + 1) VIRTUAL,\n  `x,` decimal(3,1) DEFAULT 1.5 COMMENT 'it''s ) GENERATED ALWAYS AS (\\',\n" +
				"  PRIMARY KEY (`x,`),\n  CONSTRAINT `f` FOREIGN KEY (`x,`) REFERENCES `p` (`id`)\n) ENGINE=InnoDB COMMENT=')'",
			"`a``(`", "`x,`",
			"CREATE TABLE `a``(` (\n  `g` int GENERATED ALWAYS AS (`x` + 1) VIRTUAL,\n  `x,` decimal(3,1) DEFAULT 1.5 COMMENT 'it''s ) GENERATED ALWAYS AS (\\',\n" +
				"  PRIMARY KEY (`x,`)) ENGINE=InnoDB COMMENT=')'", nil,
		},
		{`CREATE TABLE "a" ("b" enum('x','y)'), "c" int)`, `"a"`, `"b","c"`, `CREATE TABLE "a" ("b" enum('x','y)'), "c" int)`, nil},
		{"CREATE TABLE `a` (`x` int, `g` int GENERATED ALWAYS AS (1) STORED)", "", "", "", errColumns},
		{"CREATE TABLE `a` (`x` int INVISIBLE, `y` int COMMENT ' INVISIBLE')", "", "", "", errColumns},
		{"CREATE TABLE `a` (`y` int COMMENT ' INVISIBLE')", "`a`", "`y`", "CREATE TABLE `a` (`y` int COMMENT ' INVISIBLE')", nil},
		{"CREATE TABLE `a` (`x` int) WITH SYSTEM VERSIONING", "", "", "", errCreation},
		{"CREATE TABLE `a` LIKE `b`", "", "", "", errCreation},
		{"CREATE TABLE `a` (`x` int", "", "", "", errCreation},
		{"CREATE TABLE `a", "", "", "", errCreation},
	} {
		d, err := parseDefinition([]byte(c.text))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.text, err)
		}
		if err != nil || c.err != nil {
			continue
		}
		if got := string(bytes.Join(d.columns, []byte(","))); string(d.table) != c.table || got != c.columns {
			t.Errorf("%s: table %s, columns %s", c.text, d.table, got)
		}
		if got := string(d.staging()); got != c.staging {
			t.Errorf("%s\nis staged by %s", c.text, got)
		}
	}
}

func FuzzDefinition(f *testing.F) {
	f.Add([]byte("CREATE TABLE `a` (`x` int DEFAULT '(', KEY (`x`)) ENGINE=InnoDB"))
	f.Add([]byte("CREATE OR REPLACE TABLE `s`.`a` (`g` int GENERATED ALWAYS AS (1), `x` int)"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDefinition(text)
		if err != nil {
			return
		}
		for _, c := range d.columns {
			if !bytes.Contains(text, c) || len(c) < 2 {
				t.Errorf("%q is a column of %q", c, text)
			}
		}
		if again, err := parseDefinition(d.staging()); err == nil && len(again.columns) > len(d.columns) {
			t.Errorf("%q is staged with more columns", text)
		}
	})
}
