package wire

import "fmt"

// Command is the first byte of the first packet of a request.
type Command byte

// Commands of both flavours.
// Source: my_command.h of MySQL 9, mysql_com.h of MariaDB 11.
const (
	ComSleep            Command = 0x00
	ComQuit             Command = 0x01
	ComInitDB           Command = 0x02
	ComQuery            Command = 0x03
	ComFieldList        Command = 0x04
	ComCreateDB         Command = 0x05
	ComDropDB           Command = 0x06
	ComRefresh          Command = 0x07
	ComShutdown         Command = 0x08
	ComStatistics       Command = 0x09
	ComProcessInfo      Command = 0x0a
	ComConnect          Command = 0x0b
	ComProcessKill      Command = 0x0c
	ComDebug            Command = 0x0d
	ComPing             Command = 0x0e
	ComTime             Command = 0x0f
	ComDelayedInsert    Command = 0x10
	ComChangeUser       Command = 0x11
	ComBinlogDump       Command = 0x12
	ComTableDump        Command = 0x13
	ComConnectOut       Command = 0x14
	ComRegisterSlave    Command = 0x15
	ComStmtPrepare      Command = 0x16
	ComStmtExecute      Command = 0x17
	ComStmtSendLongData Command = 0x18
	ComStmtClose        Command = 0x19
	ComStmtReset        Command = 0x1a
	ComSetOption        Command = 0x1b
	ComStmtFetch        Command = 0x1c
	ComDaemon           Command = 0x1d
	// The next is MySQL's; MariaDB's COM_UNIMPLEMENTED.
	ComBinlogDumpGTID  Command = 0x1e
	ComResetConnection Command = 0x1f
	// The next two are MySQL's alone.
	ComClone                           Command = 0x20
	ComSubscribeGroupReplicationStream Command = 0x21
	// ComStmtBulkExecute is MariaDB's alone.
	ComStmtBulkExecute Command = 0xfa
)

var commandNames = map[Command]string{
	ComSleep: "Sleep", ComQuit: "Quit", ComInitDB: "Init DB", ComQuery: "Query",
	ComFieldList: "Field List", ComCreateDB: "Create DB", ComDropDB: "Drop DB",
	ComRefresh: "Refresh", ComShutdown: "Shutdown", ComStatistics: "Statistics",
	ComProcessInfo: "Processlist", ComConnect: "Connect", ComProcessKill: "Kill",
	ComDebug: "Debug", ComPing: "Ping", ComTime: "Time",
	ComDelayedInsert: "Delayed insert", ComChangeUser: "Change user",
	ComBinlogDump: "Binlog Dump", ComTableDump: "Table Dump",
	ComConnectOut: "Connect Out", ComRegisterSlave: "Register Slave",
	ComStmtPrepare: "Prepare", ComStmtExecute: "Execute",
	ComStmtSendLongData: "Long Data", ComStmtClose: "Close stmt",
	ComStmtReset: "Reset stmt", ComSetOption: "Set option",
	ComStmtFetch: "Fetch", ComDaemon: "Daemon",
	ComBinlogDumpGTID: "Binlog Dump GTID", ComResetConnection: "Reset connection",
	ComClone:                           "clone",
	ComSubscribeGroupReplicationStream: "Group Replication Data Stream subscription",
	ComStmtBulkExecute:                 "Bulk_execute",
}

// String is the name that the servers show in their process lists.
func (c Command) String() string {
	if s, ok := commandNames[c]; ok {
		return s
	}
	return fmt.Sprintf("command 0x%02x", byte(c))
}

// HasResponse tells whether the server answers the command at all.
func (c Command) HasResponse() bool {
	return c != ComQuit && c != ComStmtClose && c != ComStmtSendLongData
}

// Flags of the byte after the statement id in COM_STMT_EXECUTE.
const (
	CursorTypeNone       byte = 0
	CursorTypeReadOnly   byte = 1
	CursorTypeForUpdate  byte = 2
	CursorTypeScrollable byte = 4
	// CursorParameterCount (MySQL, with ClientQueryAttributes): a parameter
	// count is sent even when the statement has none.
	CursorParameterCount byte = 8
)

// Arguments of COM_SET_OPTION.
const (
	OptionMultiStatementsOn  uint16 = 0
	OptionMultiStatementsOff uint16 = 1
)

// LastStmtID is the statement id with which MariaDB's clients execute the
// statement that was prepared last, without having seen its answer.
const LastStmtID uint32 = 0xffffffff
