package sandbox

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flavors are the servers that the tests use: BELLWETHER_FLAVORS, or MariaDB 10.11.
func flavors() []string {
	if v := os.Getenv("BELLWETHER_FLAVORS"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"mariadb-10.11"}
}

func eachServer(t *testing.T, f func(t *testing.T, s *Server)) {
	for _, flavor := range flavors() {
		t.Run(flavor, func(t *testing.T) {
			s, err := Find(t.Context(), flavor)
			if err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

// shortDir is a folder whose path leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bw-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func startCluster(t *testing.T, s *Server, followers int, change func(i int, o *NodeOptions)) *Cluster {
	t.Helper()
	c, err := NewCluster(ClusterOptions{Server: s, Dir: shortDir(t), Followers: followers, Node: change})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClusterReplicates(t *testing.T) {
	eachServer(t, func(t *testing.T, s *Server) {
		c := startCluster(t, s, 2, nil)
		ctx := testContext(t)
		err := execAll(ctx, c.Leader.DB(), "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1), (2)")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WaitReplicated(ctx); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Followers {
			var rows int
			if err := n.DB().QueryRow("SELECT COUNT(*) FROM shop.t").Scan(&rows); err != nil || rows != 2 {
				t.Errorf("%s: %d rows, %v; want 2", n.Name(), rows, err)
			}
			var readOnly bool
			if err := n.DB().QueryRow("SELECT @@read_only").Scan(&readOnly); err != nil || !readOnly {
				t.Errorf("%s: read_only is %v, %v", n.Name(), readOnly, err)
			}
			receiving, applying, err := Replicating(ctx, n.DB(), s.Flavor)
			if !receiving || !applying || err != nil {
				t.Errorf("%s: receiving %v, applying %v, %v", n.Name(), receiving, applying, err)
			}
		}
	})
}

func TestVersionAtLeast(t *testing.T) {
	for _, tc := range []struct {
		version      string
		major, minor int
		want         bool
	}{
		{"10.11.19", 10, 11, true},
		{"10.11.19", 10, 12, false},
		{"11.8.6-MariaDB", 11, 3, true},
		{"9.7.4", 8, 4, true},
		{"8.0.36", 8, 4, false},
		{"", 8, 0, false},
		{"x.y", 0, 0, false},
	} {
		if got := VersionAtLeast(tc.version, tc.major, tc.minor); got != tc.want {
			t.Errorf("VersionAtLeast(%q, %d, %d) = %v", tc.version, tc.major, tc.minor, got)
		}
	}
}

func TestFindRefusesUnknown(t *testing.T) {
	if _, err := Find(t.Context(), "postgres-17"); err == nil {
		t.Error("found a postgres")
	}
	_, err := Find(t.Context(), "mariadb-1.2")
	if !errors.Is(err, ErrNoServer) || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("error for a version that nobody has: %v", err)
	}
}

func TestNewNodeChecks(t *testing.T) {
	s := &Server{Flavor: gtid.MariaDB}
	for name, o := range map[string]NodeOptions{
		"no server":     {Name: "a", Dir: "d", ServerID: 1},
		"no name":       {Server: s, Dir: "d", ServerID: 1},
		"no id":         {Server: s, Name: "a", Dir: "d"},
		"no folder":     {Server: s, Name: "a", ServerID: 1},
		"path too long": {Server: s, Name: "a", ServerID: 1, Dir: "/" + strings.Repeat("x", 110)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewNode(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}
