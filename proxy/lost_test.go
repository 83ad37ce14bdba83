package proxy

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/wire"
	"github.com/bellwetherdb/bellwether/router"
)

// TestFate: only what certainly commits nothing may be said to be rolled back, and only
// what certainly reads may run again.
func TestFate(t *testing.T) {
	for sql, want := range map[string]fate{
		"SELECT a FROM t":                     fateNothing,
		"SELECT a FROM t FOR UPDATE":          fateInternal,
		"INSERT INTO t VALUES (1)":            fateInternal,
		"DELETE FROM t":                       fateInternal,
		"SAVEPOINT a":                         fateInternal,
		"ROLLBACK":                            fateInternal,
		"COMMIT":                              fateUnknown,
		"BEGIN":                               fateUnknown,
		"XA COMMIT 'a'":                       fateUnknown,
		"SET autocommit = 1":                  fateUnknown,
		"CREATE TABLE t (a INT)":              fateUnknown,
		"CALL p()":                            fateUnknown,
		"INSERT INTO t SELECT f()":            fateUnknown,
		"UPDATE t SET a = 1; COMMIT":          fateUnknown,
		"SELECT a FROM t; DELETE FROM t":      fateUnknown,
		"SELECT GET_LOCK('a', 1)":             fateInternal,
		"SELECT a INTO @b FROM t":             fateInternal,
		"LOAD DATA INFILE 'x' INTO TABLE t":   fateUnknown,
		"SELECT SQL_CALC_FOUND_ROWS a FROM t": fateInternal,
	} {
		st := router.Classify([]byte(sql), router.Mode{}, nil)
		if got := fateOf(&st); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

func TestAsksInsertID(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT LAST_INSERT_ID()":                     true,
		"INSERT INTO t VALUES (last_insert_id(), 1)":  true,
		"UPDATE t SET a = LAST_INSERT_ID() WHERE b=1": true,
		"SELECT @@identity":                           true,
		"SELECT @@session.last_insert_id":             true,
		"DELETE FROM t; SELECT LAST_INSERT_ID()":      true,
		"CALL p()":                                    true,
		"SELECT identity FROM t":                      false,
		"INSERT INTO t VALUES (1)":                    false,
	} {
		st := router.Classify([]byte(sql), router.Mode{}, nil)
		if got := asksInsertID([]byte(sql), &st); got != want {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
	}
}

// TestUnreached: only a leader that could not be reached is waited for.
func TestUnreached(t *testing.T) {
	for err, want := range map[error]bool{
		errors.New("connection refused"): true,
		context.DeadlineExceeded:         true,
		nil:                              false,
		errNoLeader:                      false,
		errTransactionLost:               false,
		fmt.Errorf("log in: %w", wire.NewErr(1045, "no")): false,
		fmt.Errorf("connect: %w", context.Canceled):       false,
	} {
		if got := unreached(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

// TestInsertIDLost: an id that was lost is known again only by one that the next
// connection made.
func TestInsertIDLost(t *testing.T) {
	x := insertID{id: 5}
	if x.lose(); x.id != 5 || x.lost {
		t.Errorf("a certain id was lost: %+v", x)
	}
	x.unsure = true
	if x.lose(); !x.lost || x.id != 0 || x.unsure {
		t.Errorf("lost: %+v", x)
	}
	if x.told(0); !x.lost {
		t.Error("0 of a connection that began with 0 is taken for an answer")
	}
	if x.told(9); x.lost || x.id != 9 {
		t.Errorf("after a new one: %+v", x)
	}
}
