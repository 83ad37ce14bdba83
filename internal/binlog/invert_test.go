package binlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/binlog"
)

// changes are what an event does to rows, for comparison: "before>after" of each.
func changes(t *testing.T, r *binlog.Rows, m *binlog.TableMap) (out []string) {
	t.Helper()
	image := func(values []binlog.Value) string {
		if values == nil {
			return "none"
		}
		return fmt.Sprintf("%+v", values)
	}
	if err := r.Walk(m, func(before, after []binlog.Value) error {
		if r.Type == binlog.TypeDeleteRows || r.Type == binlog.TypeDeleteRowsV1 {
			after = nil
		}
		out = append(out, image(before)+">"+image(after))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// wantUndone checks that the inverse of an event does the opposite, from the last row to the
// first, and that its own inverse is the event again.
func wantUndone(t *testing.T, r *binlog.Rows, m *binlog.TableMap) {
	t.Helper()
	e, err := r.Invert(binlog.Header{}, m)
	switch {
	case errors.Is(err, binlog.ErrNotInvertible) || errors.Is(err, binlog.ErrMalformed):
		return
	case err != nil:
		t.Fatal(err)
	}
	undo, err := binlog.ParseRows(e)
	if err != nil {
		t.Fatalf("the inverse of %+v: %v", r, err)
	}
	want := changes(t, r, m)
	slices.Reverse(want)
	for i, c := range want {
		before, after, _ := bytes.Cut([]byte(c), []byte(">"))
		want[i] = string(after) + ">" + string(before)
	}
	if got := changes(t, undo, m); !slices.Equal(got, want) {
		t.Fatalf("undone: %v\nwant %v", got, want)
	}
	e, err = undo.Invert(binlog.Header{}, m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := binlog.ParseRows(e)
	if err != nil || again.Type != r.Type || !bytes.Equal(again.Data, r.Data) {
		t.Fatalf("undone twice: %+v, %v\nwas %+v", again, err, r)
	}
}

// TestInvert undoes all that real servers wrote.
func TestInvert(t *testing.T) {
	for _, server := range recordings {
		t.Run(server, func(t *testing.T) {
			var format *binlog.FormatDescription
			maps := map[uint64]*binlog.TableMap{}
			whole, parts := 0, 0
			a := binlog.NewAssembler(0)
			readFile(t, recorded(t, server), func(f *binlog.FormatDescription) { format = f; a.Format(f) }, func(_ []byte, e binlog.Event) {
				err := a.Add(e, func(p *binlog.Part) error {
					for _, e := range p.Events {
						if e.Type == binlog.TypeTableMap {
							m, err := binlog.ParseTableMap(e, format.Flavor())
							if err != nil {
								return err
							}
							maps[m.TableID] = m
						}
						if !e.Type.IsRows() {
							continue
						}
						r, err := binlog.ParseRows(e)
						if err != nil {
							return err
						}
						if _, err := r.Invert(e.Header, maps[r.TableID]); errors.Is(err, binlog.ErrNotInvertible) {
							parts++
							continue
						} else if err != nil {
							return err
						}
						whole++
						wantUndone(t, r, maps[r.TableID])
					}
					return nil
				})
				if errors.Is(err, binlog.ErrVoid) {
					a.Reset()
				} else if err != nil {
					t.Fatal(err)
				}
			})
			if whole < 5 {
				t.Errorf("%d events were undone, %d cannot be", whole, parts)
			}
			t.Logf("%d events were undone, %d cannot be", whole, parts)
		})
	}
}
