package archtest

import (
	"go/parser"
	"strings"
	"testing"
)

// The test of purity finds what it is there to find.
func TestImpuritiesAreFound(t *testing.T) {
	tests := []struct{ name, code, want string }{
		{"clean", `import ("time"; "net/netip"; "sync/atomic"); var d time.Duration; var a netip.Addr; var n atomic.Int64; const x = time.Second`, ""},
		{"clock", `import "time"; func f() { _ = time.Now() }`, "uses time.Now in line 1"},
		{"renamed clock", `import clock "time"; func f() { clock.Sleep(1) }`, "uses time.Sleep in line 1"},
		{"clock as a value", `import "time"; var now = time.Now`, "uses time.Now in line 1"},
		{"another package named time", `import time "strings"; var x = time.Now`, ""},
		{"goroutine", `func f() { go f() }`, "starts a goroutine in line 1"},
		{"log", `import "log/slog"`, "imports log/slog"},
		{"network", `import "net"`, "imports net"},
		{"files", `import "os"`, "imports os"},
		{"others", `import "golang.org/x/text/width"`, "imports golang.org/x/text/width, which is not of the standard library"},
		{"prints", `func f() { println() }`, "prints in line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parser.ParseFile(fset, "x.go", "package x; "+tt.code, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(impurities(f), "; "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLocalNamesAreFound(t *testing.T) {
	found := func(s string) bool {
		for _, l := range local {
			if l.pattern.MatchString(s) {
				return true
			}
		}
		return false
	}
	slash := "/"
	for _, s := range []string{
		"curl http:" + "//deb.example.org/debian", "https:" + "//registry-1.example.io/v2", "http:" + "//10.1.2.3:8080/x",
		"cd " + slash + "work/main", "\"" + slash + "root/go\"", "ls /tmp" + "/bw", "GOPROXY=" + "https://x",
	} {
		if !found(s) {
			t.Errorf("%q is not found", s)
		}
	}
	for _, s := range []string{"https://github.com/google/re2", "see framework/x", "http://127.0.0.1:9307/metrics", "address: 10.0.0.1:3306", "/home/", "GOPROXY=off"} {
		if found(s) {
			t.Errorf("%q is found", s)
		}
	}
}
