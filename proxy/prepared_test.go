package proxy

import (
	"bytes"
	"testing"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// execution builds a COM_STMT_EXECUTE of two parameters, bound or not.
func execution(bound bool, types, values []byte) *request {
	payload := []byte{byte(wire.ComStmtExecute), 1, 0, 0, 0, 0, 1, 0, 0, 0, 0 /* no NULL */}
	if bound {
		payload = append(append(payload, 1), types...)
	} else {
		payload = append(payload, 0)
	}
	payload = append(payload, values...)
	return &request{bytes: packet(0, payload), whole: true}
}

func TestBoundTypesFollowTheStatement(t *testing.T) {
	types, values := []byte{3, 0, 253, 0}, []byte{7, 0, 0, 0, 2, 'a', 'b'}
	s := &session{}
	p := &statement{params: 2}

	if _, ok := s.withTypes(execution(false, nil, values), p); ok {
		t.Error("types were added that nobody bound")
	}
	s.bound(execution(true, types, values), p)
	if p.types != string(types) {
		t.Fatalf("types %q, want %q", p.types, types)
	}
	if _, ok := s.withTypes(execution(true, types, values), p); ok {
		t.Error("an execution that binds types was rewritten")
	}
	got, ok := s.withTypes(execution(false, nil, values), p)
	if want := execution(true, types, values).bytes; !ok || !bytes.Equal(got, want) {
		t.Errorf("rewritten to %v, %v, want %v", got, ok, want)
	}
}

func TestBoundTypesWithQueryAttributes(t *testing.T) {
	s := &session{caps: wire.ClientQueryAttributes}
	p := &statement{params: 1}
	types := []byte{3, 0, 0, 253, 0, 4, 'n', 'a', 'm', 'e'} // one parameter without a name, one attribute
	head := []byte{byte(wire.ComStmtExecute), 1, 0, 0, 0, parameterCountAvailable, 1, 0, 0, 0, 2, 0}
	req := &request{bytes: packet(0, append(append(append([]byte(nil), head...), 1), types...)), whole: true}
	s.bound(req, p)
	if p.types != string(types) {
		t.Fatalf("types %q, want %q", p.types, types)
	}
	again := &request{bytes: packet(0, append(append([]byte(nil), head...), 0, 9)), whole: true}
	got, ok := s.withTypes(again, p)
	want := packet(0, append(append(append(append([]byte(nil), head...), 1), types...), 9))
	if !ok || !bytes.Equal(got, want) {
		t.Errorf("rewritten to %v, %v, want %v", got, ok, want)
	}
}

func FuzzExecute(f *testing.F) {
	f.Add(execution(true, []byte{3, 0, 253, 0}, []byte{1}).payload(), 2, true)
	f.Add(execution(false, nil, nil).payload(), 2, false)
	f.Add([]byte{23, 1, 0, 0, 0, 8, 1, 0, 0, 0, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0}, 1, true)
	f.Fuzz(func(t *testing.T, payload []byte, params int, attributes bool) {
		if params < 0 || params > 1<<16 {
			return
		}
		s := &session{}
		if attributes {
			s.caps = wire.ClientQueryAttributes
		}
		p := &statement{params: params}
		req := &request{bytes: packet(0, payload), whole: true}
		s.bound(req, p)
		if len(p.types) > len(payload) {
			t.Fatalf("%d bytes of types in a payload of %d", len(p.types), len(payload))
		}
		if full, ok := s.withTypes(req, p); ok && len(full) != len(req.bytes)+len(p.types) {
			t.Fatalf("rewritten from %d to %d bytes with %d of types", len(req.bytes), len(full), len(p.types))
		}
		p.types = "\x03\x00"
		if full, ok := s.withTypes(req, p); ok && len(full) != len(req.bytes)+len(p.types) {
			t.Fatalf("rewritten from %d to %d bytes with %d of types", len(req.bytes), len(full), len(p.types))
		}
	})
}
