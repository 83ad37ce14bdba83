package failover

import (
	"fmt"
	"strings"
)

var kindNames = map[ActionKind]string{
	HoldWrites: "hold-writes", ReleaseWrites: "release-writes", Publish: "publish", Fence: "fence", Revoke: "revoke",
	Drain: "drain", Open: "open", RequireAcks: "require-acks", Repoint: "repoint", RescueAndRejoin: "rescue-and-rejoin", Compare: "compare",
	RunHook: "hook", Report: "report", Answer: "answer",
}

func (k ActionKind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("action-%d", uint8(k))
}

// String is for people and for scenarios: the decision, without its number.
func (a Action) String() string {
	var b strings.Builder
	b.WriteString(a.Kind.String())
	word := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", key, value)
		}
	}
	word("event", a.Event)
	word("code", a.Code)
	word("node", a.Node)
	word("leader", a.Leader)
	word("from", a.From)
	if a.Epoch != 0 {
		fmt.Fprintf(&b, " epoch=%d", a.Epoch)
	}
	if a.Acks != 0 {
		fmt.Fprintf(&b, " acks=%d", a.Acks)
	}
	word("until", a.Until.String())
	if a.Kind == Publish {
		r := &a.Record
		fmt.Fprintf(&b, " leader=%s reign=%d members=%s acks=%d settled=%v", r.Leader, r.Reign, strings.Join(r.Members, ","), r.Acks, r.Settled)
		if r.Change != nil {
			fmt.Fprintf(&b, " change=%s/%s from=%s to=%s", r.Change.Kind, r.Change.Phase, r.Change.From, r.Change.To)
		}
	}
	if a.Request != 0 {
		fmt.Fprintf(&b, " request=%d", a.Request)
	}
	if a.Text != "" {
		fmt.Fprintf(&b, " (%s)", a.Text)
	}
	if a.Err != "" {
		fmt.Fprintf(&b, " error=%q", a.Err)
	}
	for _, r := range a.Reasons {
		fmt.Fprintf(&b, "\n    because %s", r)
	}
	return b.String()
}
