package mysqlconn

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"
)

type refusing struct{ err error }

func (r refusing) ExecContext(context.Context, string, ...any) (sql.Result, error) { return nil, r.err }

func TestKill(t *testing.T) {
	denied := &mysql.MySQLError{Number: 1095, Message: "You are not owner of thread 7"}
	for _, c := range []struct{ answer, want error }{
		{nil, nil},
		{&mysql.MySQLError{Number: 1094, Message: "Unknown thread id: 7"}, nil},
		{denied, denied},
		{context.Canceled, context.Canceled},
	} {
		if got := Kill(t.Context(), refusing{c.answer}, 7); !errors.Is(got, c.want) {
			t.Errorf("the server answers %v: %v", c.answer, got)
		}
	}
}
