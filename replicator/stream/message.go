package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/wire"
)

const (
	semiSyncMagic      = 0xef // before an event, and before an acknowledgement
	dumpThroughGTID    = 0x04 // BINLOG_THROUGH_GTID
	firstEvent         = 4    // of a binlog file, behind its magic
	eventMarker        = 0x00
	mariadbGTIDCapable = 4 // MARIA_SLAVE_CAPABILITY_GTID
)

// preparation is one SET that tells the leader, by user variables, what kind of
// replica asks.
func preparation(o *Options, pos gtid.Set) string {
	set := fmt.Sprintf("SET net_write_timeout=3600,@master_binlog_checksum=@@GLOBAL.binlog_checksum,@master_heartbeat_period=%d", o.Heartbeat.Nanoseconds())
	if o.Flavor == gtid.MariaDB {
		strict := 1
		if o.Loose {
			strict = 0
		}
		set += fmt.Sprintf(",@mariadb_slave_capability=%d,@slave_connect_state='%s',@slave_gtid_strict_mode=%d,@slave_gtid_ignore_duplicates=0", mariadbGTIDCapable, pos, strict)
		if o.SemiSync {
			set += ",@rpl_semi_sync_slave=1"
		}
		return set
	}
	set += fmt.Sprintf(",@source_binlog_checksum=@@GLOBAL.binlog_checksum,@source_heartbeat_period=%d", o.Heartbeat.Nanoseconds())
	if o.SemiSync {
		set += ",@rpl_semi_sync_slave=1,@rpl_semi_sync_replica=1"
	}
	return set
}

// registration is COM_REGISTER_SLAVE; only the id is used.
func registration(o *Options) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{byte(wire.ComRegisterSlave)}, o.ServerID)
	b = append(b, 0, 0, 0)                        // host, user, password
	b = binary.LittleEndian.AppendUint16(b, 0)    // port
	b = binary.LittleEndian.AppendUint32(b, 0)    // rank
	return binary.LittleEndian.AppendUint32(b, 0) // the leader's id
}

// request asks for the events behind pos.
func request(o *Options, pos gtid.Set) []byte {
	if o.Flavor == gtid.MariaDB {
		b := binary.LittleEndian.AppendUint32([]byte{byte(wire.ComBinlogDump)}, firstEvent)
		b = binary.LittleEndian.AppendUint16(b, 0)
		return binary.LittleEndian.AppendUint32(b, o.ServerID) // and the name of no file: @slave_connect_state says it
	}
	b := binary.LittleEndian.AppendUint16([]byte{byte(wire.ComBinlogDumpGTID)}, dumpThroughGTID)
	b = binary.LittleEndian.AppendUint32(b, o.ServerID)
	b = binary.LittleEndian.AppendUint32(b, 0) // length of the file's name
	b = binary.LittleEndian.AppendUint64(b, firstEvent)
	set := pos.AppendBinary(nil)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(set)))
	return append(b, set...)
}

// unwrap takes the event out of a packet of the stream.
func unwrap(payload []byte, semiSync bool) (raw []byte, wantsAck bool, err error) {
	if len(payload) < 1 || payload[0] != eventMarker {
		return nil, false, fmt.Errorf("%w: a packet of a binlog stream", wire.ErrMalformed)
	}
	raw = payload[1:]
	if !semiSync {
		return raw, false, nil
	}
	if len(raw) < 2 || raw[0] != semiSyncMagic {
		return nil, false, fmt.Errorf("%w: a packet of a semi-synchronous stream", wire.ErrMalformed)
	}
	return raw[2:], raw[1]&1 != 0, nil
}
