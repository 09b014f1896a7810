package noise

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

func ticket(expires time.Time) Ticket {
	return Ticket{
		Secret: secret.NewBytes(bytes.Repeat([]byte{7}, keyLen)), Expires: expires,
		Peer: channel.Identity{DeviceClass: "d", TerminalID: "t", MerchantID: "m"},
	}
}

func TestMemoryTickets(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := NewMemoryTickets(3, func() time.Time { return now })
	put := func(id string, life time.Duration) Ticket {
		t.Helper()
		k := ticket(now.Add(life))
		if err := m.Put(t.Context(), id, k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	has := func(id string) bool {
		t.Helper()
		_, err := m.Take(t.Context(), id)
		if err != nil && !errors.Is(err, ErrTicket) {
			t.Fatal(err)
		}
		return err == nil
	}
	put("a", time.Hour)
	if !has("a") || has("a") {
		t.Error("a ticket is not for one use")
	}
	// The oldest makes room, and is wiped.
	first := put("b", time.Hour)
	put("c", 2*time.Hour)
	put("d", 3*time.Hour)
	put("e", 4*time.Hour)
	if has("b") || !has("c") || !has("d") || !has("e") {
		t.Error("not the oldest made room")
	}
	if first.Secret.Len() != 0 && !bytes.Equal(first.Secret.Reveal(), make([]byte, keyLen)) {
		t.Error("it was not wiped")
	}
	// Those past their time go first, all of them.
	put("f", time.Minute)
	put("g", time.Minute)
	put("h", time.Hour)
	now = now.Add(2 * time.Minute)
	put("i", time.Minute)
	if has("f") || has("g") || !has("h") || !has("i") {
		t.Error("tickets past their time stay")
	}
	if m := NewMemoryTickets(0, nil); m.limit != 1 || m.now == nil {
		t.Errorf("%+v", m)
	}
}

// TestTicketOnce: of many who take one ticket, one gets it.
func TestTicketOnce(t *testing.T) {
	m := NewMemoryTickets(100, nil)
	for n := range 50 {
		id := fmt.Sprint(n)
		if err := m.Put(t.Context(), id, ticket(time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		var got atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := m.Take(t.Context(), id); err == nil {
					got.Add(1)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Fatalf("%d got it", got.Load())
		}
	}
}

func TestTicketCheck(t *testing.T) {
	now := time.Unix(1e9, 0)
	good := channel.Identity{DeviceClass: "d", TerminalID: "t", MerchantID: "m"}
	for name, c := range map[string]struct {
		change func(k *Ticket, who *channel.Identity)
		ok     bool
	}{
		"good":              {func(*Ticket, *channel.Identity) {}, true},
		"a day, less":       {func(k *Ticket, _ *channel.Identity) { k.Expires = now.Add(24 * time.Hour) }, true},
		"more than a day":   {func(k *Ticket, _ *channel.Identity) { k.Expires = now.Add(24*time.Hour + 1) }, false},
		"at its end":        {func(k *Ticket, _ *channel.Identity) { k.Expires = now }, false},
		"past":              {func(k *Ticket, _ *channel.Identity) { k.Expires = now.Add(-1) }, false},
		"another class":     {func(_ *Ticket, who *channel.Identity) { who.DeviceClass = "x" }, false},
		"another terminal":  {func(_ *Ticket, who *channel.Identity) { who.TerminalID = "x" }, false},
		"another merchant":  {func(_ *Ticket, who *channel.Identity) { who.MerchantID = "x" }, false},
		"no secret":         {func(k *Ticket, _ *channel.Identity) { k.Secret = secret.Bytes{} }, false},
		"a secret too long": {func(k *Ticket, _ *channel.Identity) { k.Secret = secret.NewBytes(make([]byte, 33)) }, false},
	} {
		k, who := ticket(now.Add(time.Hour)), good
		c.change(&k, &who)
		if err := k.check(who, now); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrTicket) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestResumptions: each channel leaves a ticket for one more, the secrets of all
// are different, and the server knows whom it resumes.
func TestResumptions(t *testing.T) {
	w := newWorld(t)
	w.client.Resume = true
	c, s := w.pair(t)
	seen := map[string]bool{}
	for n := range 4 {
		conn, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		want := channel.PurposeResume
		if n == 0 {
			want = channel.PurposePay
		}
		if got := w.seen[n]; got.Purpose != want || !bytes.Equal(got.Key, w.seen[0].Key) || got.Claims.Device != w.seen[0].Claims.Device || got.TerminalID != "T0000001" {
			t.Errorf("channel %d: %+v", n, got)
		}
		if p := conn.Peer(); p.Purpose != want || !bytes.Equal(p.Key, w.client.ServerKey) {
			t.Errorf("channel %d, the client's peer: %+v", n, p)
		}
		k := hex.EncodeToString(c.ticket.secret.Reveal())
		if seen[k] || seen[c.ticket.id] {
			t.Errorf("channel %d: a ticket again", n)
		}
		seen[k], seen[c.ticket.id] = true, true
	}
}

// TestResumptionFails: a ticket that the server does not have is told from one
// with another secret by nobody, the client learns that a whole handshake takes
// another way, and makes it.
func TestResumptionFails(t *testing.T) {
	shapes := map[string]string{}
	for name, spoil := range map[string]func(w *world, c *Client){
		"forgotten": func(w *world, c *Client) {
			if _, err := w.server.Tickets.Take(t.Context(), c.ticket.id); err != nil {
				t.Fatal(err)
			}
		},
		"another secret": func(_ *world, c *Client) { c.ticket.secret = secret.NewBytes(make([]byte, keyLen)) },
	} {
		w := newWorld(t)
		w.client.Resume = true
		c, s := w.pair(t)
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		spoil(w, c)
		var mu sync.Mutex
		var shape strings.Builder
		_, _, cerr, serr := meet(t, c, s, channeltest.Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(&shape, up, len(b))
			return b
		}})
		var failed *ResumptionError
		if !errors.As(cerr, &failed) || !failed.Again() || !errors.Is(cerr, channel.ErrRefused) || !strings.Contains(cerr.Error(), "resumption") {
			t.Errorf("%s: client %v", name, cerr)
		}
		if serr == nil || errors.Is(serr, channel.ErrEvidence) {
			t.Errorf("%s: server %v", name, serr)
		}
		shapes[name] = shape.String()
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Errorf("%s: the handshake after it: %v, %v", name, cerr, serr)
		}
		if p := w.seen[len(w.seen)-1].Purpose; p != channel.PurposePay {
			t.Errorf("%s: the handshake after it is to %v", name, p)
		}
	}
	if shapes["forgotten"] != shapes["another secret"] {
		t.Errorf("the relay tells them apart:\n%s\n%s", shapes["forgotten"], shapes["another secret"])
	}
}

// TestNoTicket: nothing is left where it is not wanted: by an enrolment, to a
// client that does not resume, and by a server without a store; and a ticket past
// its time is not used.
func TestNoTicket(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"enrolment":      func(w *world) { w.client.ServerKey, w.client.Activation, w.client.Resume = nil, &w.activation, true },
		"not wanted":     func(*world) {},
		"server without": func(w *world) { w.client.Resume, w.server.Tickets = true, nil },
	} {
		w := newWorld(t)
		change(w)
		c, s := w.pair(t)
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Fatalf("%s: %v, %v", name, cerr, serr)
		}
		if c.ticket != nil {
			t.Errorf("%s: a ticket", name)
		}
	}
	w := newWorld(t)
	now := time.Now()
	w.client.Resume, w.client.Now = true, func() time.Time { return now }
	c, s := w.pair(t)
	for range 2 {
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		now = now.Add(ticketLife)
	}
	if p := w.seen[1].Purpose; p != channel.PurposePay {
		t.Errorf("a ticket a day old: %v", p)
	}
}

// TestChainOfResumptions: however often a channel is resumed, after a day the client
// has to prove its static key again; a client that would go on is refused.
func TestChainOfResumptions(t *testing.T) {
	for _, honest := range []bool{true, false} {
		w := newWorld(t)
		began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		now := began
		w.client.Resume, w.client.Now, w.server.Now = true, func() time.Time { return now }, func() time.Time { return now }
		w.server.Tickets = NewMemoryTickets(10, w.server.Now)
		c, s := w.pair(t)
		for hours := 0; hours <= 48; hours += 8 {
			now = began.Add(time.Duration(hours) * time.Hour)
			if !honest && c.ticket != nil {
				c.ticket.expires = now.Add(time.Hour)
			}
			_, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if !honest && hours == 24 {
				var again *ResumptionError
				if !errors.As(cerr, &again) || !errors.Is(serr, ErrTicket) {
					t.Errorf("resumed after a day: %v, %v", cerr, serr)
				}
				break
			}
			if cerr != nil || serr != nil {
				t.Fatalf("honest %v, after %d h: %v, %v", honest, hours, cerr, serr)
			}
			want := channel.PurposeResume
			if hours%24 == 0 {
				want = channel.PurposePay
			}
			if p := w.seen[len(w.seen)-1].Purpose; p != want {
				t.Errorf("honest %v, after %d h: %v, want %v", honest, hours, p, want)
			}
		}
	}
}

// brokenTickets is a store that is out of order.
type brokenTickets struct{ *MemoryTickets }

func (brokenTickets) Put(context.Context, string, Ticket) error { return errModule }

func TestActivationCodes(t *testing.T) {
	a, err := NewActivation(seeded("codes"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := a.Code()
	if err != nil {
		t.Fatal(err)
	}
	if len(code) != 47 || strings.Count(code, "-") != 7 {
		t.Errorf("code %q", code)
	}
	want, err := a.PSK()
	if err != nil {
		t.Fatal(err)
	}
	for _, written := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), "  " + strings.ReplaceAll(code, "-", "") + "\n"} {
		b, err := ParseActivation(written)
		if err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		if psk, err := b.PSK(); err != nil || !psk.Equal(want) || b.ID != a.ID {
			t.Errorf("%q: another key, %v", written, err)
		}
	}
	// One character mistyped, at each place, and two swapped.
	for i := range code {
		if code[i] == '-' {
			continue
		}
		b := []byte(code)
		b[i] = 'A' + (b[i]-'A'+1)%26
		if _, err := ParseActivation(string(b)); !errors.Is(err, ErrActivation) {
			t.Errorf("%q: %v", b, err)
		}
		if i+1 < len(code) && code[i+1] != '-' && code[i+1] != code[i] {
			b = []byte(code)
			b[i], b[i+1] = b[i+1], b[i]
			if _, err := ParseActivation(string(b)); !errors.Is(err, ErrActivation) {
				t.Errorf("%q: %v", b, err)
			}
		}
	}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a)} {
		if strings.Contains(strings.ToUpper(s), strings.ReplaceAll(code, "-", "")[8:20]) {
			t.Errorf("it prints its secret: %s", s)
		}
	}
	a.Wipe()
	if psk, err := a.PSK(); err == nil && psk.Equal(want) {
		t.Error("wiped, and the key is there")
	}
	if _, err := (Activation{}).PSK(); !errors.Is(err, ErrActivation) {
		t.Errorf("an empty one: %v", err)
	}
	if _, err := NewActivation(brokenRand{}); !errors.Is(err, errModule) {
		t.Errorf("without randomness: %v", err)
	}
}

// TestStoreOutOfOrder: a ticket store that fails is a server's own trouble: the
// client is refused, and no channel stands at one end alone.
func TestStoreOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.server.Tickets = brokenTickets{NewMemoryTickets(1, nil)}
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if client != nil || server != nil || !errors.Is(serr, errModule) || !errors.Is(cerr, channel.ErrRefused) {
		t.Errorf("%v, %v", cerr, serr)
	}
}
