package proxy

import (
	"context"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// replicate hands the connection over: a client that speaks the replication
// protocol is connected to the leader until either side ends.
func (s *session) replicate(ctx context.Context, cmd wire.Command, req *request) error {
	if cmd == wire.ComRegisterSlave {
		return s.toHome(ctx, cmd, req)
	}
	b, err := s.homeConn(ctx)
	if err != nil {
		s.in.consume(len(req.bytes))
		return s.explain(err)
	}
	b.broken = true
	_, err = b.conn.Write(req.bytes)
	s.in.consume(len(req.bytes))
	if err != nil {
		return s.lostHome(err, &answer{}, fateNothing)
	}
	s.working.Store(false) // it may go on for days, and writes nothing
	return s.tunnel(b)
}

// tunnel copies both ways until one side ends. It is for streams whose end
// cannot be told from the packets.
func (s *session) tunnel(b *backend) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := getChunk()
		defer putChunk(c)
		for {
			n, err := s.conn.Read(c[:])
			if n > 0 {
				if _, err := b.conn.Write(c[:n]); err != nil {
					return
				}
			}
			if err != nil {
				_ = b.conn.Close()
				return
			}
		}
	}()
	c := getChunk()
	defer putChunk(c)
	for {
		n, err := b.conn.Read(c[:])
		if n > 0 {
			if _, werr := s.conn.Write(c[:n]); werr != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = s.socket.Close()
	<-done
	return errClientEnd
}
