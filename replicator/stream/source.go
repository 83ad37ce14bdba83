package stream

import (
	"context"
	"errors"

	"github.com/bellwetherdb/bellwether/internal/binlog"
)

// Source gives the transactions of a Dump, in parts.
type Source struct {
	dump  *Dump
	asm   *binlog.Assembler
	ready []*binlog.Part
	begun bool // a part that is not its transaction's last was handed on
}

// NewSource reads from d in parts of about partSize bytes; 0 for
// binlog.DefaultPartSize.
func NewSource(d *Dump, partSize int) *Source {
	return &Source{dump: d, asm: binlog.NewAssembler(partSize)}
}

// Next returns the next part. It fails when ctx ends, and then for good.
func (s *Source) Next(ctx context.Context) (*binlog.Part, error) {
	stop := context.AfterFunc(ctx, s.dump.Close)
	defer stop()
	for len(s.ready) == 0 {
		if err := s.read(); err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
	}
	p := s.ready[0]
	s.ready = s.ready[1:]
	return p, nil
}

func (s *Source) read() error {
	ev, err := s.dump.Next()
	if err != nil {
		return err
	}
	err = s.asm.Add(ev.Event, func(p *binlog.Part) error {
		s.ready = append(s.ready, p)
		s.begun = !p.Last
		return nil
	})
	if errors.Is(err, binlog.ErrVoid) && !s.begun {
		// Nothing of it was handed on, so that there is nothing to roll back.
		s.asm.Reset()
		err = nil
	}
	if ev.Type == binlog.TypeFormatDescription {
		s.asm.Format(s.dump.Format())
	}
	return err
}
