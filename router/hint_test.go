package router

import (
	"testing"
	"time"
)

func TestHint(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want Hint
	}{
		{"SELECT 1", Hint{}},
		{"/* note */ SELECT 1", Hint{}},
		{"SELECT /* bellwether: target=leader */ 1", Hint{}},
		{"SELECT 1 /* bellwether: target=leader */", Hint{}},
		{"-- bellwether: target=leader\nSELECT 1", Hint{}},
		{"/* bellwether: target=leader */ SELECT 1", Hint{Present: true, Target: TargetLeader}},
		{"/*bellwether:target=follower*/SELECT 1", Hint{Present: true, Target: TargetFollower}},
		{"/* note */ # x\n/*\tBellwether:\n TARGET=Follower */ SELECT 1", Hint{Present: true, Target: TargetFollower}},
		{"/* bellwether: max_lag=200ms */ SELECT 1", Hint{Present: true, MaxLag: 200 * time.Millisecond}},
		{"/* bellwether: node=db2 */ SELECT 1", Hint{Present: true, Node: "db2"}},
		{"/* bellwether: target=follower, max_lag=1.5s,node=DB-2 */ (SELECT 1)", Hint{Present: true, Target: TargetFollower, MaxLag: 1500 * time.Millisecond, Node: "DB-2"}},
		{"/* bellwether: */ SELECT 1", Hint{Present: true, Err: "the hint is empty"}},
		{"/* bellwether: target */ SELECT 1", Hint{Present: true, Err: `"target" is not of the form key=value`}},
		{"/* bellwether: target= */ SELECT 1", Hint{Present: true, Err: `"target=" is not of the form key=value`}},
		{"/* bellwether: target=replica */ SELECT 1", Hint{Present: true, Err: `target is "replica", want leader or follower`}},
		{"/* bellwether: target=leader target=leader */ SELECT 1", Hint{Present: true, Err: "target is given twice"}},
		{"/* bellwether: max_lag=5 */ SELECT 1", Hint{Present: true, Err: `max_lag is "5", want a duration over zero such as 200ms`}},
		{"/* bellwether: max_lag=-5s */ SELECT 1", Hint{Present: true, Err: `max_lag is "-5s", want a duration over zero such as 200ms`}},
		{"/* bellwether: max_lag=1s max_lag=2s */ SELECT 1", Hint{Present: true, Err: "max_lag is given twice"}},
		{"/* bellwether: node=a node=b */ SELECT 1", Hint{Present: true, Err: "node is given twice"}},
		{"/* bellwether: traget=leader */ SELECT 1", Hint{Present: true, Err: `the key "traget" is not known`}},
		{"/* bellwether: node=a */ /* bellwether: node=b */ SELECT 1", Hint{Present: true, Err: "more than one hint"}},
		{"/* bellwether: node=\x80 */ SELECT 1", Hint{Present: true, Node: "\x80"}},
	} {
		t.Run(c.sql, func(t *testing.T) {
			if st := Classify([]byte(c.sql), Mode{}, nil); st.Hint != c.want {
				t.Errorf("got %+v, want %+v", st.Hint, c.want)
			}
		})
	}
}

func TestHintDoesNotChangeTheClass(t *testing.T) {
	for _, list := range leaders {
		for _, q := range list {
			if st := Classify([]byte("/* bellwether: target=follower */"+q), Mode{}, nil); st.IsRead() {
				t.Errorf("%q is called a read", q)
			}
		}
	}
}
