package binlog

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrNotInvertible says that a row event does not hold what it would take to undo it.
var ErrNotInvertible = errors.New("its row images are not whole")

// inverse is the type that undoes each type of row event.
var inverse = map[Type]Type{
	TypeWriteRows: TypeDeleteRows, TypeDeleteRows: TypeWriteRows, TypeUpdateRows: TypeUpdateRows,
	TypeWriteRowsV1: TypeDeleteRowsV1, TypeDeleteRowsV1: TypeWriteRowsV1, TypeUpdateRowsV1: TypeUpdateRowsV1,
}

// Invert returns the row event that undoes this one: what it inserted is deleted, what it deleted
// inserted, what it updated is as before, and the last row comes first. It is a statement of its
// own, and is not checked against foreign keys: what was before has been valid, but the rows on the
// way back need not be. h is the event's header, t its table's map. The error wraps ErrNotInvertible
// where an image lacks columns (binlog_row_image), or tells a difference only (partial JSON).
func (r *Rows) Invert(h Header, t *TableMap) (Event, error) {
	to, ok := inverse[r.Type]
	if !ok || !whole(r.Before, r.Width) || r.isUpdate() && !whole(r.After, r.Width) {
		return Event{}, ErrNotInvertible
	}
	var images [][]byte
	if err := r.walk(t, func(first, second image) error {
		images = append(images, first.raw, second.raw)
		return nil
	}); err != nil {
		return Event{}, err
	}
	body := binary.LittleEndian.AppendUint64(nil, r.TableID)[:6]
	body = binary.LittleEndian.AppendUint16(body, r.Flags|RowsStatementEnd|RowsNoForeignKeys)
	if r.hasExtra() {
		body = append(body, 2, 0) // nothing but its own length
	}
	body = appendLenenc(body, uint64(r.Width))
	body = append(body, r.After...)
	body = append(body, r.Before...)
	// Each row's before and after image change places with the order of the rows.
	for _, image := range slices.Backward(images) {
		body = append(body, image...)
	}
	h.Type = to
	return NewEvent(h, body), nil
}

// whole reports whether a bitmap has all of n columns.
func whole(bitmap []byte, n int) bool {
	for i := range n {
		if !bitSet(bitmap, i) {
			return false
		}
	}
	return n > 0
}

func appendLenenc(b []byte, n uint64) []byte {
	switch {
	case n < 0xfb:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16(append(b, 0xfc), uint16(n))
	default:
		return append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16)) // columns: no table has more
	}
}
