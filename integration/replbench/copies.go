package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bellwetherdb/bellwether/integration/measure"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/initial"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

const copyWorkers = 4

// runCopies measures how long it takes to fill an empty durable server with a leader's rows: by the
// initial copy, and by mydumper and myloader with as many threads.
func runCopies(ctx context.Context, o *options, s *sandbox.Server, out io.Writer) (err error) {
	for _, tool := range []string{"mydumper", "myloader"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(out, "%s: initial copy: not measured, %s is not installed (scripts/setup.sh bench brings it)\n", s, tool)
			return nil
		}
	}
	w, err := startWorld(ctx, s, true, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n := o.copyRows
	if err := fill(ctx, w.leader, n); err != nil {
		return err
	}
	took := map[string][]float64{} // seconds
	names := []string{"initial copy", "mydumper and myloader"}
	for round := range min(o.rounds, 5) {
		for i := range names {
			name := names[(i+round)%len(names)]
			d, err := w.copyOnce(ctx, name == names[0], fmt.Sprintf("copy%d-%d", round, i), uint32(100+2*round+i), n)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			took[name] = append(took[name], d.Seconds())
		}
	}
	fmt.Fprintf(out, "%s:\ninitial copy of %d rows, %d threads, to a durable server (medians of %d)\n", s, n, copyWorkers, len(took[names[0]]))
	for _, name := range names {
		fmt.Fprintf(out, "  %-22s %8.2f s\n", name, measure.Median(took[name]))
	}
	fmt.Fprintf(out, "  %s / %s: %.2f (goal 1 at most)\n\n", names[0], names[1], measure.Median(took[names[0]])/measure.Median(took[names[1]]))
	return nil
}

// fill makes rows of about 200 bytes with a secondary key.
func fill(ctx context.Context, n *sandbox.Node, rows int) error {
	conn, err := n.DB().Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	err = node.Exec(ctx, conn, "CREATE TABLE shop.filled (id INT PRIMARY KEY, k INT NOT NULL, a VARCHAR(100), b DECIMAL(12,2), c DATETIME(6), d BLOB, KEY (k)) ENGINE=InnoDB")
	const step = 20000
	for from := 0; err == nil && from < rows; from += step {
		_, err = conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO shop.filled SELECT %d+i.id, i.id*7919 %% 100003, REPEAT(CHAR(97+i.id%%26), 20+i.id%%60), i.id/7, '2026-01-01'+INTERVAL i.id SECOND, UNHEX(SHA2(i.id,512)) FROM shop.items i WHERE i.id < %d",
			from, min(step, rows-from)))
	}
	return err
}

func (w *world) copyOnce(ctx context.Context, ours bool, name string, id uint32, rows int) (took time.Duration, err error) {
	to, f, err := w.start(ctx, name, id, true, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close(), os.RemoveAll(filepath.Join(w.dir, name))) }()
	if err := errors.Join(sandbox.CreateEngineAccount(ctx, to.DB()), f.ResetPosition(ctx, f.DB, gtid.Set{}, "")); err != nil {
		return 0, err
	}
	began := time.Now()
	if ours {
		_, err = (&initial.Plan{Leader: w.asLeader, Follower: f, Workers: copyWorkers}).Run(ctx)
	} else {
		err = w.dumpAndLoad(ctx, to, filepath.Join(w.dir, name+"-dump"))
	}
	took = time.Since(began)
	if err != nil {
		return 0, err
	}
	var n int
	if err := to.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM shop.filled").Scan(&n); err != nil || n != rows {
		return 0, fmt.Errorf("%d rows of %d (%w)", n, rows, err)
	}
	return took, nil
}

func (w *world) dumpAndLoad(ctx context.Context, to *sandbox.Node, dir string) error {
	defer func() { _ = os.RemoveAll(dir) }()
	threads := strconv.Itoa(copyWorkers)
	for _, command := range [][]string{
		{"mydumper", "--socket", w.leader.Socket(), "--user", "root", "--outputdir", dir, "--threads", threads, "--rows", "100000", "--database", "shop", "--trx-consistency-only"},
		{"myloader", "--socket", to.Socket(), "--user", "root", "--directory", dir, "--threads", threads, "--overwrite-tables", "--enable-binlog"},
	} {
		if b, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command[0], err, b)
		}
	}
	return nil
}
