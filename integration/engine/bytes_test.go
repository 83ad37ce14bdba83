package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// Scenario 17: compressed transactions are applied. A binlog that was damaged on the leader's disk stops the follower: nothing of what is damaged, and nothing
// behind it, is applied; a repair brings it back.
func TestScenario17BinlogsOnDisk(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 1
		c, p := start(t, o)
		waitServing(t, c, p)
		compress(t, c)
		converge(t, c)
		damaged(t, c, p)
	})
}

// What MariaDB keeps encrypted on its disk is applied, compressed or not.
func TestScenario17EncryptedBinlog(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		if !strings.HasPrefix(o.Flavor, "mariadb") {
			t.Skip("MySQL keeps the key in a component of the server's installation")
		}
		o.Followers = 1
		keys := filepath.Join(t.TempDir(), "keys")
		cluster.Must(t, os.WriteFile(keys, []byte("1;770A8A65DA156D24EE2A093277530142770A8A65DA156D24EE2A093277530142\n"), 0o600))
		o.ExtraArgs = []string{"--plugin-load-add=file_key_management", "--file-key-management-filename=" + keys, "--encrypt-binlog=1"}
		c, p := start(t, o)
		waitServing(t, c, p)
		compress(t, c)
		converge(t, c)
	})
}

func compress(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	on := []string{"SET SESSION binlog_transaction_compression=ON"}
	if flavorOf(t, c) == gtid.MariaDB {
		on = []string{"SET GLOBAL log_bin_compress=ON", "SET GLOBAL log_bin_compress_min_len=10"}
	}
	c.Exec(t, append(on, "USE shop", "CREATE TABLE squeezed (id INT PRIMARY KEY, v LONGTEXT, c VARCHAR(300) DEFAULT '"+strings.Repeat("long ", 50)+"')",
		"INSERT INTO squeezed (id,v) VALUES (1,REPEAT('x',100000)),(2,'short'),(3,NULL)", "UPDATE squeezed SET v=CONCAT(v,'y')",
		"BEGIN", "INSERT INTO squeezed (id,v) SELECT id+10, v FROM squeezed", "DELETE FROM squeezed WHERE id=2", "COMMIT")...)
}

// damaged changes a byte of the leader's binlog that its follower has not read.
func damaged(t *testing.T, c *cluster.Cluster, p *cluster.ProxyProcess) {
	t.Helper()
	f := c.Followers()[0]
	cluster.Must(t, f.Kill())
	if flavorOf(t, c) == gtid.MariaDB {
		c.Exec(t, "SET GLOBAL log_bin_compress=OFF")
	}
	c.Exec(t, "FLUSH BINARY LOGS", "INSERT INTO shop.moves (a,b) VALUES (16,0)", "INSERT INTO shop.squeezed (id,v) VALUES (100,'to be damaged')", "INSERT INTO shop.moves (a,b) VALUES (17,0)", "FLUSH BINARY LOGS")
	base := c.Leader().Text(t, "SELECT @@log_bin_basename")
	found := false
	files, err := node.Rows(t.Context(), c.Leader().DB(), "SHOW BINARY LOGS")
	cluster.Must(t, err)
	for _, file := range files {
		path := filepath.Join(filepath.Dir(base), file["Log_name"])
		b, err := os.ReadFile(path)
		cluster.Must(t, err)
		if at := bytes.LastIndex(b, []byte("to be damaged")); at >= 0 { // before it the statement may stand, for people
			found = true
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			cluster.Must(t, err)
			_, err = w.WriteAt([]byte("T"), int64(at))
			cluster.Must(t, err, w.Close())
		}
	}
	if !found {
		t.Fatal("the leader's binlog lacks the row")
	}
	cluster.Must(t, f.Start())
	waitNode(t, p, f.Name(), "says what is damaged", func(n topologyNode) bool { return !n.Eligible && strings.Contains(n.Replication, "checksum") })
	if got := f.Text(t, "SELECT CONCAT((SELECT COUNT(*) FROM shop.moves WHERE a=17), (SELECT COUNT(*) FROM shop.squeezed WHERE id=100))"); got != "00" {
		t.Errorf("%s of the rows that are damaged, or behind them, are there", got)
	}
	repair(t, p, f.Name())
	waitServing(t, c, p)
	converge(t, c)
}

// Scenario 4, in short: a transaction is applied in parts, in bounded memory. The long form is
// BELLWETHER_LONG=1: two gigabytes.
func TestScenario4LargeTransaction(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		o.Followers = 2
		size := 200 << 20
		if os.Getenv("BELLWETHER_LONG") != "" {
			size = 2 << 30
		}
		c, p := start(t, o)
		waitServing(t, c, p)
		c.Exec(t, "USE shop", "CREATE TABLE large (id INT AUTO_INCREMENT PRIMARY KEY, v MEDIUMBLOB)", "INSERT INTO large (v) VALUES (NULL),(NULL),(NULL),(NULL),(NULL),(NULL),(NULL),(NULL)")
		converge(t, c)
		before, most := heap(t, p), 0
		statements := []string{"USE shop", "BEGIN"}
		for range size / (8 << 20) {
			statements = append(statements, "INSERT INTO large (v) SELECT REPEAT(CHAR(65+id), 1048576) FROM large WHERE id<=8")
		}
		watched, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for {
				most = max(most, heap(t, p))
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		c.Exec(t, append(statements, "COMMIT")...)
		converge(t, c)
		close(stop)
		<-watched
		t.Logf("a transaction of %d MB: the heap had %d MB before, and %d at most", size>>20, before, most)
		if most-before > 160 {
			t.Errorf("a transaction of %d MB took %d MB", size>>20, most-before)
		}
	})
}

// heap is how many MB the proxy has in use; what the race detector takes is not in it.
func heap(t *testing.T, p *cluster.ProxyProcess) int {
	_, text := p.Get("/metrics")
	for line := range strings.Lines(text) {
		var n float64
		if _, err := fmt.Sscanf(line, "go_memstats_heap_inuse_bytes %g", &n); err == nil {
			return int(n) >> 20
		}
	}
	t.Error("the proxy does not tell how much memory it uses")
	return 0
}
