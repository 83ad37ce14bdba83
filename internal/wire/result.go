package wire

// AppendTextResult appends a whole result set of text columns, in the text
// protocol, that ends with status: an answer that the server did not give. seq
// is the first packet's sequence number.
func AppendTextResult(dst []byte, seq byte, cols []string, rows [][]string, status Status, caps Capability) []byte {
	dst = AppendColumnCount(dst, seq, len(cols), caps)
	seq++
	for i, name := range cols {
		dst = AppendColumn(dst, seq, textColumn(name, widest(rows, i)), caps)
		seq++
	}
	if !caps.Has(ClientDeprecateEOF) {
		dst = AppendEOF(dst, seq, status, 0)
		seq++
	}
	for _, row := range rows {
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		for _, v := range row {
			dst = AppendLenencString(dst, v)
		}
		dst, seq = endPacket(dst, start, seq)
	}
	if !caps.Has(ClientDeprecateEOF) {
		return AppendEOF(dst, seq, status, 0)
	}
	return AppendOK(dst, seq, &OK{EOF: true, Status: status}, caps)
}

func textColumn(name string, width int) *Column {
	return &Column{
		Catalog:   []byte("def"),
		Name:      []byte(name),
		Collation: CollationUTF8MB4GeneralCI,
		Length:    uint32(width) * 4,
		Type:      TypeVarString,
		Flags:     ColumnNotNull,
		Decimals:  31,
	}
}

// widest is the length in bytes of the longest value of column i.
func widest(rows [][]string, i int) int {
	w := 1
	for _, row := range rows {
		if i < len(row) {
			w = max(w, len(row[i]))
		}
	}
	return w
}
