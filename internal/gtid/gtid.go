package gtid

// Flavor is the kind of server that a set belongs to.
type Flavor uint8

// Flavours.
const (
	FlavorUnknown Flavor = iota
	MariaDB
	MySQL
)

func (f Flavor) String() string {
	switch f {
	case MariaDB:
		return "mariadb"
	case MySQL:
		return "mysql"
	default:
		return "unknown"
	}
}

// Set is a set of GTIDs (MySQL) or a replication position (MariaDB).
type Set struct{}
