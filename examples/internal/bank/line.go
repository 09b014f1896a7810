package bank

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
)

// A line is ISO 8583 over TCP between two banks: frames with four digits of
// length in front, each message with an AES-CMAC, its first 8 bytes, under a key
// that both have. That authenticates it and hides nothing: where others can
// listen, a line belongs into TLS or a private network. PIN blocks go as the
// terminal enciphered them. Where both banks have a zone master key, the line has
// working keys instead, exchanged under it, and PIN blocks go under one of them: see
// host.Zone.
var framing = link.Framing{Length: link.Digits4}

// maxLines bounds the lines of other banks.
const maxLines = 64

// lineMAC makes and checks the code of a line's messages.
type lineMAC struct {
	d *acquirer.Dialect
	c cipher.Block
	// zone, when not nil, has the keys in c's place.
	zone *host.Zone
}

// lowerEnd is the end of a lower bank's line.
type lowerEnd struct {
	mac    *lineMAC
	handle func(context.Context, *acquirer.Message) *acquirer.Message
}

// zone is the working keys of a line, under a name in the ledger; nil where there is
// no master key for it.
func (b *Bank) zone(name string, k demo.LineKeys) (*host.Zone, error) {
	if k.ZoneMaster.Len() == 0 {
		return nil, nil
	}
	made := func(usage string, mode byte, key secret.Bytes) (*keyblock.Key, error) {
		return keyblock.NewKey(keyblock.Header{Version: 'D', Usage: usage, Algorithm: 'A', Mode: mode, KeyVersion: "00", Exportability: 'N'}, key)
	}
	c := host.ZoneConfig{Ledger: b.ledger, Name: name, Now: b.c.Now}
	var err error
	if c.Master, err = made("K0", 'B', k.ZoneMaster); err != nil {
		return nil, fmt.Errorf("bank: zone_master_key: %w", err)
	}
	if c.Initial, err = made("M6", 'C', k.Line); err != nil {
		return nil, fmt.Errorf("bank: line_key: %w", err)
	}
	return host.NewZone(c)
}

// zones are the working keys of the line to the bank above and, under the same
// keys, of one bank below.
func (b *Bank) zones() (up, line *host.Zone, err error) {
	k := demo.LineKeys{Line: b.c.Keys.Line, ZoneMaster: b.c.Keys.ZoneMaster}
	if up, err = b.zone("up", k); err != nil {
		return nil, nil, err
	}
	line, err = b.zone("lines", k)
	return up, line, err
}

// lowers are the ends of the lower banks' lines: those with keys of their own, and
// the one that has the bank's.
func (b *Bank) lowers() ([]lowerEnd, error) {
	var out []lowerEnd
	for _, k := range b.c.Keys.Lines {
		z, err := b.zone("line/"+k.Name, k)
		if err != nil {
			return nil, fmt.Errorf("line %s: %w", k.Name, err)
		}
		l, err := b.server.Lower(host.LowerConfig{Name: k.Name, Zone: z, Earlier: k.Earlier})
		if err != nil {
			return nil, err
		}
		m, err := newLineMAC(k.Line, z)
		if err != nil {
			return nil, err
		}
		out = append(out, lowerEnd{m, l.Acquire})
	}
	if b.c.Keys.Line.Len() == 0 {
		return out, nil
	}
	m, err := newLineMAC(b.c.Keys.Line, b.zoneLine)
	return append(out, lowerEnd{m, b.server.Acquire}), err
}

// keyTime bounds the reading of a working key from the ledger.
const keyTime = 10 * time.Second

func newLineMAC(key secret.Bytes, z *host.Zone) (*lineMAC, error) {
	if key.Len() == 0 {
		return nil, errors.New("bank: a line to another bank: line_key is missing in the keys file")
	}
	c, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("bank: line_key: %w", err)
	}
	return &lineMAC{acquirer.Default(), c, z}, nil
}

func (l *lineMAC) seal(m *acquirer.Message) ([]byte, error) {
	if l.zone != nil {
		ctx, cancel := context.WithTimeout(context.Background(), keyTime)
		defer cancel()
		return l.zone.Seal(ctx, l.d, m)
	}
	return l.d.Seal(m, func(data []byte) ([]byte, error) { return mac.CMAC(l.c, data)[:8], nil })
}

func (l *lineMAC) open(b []byte) (*acquirer.Message, error) {
	if l.zone != nil {
		ctx, cancel := context.WithTimeout(context.Background(), keyTime)
		defer cancel()
		return l.zone.Open(ctx, l.d, b)
	}
	return l.d.Open(b, func(_ *acquirer.Message, data, code []byte) error {
		if subtle.ConstantTimeCompare(mac.CMAC(l.c, data)[:8], code) != 1 {
			return acquirer.ErrMAC
		}
		return nil
	})
}

// upstream is the line to the bank above.
func (b *Bank) upstream() (*link.Client, error) {
	l, err := newLineMAC(b.c.Keys.Line, b.zoneUp)
	if err != nil {
		return nil, err
	}
	return link.NewClient(link.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", b.c.Upstream)
		},
		Framing: framing, Seal: l.seal, Open: l.open, MaxInFlight: 256,
		Observe: func(text string, err error) { b.tell("line to %s: %s: %v", b.c.Upstream, text, err) },
	})
}

func (b *Bank) tell(format string, a ...any) {
	if b.c.Observe != nil {
		b.c.Observe(host.Event{Text: fmt.Sprintf(format, a...)})
	}
}

// lowerConn is a connection of a lower bank: the first message whose MAC is right
// says whose it is, and the others are the same bank's.
type lowerConn struct {
	mu    sync.Mutex
	ends  []lowerEnd
	whose *lowerEnd
}

func (c *lowerConn) open(b []byte) (*acquirer.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whose != nil {
		return c.whose.mac.open(b)
	}
	err := acquirer.ErrMAC
	for i := range c.ends {
		// Opening consumes nothing, but one may wipe what it was given.
		tried := bytes.Clone(b)
		m, e := c.ends[i].mac.open(tried)
		clear(tried)
		if e == nil {
			c.whose = &c.ends[i]
			return m, nil
		}
		err = e
	}
	return nil, err
}

func (c *lowerConn) end() *lowerEnd {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whose
}

func (c *lowerConn) seal(m *acquirer.Message) ([]byte, error) { return c.end().mac.seal(m) }

func (c *lowerConn) handle(ctx context.Context, m *acquirer.Message) *acquirer.Message {
	return c.end().handle(ctx, m)
}

// serveLines answers other banks until ctx ends or the listener closes. Without a
// key there are no lines: they are closed as they come.
func (b *Bank) serveLines(ctx context.Context, l net.Listener) error {
	if len(b.ends) == 0 {
		b.tell("bank: no lines of other banks: line_key is missing in the keys file")
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxLines)
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		select {
		case slots <- struct{}{}:
		default:
			b.tell("line from %s closed: %d are open, the limit", conn.RemoteAddr(), maxLines)
			_ = conn.Close()
			continue
		}
		if len(b.ends) == 0 {
			_ = conn.Close()
			<-slots
			continue
		}
		c := &lowerConn{ends: b.ends}
		h := &link.Host{Framing: framing, Handle: c.handle, Seal: c.seal, Open: c.open, Observe: func(text string, err error) { b.tell("line: %s: %v", text, err) }}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := h.ServeConn(ctx, conn); err != nil && ctx.Err() == nil {
				b.tell("line from %s: %v", conn.RemoteAddr(), err)
			}
		})
	}
}
