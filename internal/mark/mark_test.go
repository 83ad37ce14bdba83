package mark_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/mark"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
	"github.com/bellwetherdb/bellwether/replicator/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMark(t *testing.T) {
	nodetest.EachFlavor(t, func(t *testing.T, ctx context.Context, leader, _ *sandbox.Node) {
		db, flavor := leader.DB(), leader.Server().Flavor
		before, err := sandbox.Position(ctx, db, flavor)
		if err != nil {
			t.Fatal(err)
		}
		readOnly := "read_only"
		if flavor == gtid.MySQL {
			readOnly = "super_read_only"
		}
		if _, err := db.ExecContext(ctx, "SET GLOBAL "+readOnly+"=1"); err != nil {
			t.Fatal(err)
		}
		want := func(epoch uint64) {
			t.Helper()
			if got, err := mark.Read(ctx, db); err != nil || got != epoch {
				t.Fatalf("the mark is %d, %v; want %d", got, err, epoch)
			}
		}
		want(0)
		for _, epoch := range []uint64{7, 7, 9} {
			if held, err := mark.Mark(ctx, db, epoch); err != nil || held != epoch {
				t.Fatalf("marked with %d: %d, %v", epoch, held, err)
			}
			want(epoch)
		}
		if held, err := mark.Mark(ctx, db, 8); !errors.Is(err, mark.ErrOutdated) || held != 9 {
			t.Fatalf("a lower epoch: %d, %v", held, err)
		}
		want(9)
		after, err := sandbox.Position(ctx, db, flavor)
		if err != nil || after != before {
			t.Errorf("marking moved the position from %s to %s, %v", before, after, err)
		}
		var on bool
		if err := db.QueryRowContext(ctx, "SELECT @@GLOBAL."+readOnly).Scan(&on); err != nil || !on {
			t.Errorf("%s is %v, %v after marking", readOnly, on, err)
		}
		race(t, ctx, db)
		want(120)
	})
}

// race marks with many epochs at a time: whoever is told that it holds has seen
// no higher one before.
func race(t *testing.T, ctx context.Context, db *sql.DB) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range uint64(20) {
		wg.Go(func() {
			epoch := 101 + i
			held, err := mark.Mark(ctx, db, epoch)
			if held < epoch || (held == epoch) != (err == nil) || err != nil && !errors.Is(err, mark.ErrOutdated) {
				t.Errorf("marked with %d: %d, %v", epoch, held, err)
			}
		})
	}
	wg.Wait()
}
