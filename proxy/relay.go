package proxy

import (
	"context"
	"errors"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// answer is what came of one relayed command.
type answer struct {
	forwarded bool   // a byte of the answer reached the client
	lost      bool   // there is none: the home connection could not be had, or failed
	code      uint16 // the server's error number, 0 where it answered without
	status    uint16 // the server status of the last result, or what it was before
	told      bool   // the answer told a status
	rows      uint64 // rows in all results
	plain     bool   // the last result was no rows but an OK
	affected  uint64 // as that OK tells
	warnings  uint16 // of the last result
	insertID  uint64 // as that OK tells, where the transaction is recorded
	stmt      wire.StmtPrepareOK
}

// errRefused says that a follower would not run the statement because it writes.
// Nothing of the answer has reached the client.
var errRefused = errors.New("the follower refused a write")

// refusal is an error by which a read-only server or session refuses a write.
// https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
func refusal(code uint16) bool {
	switch code {
	case wire.ErOptionPreventsStatement, // 1290: --read-only
		wire.ErCantExecuteInReadOnlyTx, // 1792
		wire.ErReadOnlyMode:            // 1836
		return true
	}
	return false
}

// relay sends a request, where it has not been sent yet, reads the node's answer
// to cmd and forwards it to the client. Packets that
// carry rows and columns are walked by their headers and never copied; only
// those that end or change something are looked at.
//
// Errors of the node's side are *backendError, or errRefused; others are the
// client's side.
func (s *session) relay(b *backend, cmd wire.Command, request []byte) (answer, error) {
	sc := &s.scanner
	if cmd == wire.ComStmtExecute {
		sc.BeginExecute(s.cursor, b.caps)
	} else {
		sc.Begin(cmd, b.caps)
	}
	var a answer
	c, w, err := b.exchange(request)
	if err != nil {
		b.broken = true
		return a, &backendError{err}
	}
	defer putChunk(c)
	buf, r := c[:], 0 // buf[r:w] is read and not yet scanned
	for first := true; ; first = false {
		if !first {
			if w == len(buf) { // a control packet larger than the buffer
				grown := make([]byte, 2*len(buf))
				copy(grown, buf)
				buf = grown
			}
			n, err := b.conn.Read(buf[w:])
			w += n
			if n == 0 && err != nil {
				b.broken = true
				return a, &backendError{err}
			}
		}
		sent := 0 // buf[sent:r] is scanned and not yet forwarded
		done := false
	scan:
		for !done {
			forward, ev := sc.Scan(buf[r:w])
			r += forward
			if ev == wire.EvMore {
				break scan
			}
			if ev == wire.EvMalformed {
				b.broken = true
				return a, &backendError{wire.ErrMalformed}
			}
			size := sc.Size()
			pkt := buf[r : r+size]
			if out := s.inspect(b, ev, pkt, &a); out != nil {
				if a.code != 0 && b.follower && !a.forwarded && sent == r && refusal(a.code) {
					return a, errRefused
				}
				if err := s.send(buf[sent:r], &a); err != nil {
					b.broken = true
					return a, err
				}
				if err := s.send(out, &a); err != nil {
					b.broken = true
					return a, err
				}
				sent = r + size
			}
			r += size
			done = sc.Done()
			if ev == wire.EvLocalInfile {
				if err := s.send(buf[sent:r], &a); err != nil {
					b.broken = true
					return a, err
				}
				sent = r
				if err := s.infile(b); err != nil {
					b.broken = true
					return a, err
				}
				sc.ResumeInfile()
			}
		}
		if err := s.send(buf[sent:r], &a); err != nil {
			if !done {
				b.broken = true
			}
			return a, err
		}
		if done {
			if sc.HasStatus() {
				b.status, a.told = uint16(sc.Status()), true
			}
			a.status, a.rows, a.warnings = b.status, sc.Rows(), sc.Warnings()
			return a, nil
		}
		w = copy(buf, buf[r:w])
		r = 0
	}
}

// send forwards bytes to the client.
func (s *session) send(p []byte, a *answer) error {
	if len(p) == 0 || s.replay != nil && s.replay.heard(p) {
		return nil
	}
	a.forwarded = true
	_, err := s.conn.Write(p)
	return err
}

// inspect looks at one control packet. It returns nil where the packet goes to
// the client as it is, and otherwise the bytes to send in its place.
func (s *session) inspect(b *backend, ev wire.Event, pkt []byte, a *answer) []byte {
	switch ev {
	case wire.EvErr:
		a.code = wire.ErrCode(pkt[wire.HeaderLen:])
		if b.follower && refusal(a.code) {
			return pkt
		}
	case wire.EvOK:
		if a.plain = pkt[wire.HeaderLen] == wire.HeaderOK; a.plain {
			a.affected, _ = wire.LenencInt(pkt[wire.HeaderLen+1:])
			if s.replay != nil {
				a.insertID = okInsertID(pkt[wire.HeaderLen:])
			}
			if !b.follower {
				s.insertID.answered(pkt[wire.HeaderLen:])
			}
		}
		if s.scanner.Status()&wire.StatusSessionStateChange != 0 {
			return s.inspectState(b, pkt)
		}
	case wire.EvPrepareOK:
		return s.inspectPrepared(b, pkt, a)
	}
	return nil
}

// inspectState learns from an OK that tells of changed session state, and hides
// from the client what it did not ask to be told.
func (s *session) inspectState(b *backend, pkt []byte) []byte {
	var ok wire.OK
	if err := wire.DecodeOK(pkt[wire.HeaderLen:], b.caps, &ok); err != nil {
		return nil // not ours to judge: the client gets what the server sent
	}
	risen := s.floor.risen
	if !b.follower {
		s.learn(b, &ok)
	}
	if s.caps&wire.ClientSessionTrack != 0 {
		s.kept = wire.FilterState(s.kept[:0], ok.State, s.tracked.wants)
		same := len(s.kept) == len(ok.State)
		if s.trackToken && s.floor.risen != risen {
			same = !s.tellToken() && same
		}
		if same {
			return nil
		}
		ok.State = s.kept
	} else {
		ok.State = nil
	}
	if len(ok.State) == 0 {
		ok.Status &^= wire.StatusSessionStateChange
	}
	_, seq := wire.Header(pkt)
	s.scratch = wire.AppendOK(s.scratch[:0], seq, &ok, s.caps)
	return s.scratch
}

// tellToken adds the session's token to the state that the client is told of. It is false
// where there is none: the position that it takes cannot be asked for.
func (s *session) tellToken() bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.srv.settings.Load().ConnectTimeout)
	defer cancel()
	text, err := s.token(ctx)
	if err != nil {
		return false
	}
	s.kept = wire.AppendStateEntry(s.kept, &wire.StateEntry{Kind: wire.StateSysVar, Name: []byte(ownToken), Value: []byte(text)})
	return true
}

// infile passes the client's file to the node, until the empty packet that ends it.
func (s *session) infile(b *backend) error {
	s.answered() // the request has been sent: what follows it is the file
	for {
		if err := s.in.fill(s.conn, wire.HeaderLen); err != nil {
			return err
		}
		n, _ := wire.Header(s.in.buf[s.in.r:])
		rest := wire.HeaderLen + n
		for rest > 0 {
			if s.in.r == s.in.w {
				s.in.need(min(rest, chunkSize))
				m, err := s.conn.Read(s.in.buf[s.in.w:])
				if m == 0 && err != nil {
					return err
				}
				s.in.w += m
			}
			k := min(rest, s.in.w-s.in.r)
			if _, err := b.conn.Write(s.in.buf[s.in.r : s.in.r+k]); err != nil {
				return &backendError{err}
			}
			rest -= k
			s.in.consume(k)
		}
		if n == 0 {
			return nil
		}
	}
}

// discardAnswer reads a node's answer to one of our own commands and throws it away.
func (b *backend) discardAnswer(sc *wire.Scanner, cmd wire.Command) (prep wire.StmtPrepareOK, err error) {
	c := getChunk()
	defer putChunk(c)
	sc.Begin(cmd, b.caps)
	r, w := 0, 0
	var refused error
	for {
		if w == len(c) {
			b.broken = true
			return prep, wire.ErrMalformed
		}
		n, err := b.conn.Read(c[w:])
		w += n
		if n == 0 && err != nil {
			b.broken = true
			return prep, err
		}
		for {
			forward, ev := sc.Scan(c[r:w])
			r += forward
			if ev == wire.EvMore {
				break
			}
			if ev == wire.EvMalformed {
				b.broken = true
				return prep, wire.ErrMalformed
			}
			pkt := c[r : r+sc.Size()]
			r += sc.Size()
			switch ev {
			case wire.EvErr:
				e := new(wire.Err)
				if err := wire.DecodeErr(pkt[wire.HeaderLen:], e); err != nil {
					b.broken = true
					return prep, err
				}
				refused = e
			case wire.EvPrepareOK:
				if err := wire.DecodeStmtPrepareOK(pkt[wire.HeaderLen:], b.caps, &prep); err != nil {
					b.broken = true
					return prep, err
				}
			}
			if sc.Done() {
				return prep, refused
			}
		}
		w = copy(c[:], c[r:w])
		r = 0
	}
}
