package wire

import "fmt"

// QueryText gives the offset of the SQL text in the payload of a COM_QUERY,
// which starts with the command byte: query attributes stand before the text
// when ClientQueryAttributes is negotiated. payload may be the front of a
// larger one; where that ends within the attributes the error is ErrMalformed.
func QueryText(payload []byte, caps Capability) (offset int, err error) {
	if len(payload) < 1 || Command(payload[0]) != ComQuery {
		return 0, errMalformedQuery
	}
	if !caps.Has(ClientQueryAttributes) {
		return 1, nil
	}
	r := reader{b: payload, off: 1}
	params, sets := r.lenenc(), r.lenenc()
	if r.bad || sets != 1 {
		return 0, errMalformedQuery
	}
	if params > 0 {
		skipAttributes(&r, params)
	}
	if r.bad {
		return 0, errMalformedQuery
	}
	return r.off, nil
}

var errMalformedQuery = fmt.Errorf("query: %w", ErrMalformed)

// skipAttributes walks the parameters of a query: a bitmap of NULLs, the types
// and names, then the values.
func skipAttributes(r *reader, params uint64) {
	// Each takes three bytes at the least: this bounds params.
	if params > uint64(r.rest())/3 {
		r.bad = true
		return
	}
	n := int(params)
	nulls := r.take((n + 7) / 8)
	if r.u8() != 1 { // new-params-bind flag: types must be there
		r.bad = true
		return
	}
	types := *r
	for range n {
		r.u16()
		r.lenencString()
	}
	for i := range n {
		if r.bad {
			return
		}
		t := byte(types.u16())
		types.lenencString()
		if nulls[i/8]&(1<<(i%8)) == 0 {
			skipBinaryValue(r, t)
		}
	}
}

// skipBinaryValue walks over one value of the binary protocol.
func skipBinaryValue(r *reader, t byte) {
	switch t {
	case TypeNull:
	case TypeTiny, TypeBool:
		r.take(1)
	case TypeShort, TypeYear:
		r.take(2)
	case TypeLong, TypeInt24, TypeFloat:
		r.take(4)
	case TypeLongLong, TypeDouble:
		r.take(8)
	case TypeDate, TypeTime, TypeDatetime, TypeTimestamp:
		r.take(int(r.u8()))
	default:
		r.lenencString()
	}
}

// Attribute is a string attribute of a query.
type Attribute struct{ Name, Value string }

// AppendQuery appends a COM_QUERY with string attributes, which peers without
// ClientQueryAttributes are not sent.
func AppendQuery(dst []byte, sql string, attrs []Attribute, caps Capability) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, byte(ComQuery))
	if caps.Has(ClientQueryAttributes) {
		dst = AppendLenencInt(dst, uint64(len(attrs)))
		dst = append(dst, 1)
		if len(attrs) > 0 {
			dst = append(dst, make([]byte, (len(attrs)+7)/8)...)
			dst = append(dst, 1)
		}
		for _, a := range attrs {
			dst = AppendLenencString(append(dst, TypeString, 0), a.Name)
		}
		for _, a := range attrs {
			dst = AppendLenencString(dst, a.Value)
		}
	}
	dst = append(dst, sql...)
	dst, _ = endPacket(dst, start, 0)
	return dst
}

// LocalInfileName is the file that the payload of a LOCAL INFILE request asks
// for. It borrows from payload.
func LocalInfileName(payload []byte) ([]byte, error) {
	if len(payload) == 0 || payload[0] != HeaderLocalInfile {
		return nil, errLocalInfile
	}
	return payload[1:len(payload):len(payload)], nil
}

var errLocalInfile = fmt.Errorf("local infile request: %w", ErrMalformed)
