package noise

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	flynn "github.com/flynn/noise"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

// stranger is a client that shares no code with this package: another Noise, and
// frames and records written after the tables beside the types.
type stranger struct {
	t        *testing.T
	rw       net.Conn
	h        *flynn.HandshakeState
	up, down *flynn.CipherState
	sent     int
	early    []byte // what it puts into its first message
	binding  []byte
	payload  []byte // the server's
}

func (s *stranger) frame(kind, flags byte, body []byte) {
	s.t.Helper()
	b := binary.BigEndian.AppendUint16([]byte{kind, flags}, uint16(len(body)))
	if _, err := s.rw.Write(append(b, body...)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stranger) next() (head, body []byte) {
	s.t.Helper()
	head = make([]byte, 4)
	if _, err := io.ReadFull(s.rw, head); err != nil {
		s.t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(s.rw, body); err != nil {
		s.t.Fatal(err)
	}
	return head, body
}

// resume passes the two messages of a resumption.
func (s *stranger) resume(w *world, ticket string, psk []byte) {
	s.t.Helper()
	key := sha256.Sum256(w.client.ServerKey)
	routing := sha256.Sum256([]byte("to: bank"))
	hello := []byte{1, 3, 1, 1}
	hello = append(append(hello, key[:8]...), routing[:]...)
	for _, name := range []string{"test", "T0000001", "M00000000000001", ticket} {
		hello = append(append(hello, byte(len(name))), name...)
	}
	var err error
	s.h, err = flynn.NewHandshakeState(flynn.Config{
		CipherSuite: flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256), Random: seeded("stranger"),
		Pattern: flynn.HandshakeNN, Initiator: true, Prologue: append([]byte("payunit channel 1"), hello...), PresharedKey: psk, PresharedKeyPlacement: 0,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	first, _, _, err := s.h.WriteMessage(hello, s.early)
	if err != nil {
		s.t.Fatal(err)
	}
	s.frame(1, 0, first)
	head, second := s.next()
	if head[0] == 4 {
		return
	}
	if head[0] != 1 || head[1] != 0 {
		s.t.Fatalf("header %x", head)
	}
	if s.payload, s.up, s.down, err = s.h.ReadMessage(nil, second); err != nil {
		s.t.Fatal(err)
	}
	s.binding = bytes.Clone(s.h.ChannelBinding())
}

// evidence is the software kind's, after its table.
func (s *stranger) evidence(seed byte) []byte {
	sum := sha256.Sum256(append(append([]byte("payunit attestation 1"), s.binding...), 3))
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	sig := ed25519.Sign(key, append([]byte("payunit software attestation 1"), sum[:]...))
	b := append([]byte{8}, "software"...)
	b = append(b, 0, 96)
	b = append(append(b, key.Public().(ed25519.PublicKey)...), sig...)
	return append(b, make([]byte, 256-len(b)%256)...)
}

// record seals one record, of a message or a part of it.
func (s *stranger) record(kind, flags byte, data []byte) {
	s.t.Helper()
	plain := append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
	if over := len(plain) % 256; over > 0 {
		plain = append(plain, make([]byte, 256-over)...)
	}
	head := binary.BigEndian.AppendUint16([]byte{kind, flags}, uint16(len(plain)+16))
	sealed, err := s.up.Encrypt(nil, head, plain)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.rw.Write(append(head, sealed...)); err != nil {
		s.t.Fatal(err)
	}
	if s.sent++; s.sent%1024 == 0 {
		s.up.Rekey()
	}
}

func (s *stranger) read() (kind, flags byte, data []byte) {
	s.t.Helper()
	head, body := s.next()
	plain, err := s.down.Decrypt(nil, head, body)
	if err != nil {
		s.t.Fatalf("record with header %x: %v", head, err)
	}
	n := int(binary.BigEndian.Uint16(plain))
	if len(plain)%256 != 0 || len(plain)-2-n >= 256 || !bytes.Equal(plain[2+n:], make([]byte, len(plain)-2-n)) {
		s.t.Fatalf("padding of %d bytes of %d", n, len(plain))
	}
	return head[0], head[1], plain[2 : 2+n]
}

// meetStranger runs a whole handshake to leave a ticket, and lets a stranger
// begin a resumption with it.
func meetStranger(t *testing.T, early []byte, change func(w *world)) (*stranger, *world, chan struct {
	conn channel.Conn
	err  error
}) {
	t.Helper()
	w := newWorld(t)
	w.client.Resume = true
	w.server.Now = func() time.Time { return time.Unix(1700000000, 0) }
	c, s := w.pair(t)
	conn, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	id, err := conn.Export("payunit resumption id", 16)
	if err != nil {
		t.Fatal(err)
	}
	psk, err := conn.Export("payunit resumption secret", 32)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(w)
		again, err := NewServer(w.server)
		if err != nil {
			t.Fatal(err)
		}
		s = again
	}
	a, b := channeltest.Pipe()
	done := make(chan struct {
		conn channel.Conn
		err  error
	}, 1)
	go func() {
		conn, err := s.Server(t.Context(), b)
		done <- struct {
			conn channel.Conn
			err  error
		}{conn, err}
	}()
	x := &stranger{t: t, rw: a, early: early}
	x.resume(w, hex.EncodeToString(id), psk)
	return x, w, done
}

// TestFormatByTheTables: whoever reads the byte tables can talk to a server of
// this package: handshake, evidence, messages in fragments both ways, rekeying,
// close.
func TestFormatByTheTables(t *testing.T) {
	s, w, done := meetStranger(t, nil, nil)
	if len(s.payload) != 42 || binary.BigEndian.Uint64(s.payload[32:]) != 1700000000 || binary.BigEndian.Uint16(s.payload[40:]) != 1 {
		t.Errorf("server's payload %x", s.payload)
	}
	s.record(6, 1, s.evidence(4))
	if kind, flags, data := s.read(); kind != 5 || flags != 1 || binary.BigEndian.Uint32(data) != 3600 || len(data) != 4 {
		t.Fatalf("ready record: %d, %d, %x", kind, flags, data)
	}
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if !bytes.Equal(o.conn.Binding(), s.binding) {
		t.Error("the bindings differ")
	}
	if p := w.seen[1]; p.Purpose != channel.PurposeResume || !bytes.Equal(p.Key, w.seen[0].Key) {
		t.Errorf("the server met %+v", p)
	}
	// A message of three records.
	long := []byte(strings.Repeat("a long message ", 2500))
	for rest := long; len(rest) > 0; {
		n := min(len(rest), 16126)
		flags := byte(0)
		if n == len(rest) {
			flags = 1
		}
		s.record(2, flags, rest[:n])
		rest = rest[n:]
	}
	if got, err := o.conn.ReadMessage(t.Context()); err != nil || !bytes.Equal(got, long) {
		t.Fatalf("up: %d bytes, %v", len(got), err)
	}
	if err := o.conn.WriteMessage(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for flags := byte(0); flags == 0; {
		kind, f, data := s.read()
		if kind != 2 {
			t.Fatalf("type %d", kind)
		}
		got, flags = append(got, data...), f
	}
	if !bytes.Equal(got, long) {
		t.Errorf("down: %d bytes", len(got))
	}
	// Over the point where the keys change.
	for range 1024 {
		s.record(2, 1, []byte("short"))
		if m, err := o.conn.ReadMessage(t.Context()); err != nil || string(m) != "short" {
			t.Fatalf("after %d records: %q, %v", s.sent, m, err)
		}
	}
	s.record(3, 1, nil)
	if _, err := o.conn.ReadMessage(t.Context()); err != io.EOF {
		t.Errorf("after the close: %v", err)
	}
	if err := o.conn.Close(); err != nil {
		t.Error(err)
	}
	if kind, flags, data := s.read(); kind != 3 || flags != 1 || len(data) != 0 {
		t.Errorf("the server's close: %d, %d, %x", kind, flags, data)
	}
}

// TestNoEarlyData: a first message that carries anything is refused.
func TestNoEarlyData(t *testing.T) {
	_, _, done := meetStranger(t, []byte("0-RTT"), nil)
	if o := <-done; o.conn != nil || !errors.Is(o.err, channel.ErrFormat) {
		t.Errorf("%v, %v", o.conn, o.err)
	}
}

// TestTicketIsTheDevices: a resumption under another device's evidence, or under
// weaker evidence than the ticket's, is refused, with the reason for machines at
// the server and none at the client.
func TestTicketIsTheDevices(t *testing.T) {
	weaker := func(w *world) {
		inner := w.server.Verifier
		w.server.Verifier = verifierFunc(func(c []byte, e channel.Evidence) (channel.Claims, error) {
			claims, err := inner.Verify(t.Context(), c, e)
			claims.Assurance = channel.AssuranceUnknown
			return claims, err
		})
	}
	for _, c := range []struct {
		name   string
		seed   byte
		change func(w *world)
		want   channel.Reason
	}{
		{"another device", 5, nil, channel.ReasonDevice},
		{"weaker evidence", 4, weaker, channel.ReasonAssurance},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, done := meetStranger(t, nil, c.change)
			s.record(6, 1, s.evidence(c.seed))
			o := <-done
			var refused *channel.EvidenceError
			if o.conn != nil || !errors.Is(o.err, channel.ErrPolicy) || !errors.As(o.err, &refused) || refused.Reason != c.want {
				t.Errorf("%v, %v", o.conn, o.err)
			}
			if head, body := s.next(); !bytes.Equal(head, []byte{4, 0, 0, 0}) || len(body) != 0 {
				t.Errorf("the client was told %x %x", head, body)
			}
		})
	}
}
