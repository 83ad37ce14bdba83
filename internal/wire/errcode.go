package wire

// Error codes that the proxy sends or acts on.
// Source: messages_to_clients.txt of MySQL 9, errmsg-utf8.txt of MariaDB.
const (
	ErConCount                  uint16 = 1040 // Too many connections
	ErOutOfResources            uint16 = 1041
	ErBadHost                   uint16 = 1042
	ErHandshake                 uint16 = 1043 // Bad handshake
	ErDBAccessDenied            uint16 = 1044
	ErAccessDenied              uint16 = 1045
	ErNoDB                      uint16 = 1046
	ErUnknownCom                uint16 = 1047
	ErBadDB                     uint16 = 1049
	ErServerShutdown            uint16 = 1053
	ErParse                     uint16 = 1064
	ErNoSuchThread              uint16 = 1094
	ErKillDenied                uint16 = 1095
	ErUnknown                   uint16 = 1105
	ErHostIsBlocked             uint16 = 1129
	ErHostNotPrivileged         uint16 = 1130
	ErNotAllowedCommand         uint16 = 1148
	ErAbortingConnection        uint16 = 1152
	ErNetPacketTooLarge         uint16 = 1153
	ErNetPacketsOutOfOrder      uint16 = 1156
	ErNetUncompress             uint16 = 1157
	ErNetRead                   uint16 = 1158
	ErNetReadInterrupted        uint16 = 1159
	ErNetErrorOnWrite           uint16 = 1160
	ErNetWriteInterrupted       uint16 = 1161
	ErNewAbortingConnection     uint16 = 1184
	ErUnknownSystemVariable     uint16 = 1193
	ErTooManyUserConnections    uint16 = 1203
	ErLockWaitTimeout           uint16 = 1205
	ErLockDeadlock              uint16 = 1213
	ErWrongArguments            uint16 = 1210
	ErErrorWhenExecuting        uint16 = 1220
	ErUserLimitReached          uint16 = 1226
	ErSpecificAccessDenied      uint16 = 1227
	ErWrongValueForVar          uint16 = 1231
	ErNotSupportedYet           uint16 = 1235
	ErUnknownStmtHandler        uint16 = 1243
	ErNotSupportedAuthMode      uint16 = 1251
	ErOptionPreventsStatement   uint16 = 1290 // --read-only and kin
	ErQueryInterrupted          uint16 = 1317
	ErMaxPreparedStmtCount      uint16 = 1461
	ErPluginIsNotLoaded         uint16 = 1524
	ErCantChangeTxCharacter     uint16 = 1568
	ErNeedReprepare             uint16 = 1615
	ErAccessDeniedNoPassword    uint16 = 1698
	ErCantExecuteInReadOnlyTx   uint16 = 1792
	ErMustChangePassword        uint16 = 1820
	ErReadOnlyMode              uint16 = 1836
	ErMustChangePasswordLogin   uint16 = 1862
	ErAccessDeniedChangeUser    uint16 = 1873
	ErInnoDBReadOnly            uint16 = 1874
	ErMariaDBConnectionKilled   uint16 = 1927
	ErMariaDBStatementTimeout   uint16 = 1969
	ErMySQLQueryTimeout         uint16 = 3024
	ErServerOfflineMode         uint16 = 3032
	ErMySQLAccountLocked        uint16 = 3118
	ErSecureTransportRequired   uint16 = 3159 // both flavours
	ErMySQLClientInteractionTmo uint16 = 4031 // idle for wait_timeout
	ErMariaDBUserIsBlocked      uint16 = 4150
	ErMariaDBAccountLocked      uint16 = 4151
	ErMariaDBLocalInfileOff     uint16 = 4166
	ErMySQLClientLocalFilesOff  uint16 = 3948
	// ErProgressReport is no error: MariaDB's progress reports use it.
	ErProgressReport uint16 = 0xffff
)

// SQLState is the SQLSTATE that the servers send with a code, HY000 for those
// that have none of their own.
func SQLState(code uint16) string {
	switch code {
	case ErConCount, ErNotSupportedAuthMode:
		return "08004"
	case ErBadHost, ErHandshake, ErUnknownCom, ErServerShutdown,
		ErAbortingConnection, ErNetPacketTooLarge, ErNetPacketsOutOfOrder,
		ErNetUncompress, ErNetRead, ErNetReadInterrupted, ErNetErrorOnWrite,
		ErNetWriteInterrupted, ErNewAbortingConnection:
		return "08S01"
	case ErAccessDenied, ErAccessDeniedNoPassword, ErAccessDeniedChangeUser:
		return "28000"
	case ErNoDB:
		return "3D000"
	case ErDBAccessDenied, ErBadDB, ErParse, ErNotAllowedCommand,
		ErTooManyUserConnections, ErUserLimitReached, ErSpecificAccessDenied,
		ErWrongValueForVar, ErMaxPreparedStmtCount, ErNotSupportedYet:
		return "42000"
	case ErLockDeadlock:
		return "40001"
	case ErCantChangeTxCharacter:
		return "25001"
	case ErCantExecuteInReadOnlyTx:
		return "25006"
	case ErQueryInterrupted, ErMariaDBConnectionKilled, ErMariaDBStatementTimeout:
		return "70100"
	}
	return "HY000"
}
