package corpus

import (
	"errors"
	"slices"
	"testing"
)

func TestLoad(t *testing.T) {
	scripts, err := Load(t.Context())
	if errors.Is(err, ErrMissing) && len(scripts) == 0 {
		t.Skip(err)
	}
	if err != nil && !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
	total, sources := 0, map[string]int{}
	for _, s := range scripts {
		total += len(s.Statements)
		sources[s.Source] += len(s.Statements) + len(s.SetUp)
	}
	t.Logf("%d scripts, %d statements, by source with set-up: %v; missing: %v", len(scripts), total, sources, err)
	for source, n := range sources {
		if n < 2000 {
			t.Errorf("%s: only %d statements: has its shape changed?", source, n)
		}
	}
}

func TestGenerateIsRepeatable(t *testing.T) {
	a, b, c := Generate(500, 1), Generate(500, 1), Generate(500, 2)
	if !slices.Equal(a, b) {
		t.Error("one seed makes two corpora")
	}
	if slices.Equal(a, c) {
		t.Error("two seeds make one corpus")
	}
}

func TestLooksLikeSQL(t *testing.T) {
	for s, want := range map[string]bool{
		"SELECT 1": true, " ( select 1)": true, "/* x */ select 1": true, "with": true, "selection": false, "use_db": false, "": false, "hello": false,
	} {
		if looksLikeSQL(s) != want {
			t.Errorf("%q: %v, want %v", s, !want, want)
		}
	}
}
