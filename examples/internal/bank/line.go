package bank

import (
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

// zones are the working keys of the lines, where there is a master key for them.
func (b *Bank) zones() (up, lines *host.Zone, err error) {
	k := b.c.Keys
	if k.ZoneMaster.Len() == 0 {
		return nil, nil, nil
	}
	made := func(usage string, mode byte, key secret.Bytes) (*keyblock.Key, error) {
		return keyblock.NewKey(keyblock.Header{Version: 'D', Usage: usage, Algorithm: 'A', Mode: mode, KeyVersion: "00", Exportability: 'N'}, key)
	}
	c := host.ZoneConfig{Ledger: b.ledger, Now: b.c.Now}
	if c.Master, err = made("K0", 'B', k.ZoneMaster); err != nil {
		return nil, nil, fmt.Errorf("bank: zone_master_key: %w", err)
	}
	if c.Initial, err = made("M6", 'C', k.Line); err != nil {
		return nil, nil, fmt.Errorf("bank: line_key: %w", err)
	}
	c.Name = "up"
	if up, err = host.NewZone(c); err != nil {
		return nil, nil, err
	}
	c.Name = "lines"
	lines, err = host.NewZone(c)
	return up, lines, err
}

// keyTime bounds the reading of a working key from the ledger.
const keyTime = 10 * time.Second

func (b *Bank) lineMAC(z *host.Zone) (*lineMAC, error) {
	if b.c.Keys.Line.Len() == 0 {
		return nil, errors.New("bank: a line to another bank: line_key is missing in the keys file")
	}
	c, err := aes.NewCipher(b.c.Keys.Line.Reveal())
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
	l, err := b.lineMAC(b.zoneUp)
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

// serveLines answers other banks until ctx ends or the listener closes.
func (b *Bank) serveLines(ctx context.Context, l net.Listener) error {
	m, err := b.lineMAC(b.zoneLines)
	if err != nil {
		// Without a key there are no lines: they are closed as they come.
		b.tell("%v", err)
	}
	h := &link.Host{Framing: framing, Handle: b.server.Acquire, Observe: func(text string, err error) { b.tell("line: %s: %v", text, err) }}
	if m != nil {
		h.Seal, h.Open = m.seal, m.open
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
		if m == nil {
			_ = conn.Close()
			<-slots
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := h.ServeConn(ctx, conn); err != nil && ctx.Err() == nil {
				b.tell("line from %s: %v", conn.RemoteAddr(), err)
			}
		})
	}
}
