package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// screen is a terminal that shows one view, drawn anew each time. It uses the
// alternate screen, so that what stood there before comes back at the end.
type screen struct {
	out    *os.File
	in     *os.File // nil where no keys can be read
	colour bool
	old    *term.State
}

// canShow reports whether a file is a terminal that understands more than text.
func canShow(f *os.File) bool {
	return f != nil && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// openScreen takes the terminal. close gives it back.
func openScreen(in, out *os.File) (*screen, error) {
	s := &screen{out: out, colour: os.Getenv("NO_COLOR") == ""}
	if in != nil && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, fmt.Errorf("take the terminal: %w", err)
		}
		s.in, s.old = in, old
	}
	_, err := io.WriteString(out, "\x1b[?1049h\x1b[?25l\x1b[?7l") // alternate screen, no cursor, no line wrap
	return s, err
}

func (s *screen) close() error {
	_, err := io.WriteString(s.out, "\x1b[?7h\x1b[?25h\x1b[?1049l")
	if s.old != nil {
		err = errors.Join(err, term.Restore(int(s.in.Fd()), s.old))
	}
	return err
}

// draw shows a view, as large as the terminal is now.
func (s *screen) draw(v *View) error {
	width, rows, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || rows <= 0 {
		width, rows = 80, 24
	}
	_, err = s.out.Write(frame(render(v, rows), width, s.colour))
	return err
}

// frame is what redraws the whole screen without a flicker: every line is
// overwritten and its rest cleared.
func frame(lines []line, width int, colour bool) []byte {
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.encode(width, colour))
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.Bytes()
}

// resized returns a channel that tells that the terminal has another size.
func resized() (<-chan os.Signal, func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	return ch, func() { signal.Stop(ch) }
}

// readKeys sends the keys that are pressed until ctx ends or the input does.
func readKeys(ctx context.Context, in *os.File, keys chan<- byte) {
	var buf [16]byte
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if n <= 0 {
			continue
		}
		got, err := in.Read(buf[:])
		if err != nil {
			return
		}
		if buf[0] == 0x1b {
			continue // an escape sequence: arrows and the like
		}
		for _, k := range buf[:got] {
			select {
			case keys <- k:
			case <-ctx.Done():
				return
			}
		}
	}
}
