package failover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Candidate is a revoked follower with what it holds.
type Candidate struct {
	Name     string
	Received gtid.Set // durable there, what was executed included
	Executed gtid.Set
	Errant   gtid.Set
	// Doubtful is what one that led before holds beyond the end of its reign, where nothing
	// has compared it since: its own, or acknowledged to a later leader.
	Doubtful  gtid.Set
	Promotion Promotion
	Zone      string
	Version   string
	Lag       time.Duration
	Order     int // in the configuration
}

// holds is what a candidate has of the leaders' transactions.
func (c *Candidate) holds() gtid.Set {
	return c.Received.Union(c.Executed).Subtract(c.Errant)
}

// Choice is who is promoted, and from whom it first takes what it lacks.
type Choice struct {
	Node  string
	From  string   // "" when it needs nothing from others
	Until gtid.Set // what it must have executed before it is opened
	// Lost is what others hold and the chosen one does not: nothing, but by force.
	Lost gtid.Set
}

// Choose picks the candidate. Containment is a partial order and no sort key: first
// those are found that no other one exceeds. If they do not all hold the same,
// nobody can hold everything, and it refuses unless force is given. Of the greatest
// the best is taken by promotion rule, zone (that of prefer's node), older version,
// lag, fewest left to apply, and the order in the configuration, which is total. If
// none of the greatest may be promoted, the best other one is, and takes from
// the greatest what it lacks. wanted, unless empty, is the only one that may be
// chosen.
func Choose(cs []Candidate, zone, wanted string, force bool) (Choice, error) {
	if len(cs) == 0 {
		return Choice{}, fmt.Errorf("no follower can be had")
	}
	greatest := Maximal(cs)
	if at := slices.IndexFunc(greatest, func(c Candidate) bool { return !c.Doubtful.IsEmpty() }); at >= 0 && !force {
		return Choice{}, fmt.Errorf("%s led before, nobody could compare it since, and it holds %s beyond its reign: that may be its own", greatest[at].Name, greatest[at].Doubtful)
	}
	all := greatest[0].holds()
	same := !slices.ContainsFunc(greatest, func(c Candidate) bool { return !c.holds().Equal(all) })
	if !same && !force {
		return Choice{}, fmt.Errorf("the followers hold different transactions, none holds all: %s", describe(greatest))
	}
	may := func(c Candidate) bool {
		return c.Promotion != PromoteNever && c.Errant.IsEmpty() && c.Doubtful.IsEmpty() && (wanted == "" || c.Name == wanted)
	}
	pick := func(from []Candidate) *Candidate {
		from = slices.DeleteFunc(slices.Clone(from), func(c Candidate) bool { return !may(c) })
		if len(from) == 0 {
			return nil
		}
		best := slices.MinFunc(from, func(a, b Candidate) int { return preference(&a, &b, zone) })
		return &best
	}
	if c := pick(greatest); c != nil {
		ch := Choice{Node: c.Name, Until: c.holds()}
		for i := range greatest {
			ch.Lost = ch.Lost.Union(greatest[i].holds().Subtract(c.holds()))
		}
		return ch, nil
	}
	c := pick(cs)
	switch {
	case c == nil && wanted != "":
		return Choice{}, fmt.Errorf("%s cannot be promoted: it must be reachable, without transactions of its own, and not excluded", wanted)
	case c == nil:
		return Choice{}, fmt.Errorf("none of the followers that can be had may be promoted")
	case !same:
		return Choice{}, fmt.Errorf("none of the most advanced followers may be promoted, and they hold different transactions: %s", describe(greatest))
	}
	from := slices.MinFunc(greatest, func(a, b Candidate) int { return preference(&a, &b, zone) })
	return Choice{Node: c.Name, From: from.Name, Until: all}, nil
}

// Maximal returns the candidates whose transactions no other one properly contains.
func Maximal(cs []Candidate) []Candidate {
	var out []Candidate
	for i := range cs {
		if !slices.ContainsFunc(cs, func(o Candidate) bool { return gtid.Compare(cs[i].holds(), o.holds()) == gtid.Before }) {
			out = append(out, cs[i])
		}
	}
	return out
}

// promotionRank is the order of wish.
func promotionRank(p Promotion) int {
	return [...]int{PromoteNeutral: 1, PromotePrefer: 0, PromoteAvoid: 2, PromoteNever: 3}[p]
}

// preference compares two candidates that hold the same, better first. It is total.
func preference(a, b *Candidate, zone string) int {
	elsewhere := func(c *Candidate) int {
		if zone != "" && c.Zone != zone {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(promotionRank(a.Promotion), promotionRank(b.Promotion)),
		cmp.Compare(elsewhere(a), elsewhere(b)),
		compareVersions(a.Version, b.Version), // a newer leader may write what an older follower cannot read
		cmp.Compare(a.Lag, b.Lag),
		cmp.Compare(a.Received.Subtract(a.Executed).Count(), b.Received.Subtract(b.Executed).Count()),
		cmp.Compare(a.Order, b.Order),
		cmp.Compare(a.Name, b.Name),
	)
}

// compareVersions compares the leading numbers of two versions.
func compareVersions(a, b string) int {
	na, nb := versionNumbers(a), versionNumbers(b)
	return slices.Compare(na[:], nb[:])
}

func versionNumbers(s string) (n [3]int) {
	at := 0
	for i := 0; i < len(s) && at < len(n); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9' && n[at] < 1e6:
			n[at] = n[at]*10 + int(c-'0')
		case c == '.':
			at++
		default:
			return n
		}
	}
	return n
}

func describe(cs []Candidate) string {
	var b strings.Builder
	for i := range cs {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %s", cs[i].Name, cs[i].holds())
	}
	return b.String()
}
