package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var metricName = regexp.MustCompile(`(?:\b(?:desc|gauge|counter|histogram)\(|\bName:\s*)"((?:bellwether_)?[a-z][a-z0-9_]*)"`)

// Every metric is in docs/metrics.md, and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	dir, files := sources(t)
	doc, err := os.ReadFile(filepath.Join(dir, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, name := range files {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), `client_golang/prometheus"`) {
			continue
		}
		for _, m := range metricName.FindAllStringSubmatch(string(b), -1) {
			metric := "bellwether_" + strings.TrimPrefix(m[1], "bellwether_")
			known[metric] = true
			if !strings.Contains(string(doc), "| `"+metric+"` |") {
				t.Errorf("%s of %s is not in docs/metrics.md", metric, name)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(bellwether_[a-z0-9_]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		if !known[m[1]] {
			t.Errorf("docs/metrics.md has %s, which nobody gives", m[1])
		}
	}
	if len(known) < 3 {
		t.Errorf("found only %d metrics: has the way of naming them changed?", len(known))
	}
}
