package operations

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// SIGTERM: idle sessions are closed, an open transaction ends by itself, new
// clients are refused, and the exit code is 0.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		idle, txn, lastRead := f.open(t), f.open(t), f.open(t)
		idle.onFollower()
		txn.exec("BEGIN", "UPDATE t SET n = 40 WHERE id = 1")
		read := make(chan error, 1)
		go func() {
			_, err := lastRead.try("SELECT SLEEP(1), name FROM whoami")
			read <- err
		}()
		cluster.Eventually(t, "the read runs", func() bool {
			for _, n := range f.nodes(t) {
				if n.Outstanding > 0 {
					return true
				}
			}
			return false
		})
		cluster.Must(t, f.proxy.Signal(syscall.SIGTERM))
		cluster.Eventually(t, "idle sessions are closed", func() bool { _, err := idle.try("SELECT 1"); return err != nil })
		if _, err := f.tryOpen(t, sandbox.AppAccount, ""); err == nil {
			t.Error("a client was let in during the drain")
		}
		if status, _ := f.proxy.Get("/readyz"); status == 200 {
			t.Error("/readyz says ready during the drain")
		}
		cluster.Must(t, <-read)
		txn.want("40", "SELECT n FROM t WHERE id = 1")
		txn.exec("UPDATE t SET n = 41 WHERE id = 2", "COMMIT")
		select {
		case <-f.proxy.Done():
		case <-time.After(patience):
			t.Fatal("the process stays")
		}
		cluster.Must(t, f.proxy.Stop()) // tells how it ended
		if got := f.Leader().Text(t, "SELECT GROUP_CONCAT(n ORDER BY id) FROM shop.t WHERE id < 3"); got != "40,41" {
			t.Errorf("the transaction left %s", got)
		}
		if c, err := net.Dial("tcp", f.proxy.Addr); err == nil {
			_ = c.Close()
			t.Error("the port still accepts")
		}
	}, "shutdown: {drain: 1m}")
}

// The deadline cuts what does not end, and undoes it; the exit code is 0.
func TestDrainDeadline(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		txn, busy := f.open(t), f.open(t)
		txn.exec("BEGIN", "UPDATE t SET n = 50 WHERE id = 1")
		done := make(chan error, 1)
		go func() { _, err := busy.try("SELECT SLEEP(600), name FROM whoami"); done <- err }()
		cluster.Eventually(t, "the read runs", func() bool {
			return f.nodes(t)["db1"].Outstanding+f.nodes(t)["db2"].Outstanding+f.nodes(t)["db3"].Outstanding > 0
		})
		cluster.Must(t, f.proxy.Stop())
		if err := <-done; err == nil {
			t.Error("the read was not cut")
		}
		if err := txn.tryExec("COMMIT"); err == nil {
			t.Error("a transaction that was cut committed")
		}
		cluster.Eventually(t, "the transaction is undone", func() bool {
			return f.Leader().Text(t, "SELECT COUNT(*) FROM information_schema.innodb_trx") == "0"
		})
		if got := f.Leader().Text(t, "SELECT n FROM shop.t WHERE id = 1"); got != "1" {
			t.Errorf("n = %s", got)
		}
	}, "shutdown: {drain: 200ms}")
}

// status is what `bellwether status` prints.
func status(t *testing.T, f *fixture) string {
	t.Helper()
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", f.proxy.PID()))
	cluster.Must(t, err)
	out, _ := exec.CommandContext(t.Context(), program, "status", "--admin", f.proxy.AdminURL).CombinedOutput()
	return string(out)
}
