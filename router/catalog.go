package router

// Routine is a stored routine, as information_schema.routines gives it.
type Routine struct {
	Schema, Name string
	Function     bool
	DataAccess   string // SQL_DATA_ACCESS: NO SQL, READS SQL DATA, CONTAINS SQL, MODIFIES SQL DATA
	Body         string // ROUTINE_DEFINITION; empty where it may not be seen
}

// View is a view, as information_schema.views gives it.
type View struct {
	Schema, Name string
	Definition   string // VIEW_DEFINITION; empty where it may not be seen
}

// Catalog is what is known of stored functions and views: which of them can be
// used on a follower. It is immutable. A nil Catalog knows nothing.
type Catalog struct {
	byName    map[string]bool // lower-case name -> all functions of that name, in whatever schema, are safe
	qualified map[string]bool // lower-case schema, NUL, lower-case name -> safe
	views     map[string]bool // lower-case names of views that are no plain reads, in whatever schema
	// watchesNames: there are such views, so that names have to be looked up.
	watchesNames bool
	// foreignViews: one of them has a name beyond ASCII, whose case is not
	// folded here: any such name is taken for it.
	foreignViews bool
}

type routineState uint8

const (
	routineUnknown routineState = iota
	routineSafe
	routineUnsafe
)

// maxName is the longest name of an object, in bytes: 64 characters.
const maxName = 64 * 4

// function says what is known of a function; schema is nil where the call does
// not give it: then all functions of the name must be safe.
func (c *Catalog) function(schema, name []byte) routineState {
	if c == nil {
		return routineUnknown
	}
	var buf [2*maxName + 1]byte
	if len(name) > maxName || len(schema) > maxName || !isASCII(name) || !isASCII(schema) {
		return routineUnknown
	}
	n := 0
	if schema != nil {
		n = copyLower(buf[:], schema)
		buf[n] = 0
		n++
	}
	n += copyLower(buf[n:], name)
	var safe, known bool
	if schema != nil {
		safe, known = c.qualified[string(buf[:n])]
	} else {
		safe, known = c.byName[string(buf[:n])]
	}
	switch {
	case !known:
		return routineUnknown
	case safe:
		return routineSafe
	}
	return routineUnsafe
}

// hasNone says whether it is known that there is no routine of the name.
func (c *Catalog) hasNone(name []byte) bool {
	if c == nil || len(name) > maxName {
		return false
	}
	var buf [maxName]byte
	n := copyLower(buf[:], name)
	_, known := c.byName[string(buf[:n])]
	return !known
}

// unsafeView says whether a name may be that of a view that is no plain read.
func (c *Catalog) unsafeView(name []byte) bool {
	if len(name) > maxName {
		return false
	}
	if c.foreignViews && !isASCII(name) {
		return true
	}
	var buf [maxName]byte
	n := copyLower(buf[:], name)
	return c.views[string(buf[:n])]
}

func copyLower(dst, src []byte) int {
	for i, c := range src {
		dst[i] = lowerByte(c)
	}
	return len(src)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// NewCatalog judges routines and views.
func NewCatalog(routines []Routine, views []View) *Catalog {
	return &Catalog{byName: map[string]bool{}, qualified: map[string]bool{}, views: map[string]bool{}}
}
