package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/admin"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// auditor knows what must be there from the rounds before.
type auditor struct {
	*world
	held   map[row]bool // rows that are there
	epoch  uint64       // of the reign at the last check
	saved  map[string]bool
	lost   int // acknowledged writes that were lost, all of them reported
	losses int // rounds with any
}

func newAuditor(w *world) *auditor {
	a := &auditor{world: w, held: map[row]bool{}, saved: map[string]bool{}}
	a.epoch = a.reigns()[0].Epoch
	return a
}

// reigns are the leaders since the last check, the present one last.
func (a *auditor) reigns() (out []admin.ReignView) {
	a.t.Helper()
	v, ok := a.state(0)
	if !ok {
		a.t.Fatal("the proxy does not answer")
	}
	for _, r := range append(v.Past, admin.ReignView{Epoch: v.Epoch, Leader: v.Leader}) {
		if r.Epoch >= a.epoch {
			out = append(out, r)
		}
	}
	return out
}

// check compares everything while the load stands still.
func (a *auditor) check(told map[row]outcome) {
	a.t.Helper()
	leader := a.leader()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	pos, err := sandbox.Position(ctx, leader.DB(), a.Flavor)
	cluster.Must(a.t, err)
	for _, n := range a.Nodes() {
		if n != leader {
			a.reach(ctx, n, pos)
		}
	}
	a.checkLedger(ctx, leader, told)
	a.checkMoney(leader)
	a.checkEqual(ctx, leader)
	a.checkWriters(ctx, leader)
}

// reach waits until a node has applied a position. MariaDB waits for its own replication only.
func (a *auditor) reach(ctx context.Context, n *cluster.Node, pos string) {
	a.t.Helper()
	if !a.Options.Engine || a.Flavor == gtid.MySQL {
		cluster.Must(a.t, sandbox.WaitPosition(ctx, n.DB(), a.Flavor, pos))
		return
	}
	cluster.Must(a.t, sandbox.WaitWritten(ctx, n.DB(), a.Flavor, pos))
}

// checkLedger compares the ledger with what clients were told and what was reported.
func (a *auditor) checkLedger(ctx context.Context, leader *cluster.Node, told map[row]outcome) {
	a.t.Helper()
	there := ledger(a.t, ctx, leader)
	reported := a.reported(told)
	lost := 0
	must := func(r row, why string) {
		switch {
		case there[r] == 1:
		case there[r] == 0 && a.acks == 0 && reported[r]:
			lost++
		default:
			a.t.Errorf("client %d, row %d (%s) is there %d times; reported as lost: %v", r.client, r.n, why, there[r], reported[r])
		}
	}
	for r := range a.held {
		must(r, "there at the last check")
	}
	for r, o := range told {
		switch {
		case o == acked:
			must(r, "acknowledged")
		case o == absent && there[r] > 0:
			a.t.Errorf("client %d, row %d is there, and the client was told that it is not", r.client, r.n)
		case there[r] > 1:
			a.t.Errorf("client %d, row %d is there %d times", r.client, r.n, there[r])
		}
	}
	for r := range there {
		if _, ok := told[r]; !ok && !a.held[r] {
			a.t.Errorf("client %d, row %d is there, and nobody wrote it", r.client, r.n)
		}
	}
	for r := range reported {
		if there[r] > 0 {
			a.t.Errorf("client %d, row %d is reported as lost, and is there", r.client, r.n)
		}
		if o, ok := told[r]; ok && o == absent {
			a.t.Errorf("client %d, row %d was on a leader that was lost, and the client was told that it is not there", r.client, r.n)
		}
	}
	if lost > 0 {
		a.lost, a.losses = a.lost+lost, a.losses+1
		a.t.Logf("    %d acknowledged writes were lost, and each was reported", lost)
	}
	a.held = map[row]bool{}
	for r := range there {
		a.held[r] = true
	}
}

// reported are the rows that were saved from returned leaders since the last check. Where there is
// one proxy, it knows what the clients were told.
func (a *auditor) reported(told map[row]outcome) map[row]bool {
	a.t.Helper()
	out := map[row]bool{}
	for _, n := range a.Nodes() {
		for _, dir := range a.rescues(n.Name()) {
			if a.saved[dir] {
				continue
			}
			a.saved[dir] = true
			rows, answered := rescuedRows(a.t, dir)
			for _, r := range rows {
				out[r] = true
				yes, known := answered[r]
				if o, ok := told[r]; ok && known && len(a.proxies) == 1 && yes != (o == acked) {
					a.t.Errorf("client %d, row %d is reported as answered: %v, and the client got %v", r.client, r.n, yes, o)
				}
			}
		}
	}
	return out
}

// ledger is how often each row is there.
func ledger(t *testing.T, ctx context.Context, n *cluster.Node) map[row]int {
	t.Helper()
	rows, err := n.DB().QueryContext(ctx, "SELECT client, n FROM shop.ledger")
	cluster.Must(t, err)
	defer func() { _ = rows.Close() }()
	there := map[row]int{}
	for rows.Next() {
		var r row
		cluster.Must(t, rows.Scan(&r.client, &r.n))
		there[r]++
	}
	cluster.Must(t, rows.Err())
	return there
}

func (a *auditor) checkMoney(leader *cluster.Node) {
	a.t.Helper()
	got := leader.Text(a.t, "SELECT SUM(balance) FROM shop.accounts")
	// A transfer takes from one account and gives to another: the sum cannot change.
	if want := fmt.Sprint(numAccounts * startBalance); got != want {
		a.t.Errorf("%s in all accounts, want %s", got, want)
	}
}

func (a *auditor) checkEqual(ctx context.Context, leader *cluster.Node) {
	a.t.Helper()
	sums := func(n *cluster.Node) string {
		rows, err := n.DB().QueryContext(ctx, "CHECKSUM TABLE shop.ledger, shop.accounts")
		cluster.Must(a.t, err)
		text, err := cluster.Text(rows, "null")
		cluster.Must(a.t, err)
		return text
	}
	want := sums(leader)
	for _, n := range a.Nodes() {
		if got := sums(n); got != want {
			a.t.Errorf("%s has %s, the leader %s has %s", n.Name(), got, leader.Name(), want)
		}
	}
}

// checkWriters reads from the leader's binlog who wrote what, in its order: first one
// leader, then the next, and never one whose reign is over.
func (a *auditor) checkWriters(ctx context.Context, leader *cluster.Node) {
	a.t.Helper()
	reigns := a.reigns()
	writers := a.writers(ctx, leader)
	var leaders []string
	for _, r := range reigns {
		if len(leaders) == 0 || leaders[len(leaders)-1] != r.Leader {
			leaders = append(leaders, r.Leader)
		}
	}
	rest := leaders
	for _, w := range writers {
		at := slices.Index(rest, w)
		if at < 0 {
			a.t.Errorf("the binlog of %s was written by %v, one after the other, and the leaders were %v", leader.Name(), writers, leaders)
			break
		}
		rest = rest[at:]
	}
	a.epoch = reigns[len(reigns)-1].Epoch
	for _, n := range a.Nodes() {
		forget(a.t, ctx, n)
	}
}

// writers are the nodes whose transactions a binlog holds, in its order, each once for
// an unbroken run.
func (a *auditor) writers(ctx context.Context, n *cluster.Node) (out []string) {
	a.t.Helper()
	for _, file := range binlogs(a.t, ctx, n) {
		rows, err := n.DB().QueryContext(ctx, "SHOW BINLOG EVENTS IN '"+file+"'")
		cluster.Must(a.t, err)
		for rows.Next() {
			var name, kind, info sql.NullString
			var at, end, server int
			cluster.Must(a.t, rows.Scan(&name, &at, &kind, &server, &end, &info))
			if !strings.EqualFold(kind.String, "gtid") {
				continue
			}
			writer := fmt.Sprintf("db%d", server)
			if len(out) == 0 || out[len(out)-1] != writer {
				out = append(out, writer)
			}
		}
		cluster.Must(a.t, rows.Err(), rows.Close())
	}
	return out
}

func binlogs(t *testing.T, ctx context.Context, n *cluster.Node) (files []string) {
	t.Helper()
	rows, err := n.DB().QueryContext(ctx, "SHOW BINARY LOGS")
	cluster.Must(t, err)
	text, err := cluster.Text(rows, "")
	cluster.Must(t, err)
	for line := range strings.SplitSeq(text, ";") {
		file, _, _ := strings.Cut(line, "|")
		files = append(files, file)
	}
	return files
}

// forget lets a node begin a new binlog and drop the old ones, which all nodes have
// applied: the next check has its own round only.
func forget(t *testing.T, ctx context.Context, n *cluster.Node) {
	t.Helper()
	_, err := n.DB().ExecContext(ctx, "FLUSH BINARY LOGS")
	cluster.Must(t, err)
	files := binlogs(t, ctx, n)
	last := files[len(files)-1]
	for range 50 { // one that is still being sent cannot be dropped
		if _, err = n.DB().ExecContext(ctx, "PURGE BINARY LOGS TO '"+last+"'"); err == nil && binlogs(t, ctx, n)[0] == last {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%s keeps old binlogs: %v", n.Name(), err)
}
