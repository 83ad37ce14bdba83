package wire

import "strings"

// Capability is the set of negotiated protocol features. The low 32 bits are
// the flags of the handshake; the high 32 bits are MariaDB's extended ones.
type Capability uint64

// Protocol flags of both flavours.
// Source: mysql_com.h of MySQL 9 and MariaDB 11.
const (
	// ClientLongPassword is always set by MySQL's clients and servers.
	// MariaDB calls the bit CLIENT_MYSQL: where it is not set the peer is
	// MariaDB's and sends the extended capabilities too.
	ClientLongPassword               Capability = 1 << 0
	ClientMySQL                      Capability = 1 << 0
	ClientFoundRows                  Capability = 1 << 1
	ClientLongFlag                   Capability = 1 << 2
	ClientConnectWithDB              Capability = 1 << 3
	ClientNoSchema                   Capability = 1 << 4
	ClientCompress                   Capability = 1 << 5
	ClientODBC                       Capability = 1 << 6
	ClientLocalFiles                 Capability = 1 << 7
	ClientIgnoreSpace                Capability = 1 << 8
	ClientProtocol41                 Capability = 1 << 9
	ClientInteractive                Capability = 1 << 10
	ClientSSL                        Capability = 1 << 11
	ClientIgnoreSigpipe              Capability = 1 << 12
	ClientTransactions               Capability = 1 << 13
	ClientReserved                   Capability = 1 << 14
	ClientSecureConnection           Capability = 1 << 15
	ClientMultiStatements            Capability = 1 << 16
	ClientMultiResults               Capability = 1 << 17
	ClientPSMultiResults             Capability = 1 << 18
	ClientPluginAuth                 Capability = 1 << 19
	ClientConnectAttrs               Capability = 1 << 20
	ClientPluginAuthLenencClientData Capability = 1 << 21
	ClientCanHandleExpiredPasswords  Capability = 1 << 22
	ClientSessionTrack               Capability = 1 << 23
	ClientDeprecateEOF               Capability = 1 << 24
	// The next four are MySQL's alone (8.0.3, 8.0.18, 8.0.23, 8.0.27).
	ClientOptionalResultsetMetadata Capability = 1 << 25
	ClientZstdCompression           Capability = 1 << 26
	ClientQueryAttributes           Capability = 1 << 27
	ClientMultiFactorAuthentication Capability = 1 << 28
	// ClientCapabilityExtension is reserved by MySQL; MariaDB before 10.2
	// used the bit for progress reports.
	ClientCapabilityExtension Capability = 1 << 29
	ClientSSLVerifyServerCert Capability = 1 << 30
	ClientRememberOptions     Capability = 1 << 31
)

// MariaDB's extended flags.
// Source: include/mysql_com.h of MariaDB 11.
const (
	// MariaDBClientProgress: the server may send progress reports, which
	// are ERR packets with code 0xffff.
	MariaDBClientProgress Capability = 1 << 32
	// MariaDBClientComMulti is of a removed experiment.
	MariaDBClientComMulti Capability = 1 << 33
	// MariaDBClientStmtBulkOperations allows COM_STMT_BULK_EXECUTE.
	MariaDBClientStmtBulkOperations Capability = 1 << 34
	// MariaDBClientExtendedMetadata adds a field to column definitions.
	MariaDBClientExtendedMetadata Capability = 1 << 35
	// MariaDBClientCacheMetadata adds a byte to the column count that says
	// whether column definitions follow.
	MariaDBClientCacheMetadata Capability = 1 << 36
	// MariaDBClientBulkUnitResults (11.5) allows a result for each row of a
	// bulk execution.
	MariaDBClientBulkUnitResults Capability = 1 << 37
)

// MariaDBExtended masks the flags that only MariaDB's peers exchange.
const MariaDBExtended Capability = 0xffffffff << 32

var capabilityNames = [...]string{
	"LONG_PASSWORD", "FOUND_ROWS", "LONG_FLAG", "CONNECT_WITH_DB", "NO_SCHEMA",
	"COMPRESS", "ODBC", "LOCAL_FILES", "IGNORE_SPACE", "PROTOCOL_41",
	"INTERACTIVE", "SSL", "IGNORE_SIGPIPE", "TRANSACTIONS", "RESERVED",
	"SECURE_CONNECTION", "MULTI_STATEMENTS", "MULTI_RESULTS", "PS_MULTI_RESULTS",
	"PLUGIN_AUTH", "CONNECT_ATTRS", "PLUGIN_AUTH_LENENC_CLIENT_DATA",
	"CAN_HANDLE_EXPIRED_PASSWORDS", "SESSION_TRACK", "DEPRECATE_EOF",
	"OPTIONAL_RESULTSET_METADATA", "ZSTD_COMPRESSION_ALGORITHM",
	"QUERY_ATTRIBUTES", "MULTI_FACTOR_AUTHENTICATION", "CAPABILITY_EXTENSION",
	"SSL_VERIFY_SERVER_CERT", "REMEMBER_OPTIONS", "PROGRESS", "COM_MULTI",
	"STMT_BULK_OPERATIONS", "EXTENDED_METADATA", "CACHE_METADATA",
	"BULK_UNIT_RESULTS",
}

// Has tells whether all flags of f are set.
func (c Capability) Has(f Capability) bool { return c&f == f }

// Any tells whether at least one flag of f is set.
func (c Capability) Any(f Capability) bool { return c&f != 0 }

// String lists the names of the set flags, joined by "|".
func (c Capability) String() string {
	var b strings.Builder
	for i, name := range capabilityNames {
		if c&(1<<i) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(name)
	}
	return b.String()
}
