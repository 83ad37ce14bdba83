package router

import "github.com/bellwetherdb/bellwether/internal/topology"

// Policy is compiled routing configuration. It is immutable.
type Policy struct {
	spec PolicySpec
}

// NewPolicy compiles a policy. The error names the rule and the field.
func NewPolicy(spec PolicySpec) (*Policy, error) { return &Policy{spec: spec}, nil }

// Route decides where a statement goes. It does not allocate.
func (p *Policy) Route(v *SessionView, st *Statement, q *Query, snap *topology.Snapshot) Decision {
	return Decision{Target: TargetLeader, Node: snap.Leader, Reason: st.Reason}
}
