package tlschan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/patient"
)

// TLS ignores the version in a record's header (RFC 8446, 5.1), and a relay could
// write anything there. Here it has to be what crypto/tls sends: 0301 in a
// client's first record, 0303 in every other. So each byte that passes counts.
const (
	versionFirst = 0x0301
	versionLater = 0x0303

	recordHeaderLen = 5

	// The types of records (RFC 8446, 5.1).
	recordFirst = 20
	recordAlert = 21
	recordLast  = 23
)

// strict is a stream under TLS that looks at the records' headers on their way
// in.
type strict struct {
	patient.Stream
	first  bool // the next record is a client's first
	begun  bool // something has come
	header [recordHeaderLen]byte
	have   int // bytes of header
	body   int // bytes of a record's body that are still to come

	out struct {
		sync.Mutex
		// rest is what a deadline kept from going out: TLS takes a record for
		// sent or the connection for dead, and nothing between.
		rest []byte
		late bool // since the last look
	}
}

var _ net.Conn = (*strict)(nil)

// Read implements net.Conn.
func (s *strict) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if n < 0 || n > len(b) {
		return 0, fmt.Errorf("%w: the stream reads %d bytes into %d", channel.ErrTruncated, n, len(b))
	}
	if cerr := s.check(b[:n]); cerr != nil {
		return 0, cerr
	}
	return n, err
}

// errOther: what comes first is no TLS record.
var errOther = fmt.Errorf("%w: the other end does not speak TLS", channel.ErrFormat)

// refusal is what a server answers to that: an alert, unexpected_message (RFC 8446,
// 6), which shows what is spoken here.
var refusal = [...]byte{recordAlert, versionLater >> 8, versionLater & 0xFF, 0, 2, 2, 10}

func (s *strict) check(b []byte) error {
	if !s.begun && len(b) > 0 && (b[0] < recordFirst || b[0] > recordLast) {
		return errOther
	}
	s.begun = s.begun || len(b) > 0
	for len(b) > 0 {
		if s.body > 0 {
			n := min(s.body, len(b))
			s.body -= n
			b = b[n:]
			continue
		}
		n := copy(s.header[s.have:], b)
		s.have += n
		b = b[n:]
		if s.have < recordHeaderLen {
			return nil
		}
		want := uint16(versionLater)
		if s.first {
			want = versionFirst
		}
		if binary.BigEndian.Uint16(s.header[1:]) != want {
			return fmt.Errorf("%w: version in a TLS record's header", channel.ErrFormat)
		}
		s.first, s.have, s.body = false, 0, int(binary.BigEndian.Uint16(s.header[3:]))
	}
	return nil
}

// Write implements net.Conn, and keeps what a deadline interrupts.
func (s *strict) Write(b []byte) (int, error) {
	s.out.Lock()
	defer s.out.Unlock()
	err := s.flushLocked()
	n := 0
	if err == nil {
		n, err = s.Stream.Write(b)
		n = max(0, min(n, len(b)))
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.out.rest = append(s.out.rest, b[n:]...)
		s.out.late = true
		return len(b), nil
	}
	return n, err
}

// flushLocked sends what is left of earlier records.
func (s *strict) flushLocked() error {
	if len(s.out.rest) == 0 {
		return nil
	}
	n, err := s.Stream.Write(s.out.rest)
	s.out.rest = s.out.rest[max(0, min(n, len(s.out.rest))):]
	if len(s.out.rest) == 0 {
		s.out.rest = nil
	} else if err == nil {
		err = io.ErrShortWrite
	}
	return err
}

// flush sends what is left of earlier records; a deadline that passed can be
// tried again.
func (s *strict) flush() error {
	s.out.Lock()
	defer s.out.Unlock()
	return s.flushLocked()
}

// late says whether a deadline passed in a Write since the last call.
func (s *strict) late() bool {
	s.out.Lock()
	defer s.out.Unlock()
	was := s.out.late
	s.out.late = false
	return was
}

// address stands for the ends of a stream that has none.
type address struct{}

func (address) Network() string { return "payunit" }
func (address) String() string  { return "channel" }

// LocalAddr implements net.Conn.
func (s *strict) LocalAddr() net.Addr {
	if n, ok := s.Stream.(interface{ LocalAddr() net.Addr }); ok {
		return n.LocalAddr()
	}
	return address{}
}

// RemoteAddr implements net.Conn.
func (s *strict) RemoteAddr() net.Addr {
	if n, ok := s.Stream.(interface{ RemoteAddr() net.Addr }); ok {
		return n.RemoteAddr()
	}
	return address{}
}

// SetDeadline implements net.Conn.
func (s *strict) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}
