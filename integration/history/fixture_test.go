package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// long reports whether the long form is asked for.
func long() bool { return os.Getenv("BELLWETHER_LONG") == "1" }

// seed is what all choices of a test are made from: BELLWETHER_SEED, or a new one.
// It is printed, so that a run can be repeated as far as the servers' pace allows.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv("BELLWETHER_SEED"); text != "" {
		var err error
		s, err = strconv.ParseUint(text, 10, 64)
		cluster.Must(t, err)
	}
	t.Logf("BELLWETHER_SEED=%d", s)
	return s
}

// number is an environment variable's, or otherwise.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	cluster.Must(t, err)
	return n
}

const (
	leader = "db1"
	keys   = 48
)

// fixture is a leader db1 and followers db2 and db3, with rows that count their
// writes. Each node has its own name in shop.whoami.
type fixture struct{ *cluster.Cluster }

func start(t *testing.T, o cluster.Options) *fixture {
	t.Helper()
	o.Followers = 2
	o.ExtraArgs = append(o.ExtraArgs, "--max-connections=8000", "--thread-stack=262144")
	f := &fixture{cluster.Start(t, o)}
	rows := make([]string, keys)
	for k := range rows {
		rows[k] = fmt.Sprintf("(%d, 0, 0)", k)
	}
	f.Exec(t,
		"CREATE TABLE shop.whoami (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB",
		"INSERT INTO shop.whoami VALUES (1, '"+leader+"')",
		"CREATE TABLE shop.kv (k INT PRIMARY KEY, version INT NOT NULL, writer INT NOT NULL) ENGINE=InnoDB",
		"INSERT INTO shop.kv VALUES "+strings.Join(rows, ", "))
	f.WaitReplicated(t)
	for _, n := range f.Followers() {
		cluster.Must(t, n.ExecUnlogged(t.Context(), "UPDATE shop.whoami SET name = '"+n.Name()+"'"))
	}
	return f
}

// delay makes a follower apply everything so many seconds late.
func (f *fixture) delay(n *cluster.Node, seconds int) error {
	statements := []string{"STOP REPLICA SQL_THREAD", fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = %d", seconds), "START REPLICA SQL_THREAD"}
	if f.Flavor == gtid.MariaDB {
		statements = []string{"STOP SLAVE", fmt.Sprintf("CHANGE MASTER TO MASTER_DELAY = %d", seconds), "START SLAVE"}
	}
	for _, s := range statements {
		if _, err := n.DB().ExecContext(context.Background(), s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
