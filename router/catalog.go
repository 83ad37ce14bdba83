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

// Catalog is what is known of stored functions and views. It is immutable.
type Catalog struct{}

// NewCatalog judges routines and views.
func NewCatalog(routines []Routine, views []View) *Catalog { return &Catalog{} }
