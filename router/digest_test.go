package router

import "testing"

func TestDigestText(t *testing.T) {
	for sql, want := range map[string]string{
		"select 1":                                             "SELECT ?",
		"SELECT  -1 ,'a', 1.5e3 ;":                             "SELECT ?+",
		"select a from t where id = 5 -- x":                    "SELECT a FROM t WHERE id = ?",
		"SELECT a FROM t WHERE id IN (1,2,3)":                  "SELECT a FROM t WHERE id IN (?+)",
		"SELECT a FROM t WHERE id IN (1)":                      "SELECT a FROM t WHERE id IN (?)",
		"SELECT a FROM t WHERE id in (?, ?)":                   "SELECT a FROM t WHERE id IN (?+)",
		"insert into t (a, b) values (1, 'x'), (2, -3), (4,5)": "INSERT INTO t(a, b) VALUES (?+)",
		"insert into t values (1)":                             "INSERT INTO t VALUES (?)",
		"insert into t values (1), (2)":                        "INSERT INTO t VALUES (?)",
		"insert into t values (1, now()), (2, now())":          "INSERT INTO t VALUES (?, NOW()), (?, NOW())",
		"select count(*), Count from T":                        "SELECT COUNT(*), Count FROM T",
		"select a-1, b - -2, (c)-3":                            "SELECT a - ?, b - ?, (c) - ?",
		"select `a`.b, @x, @@global.y, f(1)":                   "SELECT `a`.b, @x, @@GLOBAL.y, f(?)",
		"select 1, a, 2, 3":                                    "SELECT ?, a, ?+",
		"/* bellwether: node=a */ select 1":                    "SELECT ?",
		"select * from t where a='x' and b=\"y\"":              "SELECT * FROM t WHERE a = ? AND b = ?",
		"select (1), (2), (a)":                                 "SELECT (?), (a)",
		"":                                                     "",
	} {
		if got := DigestText([]byte(sql), Mode{}); got != want {
			t.Errorf("%q:\n got %q\nwant %q", sql, got, want)
		}
	}
}

func TestDigestIsHashOfText(t *testing.T) {
	texts, hashes := map[string]uint64{}, map[uint64]string{}
	each := func(q string) {
		text, h := DigestText([]byte(q), Mode{}), Digest64([]byte(q), Mode{})
		if old, ok := texts[text]; ok && old != h {
			t.Errorf("%q has two digests", text)
		}
		if old, ok := hashes[h]; ok && old != text {
			t.Errorf("%q and %q have one digest", old, text)
		}
		texts[text], hashes[h] = h, text
	}
	for _, q := range reads {
		each(q)
	}
	for _, list := range leaders {
		for _, q := range list {
			each(q)
		}
	}
}
