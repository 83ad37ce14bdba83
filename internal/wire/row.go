package wire

import "fmt"

// nullValue stands for NULL in text rows.
const nullValue = 0xfb

// AppendTextRow appends a row of the text protocol; a nil value is NULL.
func AppendTextRow(dst []byte, seq byte, values []*string) []byte {
	dst, start := beginPacket(dst)
	for _, v := range values {
		if v == nil {
			dst = append(dst, nullValue)
			continue
		}
		dst = AppendLenencString(dst, *v)
	}
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// DecodeTextRow appends the values of a text row to values and returns them.
// They borrow from payload; NULL is nil, an empty string is not.
func DecodeTextRow(payload []byte, values [][]byte) ([][]byte, error) {
	for len(payload) > 0 {
		if payload[0] == nullValue {
			values, payload = append(values, nil), payload[1:]
			continue
		}
		s, n := LenencString(payload)
		if n == 0 {
			return values, fmt.Errorf("text row: %w", ErrMalformed)
		}
		values, payload = append(values, s), payload[n:]
	}
	return values, nil
}
