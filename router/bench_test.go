package router

import "testing"

func benchmarkClassify(b *testing.B, sql string) {
	b.ReportAllocs()
	q := []byte(sql)
	for b.Loop() {
		Classify(q, Mode{}, nil)
	}
}

func BenchmarkClassifyPointSelect(b *testing.B) {
	benchmarkClassify(b, "SELECT c FROM sbtest1 WHERE id=12345")
}

func BenchmarkClassifyJoin(b *testing.B) {
	benchmarkClassify(b, "SELECT o.id, o.total, c.name, COUNT(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.created >= '2024-01-01' AND o.status IN ('paid', 'sent') GROUP BY c.id ORDER BY o.created DESC LIMIT 20")
}

func BenchmarkClassifyInsert(b *testing.B) {
	benchmarkClassify(b, "INSERT INTO sbtest1 (id, k, c, pad) VALUES (12345, 678, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbb')")
}

func BenchmarkDigest(b *testing.B) {
	b.ReportAllocs()
	q := []byte("SELECT c FROM sbtest1 WHERE id=12345")
	for b.Loop() {
		Digest64(q, Mode{})
	}
}

func BenchmarkRoute(b *testing.B) {
	b.ReportAllocs()
	p, err := NewPolicy(PolicySpec{Pin: true, Learned: NewLearned(1024)})
	if err != nil {
		b.Fatal(err)
	}
	sql, snap := []byte("SELECT c FROM sbtest1 WHERE id=12345"), cluster()
	v, st := SessionView{Autocommit: true, Pinned: "f2"}, Classify(sql, Mode{}, nil)
	for b.Loop() {
		q := Query{SQL: sql}
		p.Route(&v, &st, &q, snap)
	}
}
