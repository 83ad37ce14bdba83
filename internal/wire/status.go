package wire

// Status is the server status of OK and EOF packets.
type Status uint16

// Source: SERVER_STATUS_flags_enum of MySQL 9, mysql_com.h of MariaDB 11.
const (
	StatusInTrans            Status = 1 << 0
	StatusAutocommit         Status = 1 << 1
	StatusMoreResults        Status = 1 << 3
	StatusNoGoodIndexUsed    Status = 1 << 4
	StatusNoIndexUsed        Status = 1 << 5
	StatusCursorExists       Status = 1 << 6
	StatusLastRowSent        Status = 1 << 7
	StatusDBDropped          Status = 1 << 8
	StatusNoBackslashEscapes Status = 1 << 9
	StatusMetadataChanged    Status = 1 << 10
	StatusQueryWasSlow       Status = 1 << 11
	StatusPSOutParams        Status = 1 << 12
	StatusInTransReadonly    Status = 1 << 13
	StatusSessionStateChange Status = 1 << 14
	// StatusANSIQuotes is MariaDB's alone.
	StatusANSIQuotes Status = 1 << 15
)

// Has tells whether all flags of f are set.
func (s Status) Has(f Status) bool { return s&f == f }
