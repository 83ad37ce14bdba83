package gtid

import "encoding/binary"

// AppendBinary appends a MySQL set as COM_BINLOG_DUMP_GTID and the event
// PREVIOUS_GTIDS carry it (Gtid_set::encode): the number of sources, and for each
// its UUID, with tags its tag, and its intervals, whose ends are exclusive. It
// appends an empty set for MariaDB, which has no such form.
func (s Set) AppendBinary(dst []byte) []byte {
	tagged := false
	for _, e := range s.uuids {
		tagged = tagged || e.tag != ""
	}
	n := uint64(len(s.uuids))
	if tagged {
		n = 1<<56 | n<<8 | 1 // the format stands at both ends
	}
	dst = binary.LittleEndian.AppendUint64(dst, n)
	for _, e := range s.uuids {
		dst = append(dst, e.uuid[:]...)
		if tagged {
			dst = append(dst, byte(len(e.tag)<<1)) // of one byte, as tags have 32 at most
			dst = append(dst, e.tag...)
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(len(e.ivs)))
		for _, iv := range e.ivs {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(iv.first))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(iv.last)+1)
		}
	}
	return dst
}
