package binlog

import (
	"testing"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// What a set is asked for with is what the servers' own events hold.
func TestGTIDSetBinary(t *testing.T) {
	for _, text := range []string{
		"",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:9-100,4e11fa47-71ca-11e1-9e33-c80aa9429562:3",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:a_tag:2-3:other:1,4e11fa47-71ca-11e1-9e33-c80aa9429562:other:3",
	} {
		want, err := gtid.Parse(gtid.MySQL, text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePreviousGTIDs(NewEvent(Header{Type: TypePreviousGTIDs}, want.AppendBinary(nil)))
		if err != nil || !got.Equal(want) {
			t.Errorf("%q came back as %q, %v", want, got, err)
		}
	}
}
