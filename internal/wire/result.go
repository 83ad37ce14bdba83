package wire

// AppendTextResult appends a whole result set of text columns, in the text
// protocol, that ends with status: an answer that the server did not give. seq
// is the first packet's sequence number.
func AppendTextResult(dst []byte, seq byte, cols []string, rows [][]string, status Status, caps Capability) []byte {
	dst = AppendColumnCount(dst, seq, len(cols), caps)
	seq++
	dst, seq = appendTextColumns(dst, seq, cols, rows, status, caps)
	for _, row := range rows {
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		for _, v := range row {
			dst = AppendLenencString(dst, v)
		}
		dst, seq = endPacket(dst, start, seq)
	}
	return appendResultEnd(dst, seq, status, caps)
}

// AppendBinaryResult is AppendTextResult for the binary protocol: the answer to
// COM_STMT_EXECUTE.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html
func AppendBinaryResult(dst []byte, seq byte, cols []string, rows [][]string, status Status, caps Capability) []byte {
	dst = AppendColumnCount(dst, seq, len(cols), caps)
	seq++
	dst, seq = appendTextColumns(dst, seq, cols, rows, status, caps)
	for _, row := range rows {
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0, HeaderOK)
		dst = append(dst, make([]byte, (len(row)+7+2)/8)...) // no NULLs
		for _, v := range row {
			dst = AppendLenencString(dst, v)
		}
		dst, seq = endPacket(dst, start, seq)
	}
	return appendResultEnd(dst, seq, status, caps)
}

// AppendPrepared appends the answer to a COM_STMT_PREPARE of a statement without
// parameters that gives text columns, or none.
func AppendPrepared(dst []byte, seq byte, id uint32, cols []string, status Status, caps Capability) []byte {
	dst = AppendStmtPrepareOK(dst, seq, &StmtPrepareOK{ID: id, Columns: uint16(len(cols))}, caps)
	if len(cols) > 0 {
		dst, _ = appendTextColumns(dst, seq+1, cols, nil, status, caps)
	}
	return dst
}

// appendTextColumns appends the definitions of text columns, and the EOF after them
// where the peer wants one.
func appendTextColumns(dst []byte, seq byte, cols []string, rows [][]string, status Status, caps Capability) ([]byte, byte) {
	for i, name := range cols {
		dst = AppendColumn(dst, seq, textColumn(name, widest(rows, i)), caps)
		seq++
	}
	if !caps.Has(ClientDeprecateEOF) {
		dst = AppendEOF(dst, seq, status, 0)
		seq++
	}
	return dst, seq
}

func appendResultEnd(dst []byte, seq byte, status Status, caps Capability) []byte {
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
