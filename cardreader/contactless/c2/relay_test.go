package c2_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
)

// watch is a clock that moves only by what a slow card takes.
type watch struct{ now time.Time }

func (w *watch) Now() time.Time { return w.now }

// slow is a card that takes its time for the n-th relay resistance exchange.
type slow struct {
	cardreader.Card
	w     *watch
	takes func(n int) time.Duration
	n     int
}

func (s *slow) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if b[1] == 0xEA {
		s.w.now = s.w.now.Add(s.takes(s.n))
		s.n++
	}
	return s.Card.Transmit(ctx, b)
}

// TestRelayResistance delays the exchange: what a relay adds is noticed beyond
// the card's own maximum and the grace period, and not before (Hancke, Kuhn: An
// RFID Distance Bounding Protocol, SecureComm 2005; Chothia and others: Relay
// Cost Bounding for Contactless EMV Payments, FC 2015). The card states up to
// 5 ms and 2.4 ms on the air; the reader adds 1.8 ms of its own and 5 ms of grace.
func TestRelayResistance(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name      string
		takes     func(n int) time.Duration
		alter     func(*simcard.Application)
		tvr       string
		exchanges int
		kind      contactless.Kind
		why       string
	}{
		{"at once", func(int) time.Duration { return 0 }, nil, "0000000002", 1, contactless.Approved, ""},
		{"as long as the card says", func(int) time.Duration { return 9200 * time.Microsecond }, nil, "0000000002", 1, contactless.Approved, ""},
		{"at the end of the grace", func(int) time.Duration { return 14200 * time.Microsecond }, nil, "0000000002", 1, contactless.Approved, ""},
		{"a relay of 25 ms", func(int) time.Duration { return 34 * ms }, nil, "0000000006", 3, contactless.OnlineRequest, "far away"},
		{"a relay of 100 ms", func(int) time.Duration { return 109 * ms }, nil, "000000000E", 3, contactless.OnlineRequest, "far away"},
		{"slow once", func(n int) time.Duration { return time.Duration(1-min(n, 1)) * 39 * ms }, nil, "0000000002", 2, contactless.Approved, ""},
		{"slow twice", func(n int) time.Duration { return time.Duration(2-min(n, 2)) * 39 * ms }, nil, "0000000002", 3, contactless.Approved, ""},
		{"sooner than the card can", func(int) time.Duration { return 0 }, func(a *simcard.Application) {
			r := *a.Contactless.Relay
			r.Min = 3 * ms
			a.Contactless.Relay = &r
		}, "", 1, contactless.EndApplication, "sooner than it can"},
		{"another radio than the card's", func(int) time.Duration { return 0 }, func(a *simcard.Application) {
			r := *a.Contactless.Relay
			r.Transmission = ms
			a.Contactless.Relay = &r
		}, "000000000A", 1, contactless.OnlineRequest, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{taptest.Now()}
			p := newTap(t, 1000, nil)
			p.Clock = w.Now
			p.Wedge = func(card cardreader.Card) cardreader.Card { return &slow{Card: card, w: w, takes: c.takes} }
			s := p.Pay(t, taptest.Card(t, "mchip", c.alter))
			why := strings.Join(s.Outcome().Reasons, "; ")
			if s.Final().Kind != c.kind || !strings.Contains(why, c.why) {
				t.Errorf("outcome %s, want %s; reasons %q", s.Final(), c.kind, why)
			}
			if got := s.Outcome().TVR.String(); c.tvr != "" && got != c.tvr {
				t.Errorf("TVR %s, want %s", got, c.tvr)
			}
			exchanges := 0
			for _, ins := range p.Instructions(0) {
				if ins == 0xEA {
					exchanges++
				}
			}
			if exchanges != c.exchanges {
				t.Errorf("%d exchanges, want %d", exchanges, c.exchanges)
			}
		})
	}
}

// TestRelayDataAltered changes what the card says about its times: the combined
// signature covers them.
func TestRelayDataAltered(t *testing.T) {
	for i := 2; i < 12; i++ {
		p := newTap(t, 1000, nil)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
				if command[1] == 0xEA {
					answer[i] ^= 0x01
				}
				return answer
			}}
		}
		s := p.Pay(t, taptest.Card(t, "mchip", nil))
		if s.Final().Kind != contactless.EndApplication {
			t.Errorf("byte %d: outcome %s", i, s.Final())
		}
	}
}

// TestRelayInTrack2 tells the issuer of an exchange that nothing signs.
func TestRelayInTrack2(t *testing.T) {
	p := newTap(t, 2001, nil)
	s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) { a.Contactless.NoAuthentication = true }))
	d := s.Final().Data
	track, pan := string(s.Authorize().Track2.Reveal()), string(s.Authorize().PAN.Reveal())
	if s.Final().Kind != contactless.OnlineRequest || len(track) != 16+1+4+3+13 || !strings.HasPrefix(track, pan) {
		t.Fatalf("outcome %s, %d characters of track 2", s.Final(), len(track))
	}
	e := d.Get(tags.DeviceRelayEntropy)
	want := []byte{'0', '0'}
	for n, v := 10000, int(e[2])<<8|int(e[3]); n > 0; n /= 10 {
		want = append(want, byte('0'+v/n%10))
	}
	for n := 100; n > 0; n /= 10 {
		want = append(want, byte('0'+int(e[1])/n%10))
	}
	if got := track[24:]; got != string(want)+"000" {
		t.Errorf("discretionary data %s, want %s000", got, want)
	}
}
