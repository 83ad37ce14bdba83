package cluster

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

func TestStartProxy(t *testing.T) {
	Each(t, func(t *testing.T, o Options) {
		o.Followers = 1
		c := Start(t, o)
		c.Exec(t, makeTable, "INSERT INTO shop.t VALUES (1)")
		wantCaughtUp(t, c)
		p := StartProxy(t, c, "log: {level: debug}")
		db := p.DB(sandbox.AppAccount, sandbox.AppSchema)
		var rows int
		if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d rows, %v; want 1", rows, err)
		}
		if status, _ := p.Get("/readyz"); status != http.StatusOK {
			t.Errorf("/readyz: %d", status)
		}
		if !strings.Contains(p.ReadConfig(), "debug") {
			t.Errorf("the override is not in the configuration:\n%s", p.ReadConfig())
		}
		t.Run("paused, it answers nothing; continued, it does", func(t *testing.T) {
			Must(t, p.Pause())
			if err := ask(t, db, silence); err == nil {
				t.Error("a paused proxy answered")
			}
			Must(t, p.Continue())
			Eventually(t, "it answers again", func() bool { return ask(t, db, silence*10) == nil })
		})
		t.Run("killed and stopped, it starts again", func(t *testing.T) {
			p.Kill()
			p.Restart()
			Must(t, ask(t, p.DB(sandbox.AppAccount, ""), silence*100))
			Must(t, p.Stop())
			if p.Log() == "" {
				t.Error("no log")
			}
		})
	})
}
