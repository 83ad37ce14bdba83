package stream

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

func TestMessages(t *testing.T) {
	pos, err := gtid.Parse(gtid.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
	if err != nil {
		t.Fatal(err)
	}
	got := request(&Options{Flavor: gtid.MySQL, ServerID: 7}, pos)
	head := []byte{0x1e, 4, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x3e, 0x11}
	if !bytes.HasPrefix(got, head) || len(got) != 19+4+48 {
		t.Errorf("the request is % x", got)
	}
	if got := request(&Options{Flavor: gtid.MariaDB, ServerID: 7}, gtid.Set{}); !bytes.Equal(got, []byte{0x12, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0}) {
		t.Errorf("MariaDB's request is % x", got)
	}
	if got := registration(&Options{ServerID: 7}); len(got) != 18 || got[1] != 7 {
		t.Errorf("the registration is % x", got)
	}
	at, err := gtid.Parse(gtid.MariaDB, "0-1-5")
	if err != nil {
		t.Fatal(err)
	}
	if got := preparation(&Options{Flavor: gtid.MariaDB, SemiSync: true}, at); !strings.Contains(got, "@slave_connect_state='0-1-5'") || !strings.Contains(got, "@rpl_semi_sync_slave=1") {
		t.Errorf("the preparation is %s", got)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte{0, 0xef, 1, 2, 3}, true)
	f.Add([]byte{0, 1, 2}, false)
	f.Add([]byte{0, 0xef}, true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, payload []byte, semiSync bool) {
		raw, wants, err := unwrap(payload, semiSync)
		if err != nil && (raw != nil || wants) {
			t.Fatal("an error with an event")
		}
		d := Dump{file: "binlog.000001"}
		if err == nil {
			_, _ = d.parse(raw)
		}
	})
}
