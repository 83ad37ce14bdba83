package executor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const savedTransactions = `{"gtid":"0-1-7","time":"2026-01-02T03:04:05Z","changes":[` +
	`{"kind":"insert","schema":"shop","table":"t","after":[{"id":9223372036854775807,"note":"it's","raw":"base64:/w==","none":null}]},` +
	`{"kind":"update","schema":"shop","table":"t","before":[{"id":1,"note":"a"}],"after":[{"id":1,"note":"é"}]}]}
{"gtid":"0-1-8","time":"2026-01-02T03:04:06Z","changes":[{"kind":"statement","schema":"shop","statement":"DROP TABLE u"}]}
{"gtid":"0-1-9","time":"2026-01-02T03:04:07Z","changes":[{"kind":"delete","schema":"shop","table":"t","before":[{"@1":3}]}]}
`

// TestRescuedSQL: what was saved becomes SQL that does the same, and that undoes it, whatever
// bytes its values have; what cannot is said to be so.
func TestRescuedSQL(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, RescueFolder, "db1-epoch2")
	for name, text := range map[string]string{"gtids": "0-1-7..9", "transactions.jsonl": savedTransactions} {
		if err := errors.Join(os.MkdirAll(path, 0o700), os.WriteFile(filepath.Join(path, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Rescues(dir)
	if err != nil || len(list) != 1 || list[0].Name != "db1-epoch2" || list[0].GTIDs != "0-1-7..9" || len(list[0].Transactions) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	tx := list[0].Transactions
	for _, c := range []struct{ got, want string }{
		{tx[0].SQL(), "-- 0-1-7, 2026-01-02T03:04:05Z\nBEGIN;\n" +
			"INSERT INTO `shop`.`t` (`id`, `none`, `note`, `raw`) VALUES (9223372036854775807, NULL, CONVERT(X'69742773' USING utf8mb4), X'ff');\n" +
			"UPDATE `shop`.`t` SET `id` = 1, `note` = CONVERT(X'c3a9' USING utf8mb4) WHERE `id` <=> 1 AND `note` <=> 'a' LIMIT 1;\nCOMMIT;\n"},
		{tx[0].Reverse(), "-- 0-1-7, 2026-01-02T03:04:05Z\nBEGIN;\n" +
			"UPDATE `shop`.`t` SET `id` = 1, `note` = 'a' WHERE `id` <=> 1 AND `note` <=> CONVERT(X'c3a9' USING utf8mb4) LIMIT 1;\n" +
			"DELETE FROM `shop`.`t` WHERE `id` <=> 9223372036854775807 AND `none` <=> NULL AND `note` <=> CONVERT(X'69742773' USING utf8mb4) AND `raw` <=> X'ff' LIMIT 1;\nCOMMIT;\n"},
		{tx[1].SQL(), "-- 0-1-8, 2026-01-02T03:04:06Z\nBEGIN;\nUSE `shop`;\nDROP TABLE u;\nCOMMIT;\n"},
	} {
		if c.got != c.want {
			t.Errorf("got:\n%s\nwant:\n%s", c.got, c.want)
		}
	}
	if got := tx[1].Reverse(); !strings.Contains(got, "-- shop.: cannot be undone: DROP TABLE u") {
		t.Errorf("a statement undone: %s", got)
	}
	if got := tx[2].SQL(); !strings.Contains(got, "other columns") || strings.Contains(got, "DELETE") {
		t.Errorf("columns without names: %s", got)
	}
	if _, err := ReadRescue(dir, "db9"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	if list, err := Rescues(t.TempDir()); err != nil || len(list) != 0 {
		t.Errorf("nothing was saved: %v, %v", list, err)
	}
}
