package quorum

import "testing"

func TestDecide(t *testing.T) {
	in := func(n uint64) Member { return Member{InSync: true, Committed: n} }
	out := func(n uint64) Member { return Member{Committed: n} }
	for _, c := range []struct {
		name    string
		policy  Policy
		members []Member
		want    Verdict
	}{
		{"nobody is waited for", Policy{}, []Member{out(1)}, Verdict{UpTo: 9}},
		{"one of two", Policy{Acks: 1}, []Member{in(3), in(7)}, Verdict{UpTo: 7}},
		{"two of two", Policy{Acks: 2}, []Member{in(3), in(7)}, Verdict{UpTo: 3}},
		{"two of three", Policy{Acks: 2}, []Member{in(3), in(7), in(5)}, Verdict{UpTo: 5}},
		{"a commit of one that lags counts", Policy{Acks: 2}, []Member{in(3), out(7)}, Verdict{UpTo: 3, Short: true}},
		{"more than there are", Policy{Acks: 3}, []Member{in(3), in(7)}, Verdict{Short: true}},
		{"none is in sync, one is wanted", Policy{Acks: 1}, []Member{out(3), out(4)}, Verdict{UpTo: 4, Short: true}},
		{"too few in sync: wait", Policy{Acks: 1, MinInSync: 2}, []Member{in(3), out(7)}, Verdict{Short: true}},
		{"too few in sync: degrade", Policy{Acks: 1, MinInSync: 2, Degrade: true}, []Member{in(3), out(7)}, Verdict{UpTo: 9, Short: true}},
		{"enough in sync: no degrading", Policy{Acks: 1, MinInSync: 1, Degrade: true}, []Member{in(3), out(7)}, Verdict{UpTo: 7}},
		{"all in sync", Policy{Acks: All}, []Member{in(3), in(7), out(1)}, Verdict{UpTo: 3}},
		{"all, and nobody is in sync", Policy{Acks: All}, []Member{out(3), out(7)}, Verdict{Short: true}},
		{"all, and too few are in sync", Policy{Acks: All, MinInSync: 2}, []Member{in(3), out(7)}, Verdict{Short: true}},
		{"all, degraded", Policy{Acks: All, Degrade: true}, []Member{out(3)}, Verdict{UpTo: 9, Short: true}},
		{"no followers at all", Policy{Acks: 1}, nil, Verdict{Short: true}},
		{"never more than was read", Policy{Acks: 1}, []Member{in(12)}, Verdict{UpTo: 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Decide(c.policy, c.members, 9); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
