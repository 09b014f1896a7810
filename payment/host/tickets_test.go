package host

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/payment/host/ledger"
)

func ticketsOf(t *testing.T, r *rig) noise.Tickets {
	t.Helper()
	k, err := r.reg.Tickets()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTickets(t *testing.T) {
	r := newRig(t)
	raw := bytes.Repeat([]byte{0x5A, 0xC3}, 16)
	peer := channel.Identity{
		Key: []byte{1, 2}, Purpose: channel.PurposePay, DeviceClass: "test", TerminalID: "P0000001", MerchantID: "M1",
		Claims: channel.Claims{Assurance: channel.AssuranceSoftware, Device: "d"},
	}
	want := noise.Ticket{Peer: peer, Expires: testNow.Add(time.Hour)}
	put := func(id string) {
		t.Helper()
		v := want
		v.Secret = secret.CopyBytes(raw)
		if err := ticketsOf(t, r).Put(t.Context(), id, v); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	// Another server takes it, and nobody does so again.
	second := openRig(t, r.path)
	got, err := ticketsOf(t, second).Take(t.Context(), "a")
	if err != nil || !bytes.Equal(got.Secret.Reveal(), raw) || !got.Expires.Equal(want.Expires) {
		t.Errorf("taken elsewhere: %v", err)
	}
	if d := cmp.Diff(peer, got.Peer); d != "" {
		t.Errorf("its owner (-want +got):\n%s", d)
	}
	if _, err := ticketsOf(t, r).Take(t.Context(), "a"); !errors.Is(err, noise.ErrTicket) {
		t.Errorf("taken twice: got %v, want ErrTicket", err)
	}
	// Of many at once, at two servers, one gets it.
	put("b")
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for i := range 8 {
		k := ticketsOf(t, []*rig{r, second}[i%2])
		wg.Go(func() {
			if _, err := k.Take(t.Context(), "b"); err == nil {
				mu.Lock()
				defer mu.Unlock()
				taken++
			}
		})
	}
	wg.Wait()
	if taken != 1 {
		t.Errorf("%d took it", taken)
	}
	// The ledger's files don't hold the secret.
	put("c")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(r.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, raw[:8]) || bytes.Contains(b, []byte("WsNaw1rDWsNa")) {
			t.Errorf("the secret is in the ledger%s", suffix)
		}
	}
	// What was altered, or put under another id, is none.
	for name, alter := range map[string]func(v *ledger.Ticket){
		"altered": func(v *ledger.Ticket) { v.Sealed[len(v.Sealed)-1] ^= 1 },
		"short":   func(v *ledger.Ticket) { v.Sealed = v.Sealed[:5] },
		"renamed": func(v *ledger.Ticket) { v.ID = "d" },
	} {
		put("c")
		id := "c"
		err := r.l.Update(t.Context(), func(tx ledger.Tx) error {
			v, err := tx.Ticket("c")
			if err != nil {
				return err
			}
			alter(&v)
			id = v.ID
			return tx.PutTicket(v)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ticketsOf(t, r).Take(t.Context(), id); !errors.Is(err, noise.ErrTicket) {
			t.Errorf("%s: got %v, want ErrTicket", name, err)
		}
	}
	// Those that have expired go when others come.
	put("e")
	r.mu.Lock()
	r.now = testNow.Add(2 * time.Hour)
	r.mu.Unlock()
	want.Expires = testNow.Add(3 * time.Hour)
	put("f")
	err = r.l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Ticket("e"); return err })
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("an expired ticket: got %v, want ErrNotFound", err)
	}
}

// TestSessions: what a channel over TLS leaves is taken once, by any server, and is
// no ticket of another kind of channel.
func TestSessions(t *testing.T) {
	r := newRig(t)
	second := openRig(t, r.path)
	of := func(r *rig) tlschan.Sessions {
		s, err := r.reg.Sessions()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	raw := bytes.Repeat([]byte{0x5A, 0xC3}, 700)
	want := tlschan.Session{Peer: channel.Identity{Key: []byte{1}, Purpose: channel.PurposePay, TerminalID: "P0000001"}, Expires: testNow.Add(time.Hour)}
	put := func() {
		v := want
		v.State = secret.CopyBytes(raw)
		if err := of(r).Put(t.Context(), "a", v); err != nil || !v.State.Blank() {
			t.Fatalf("%v, or the state was not wiped", err)
		}
	}
	put()
	if _, err := ticketsOf(t, r).Take(t.Context(), "a"); !errors.Is(err, noise.ErrTicket) {
		t.Errorf("as a ticket: %v", err)
	}
	if _, err := ticketsOf(t, r).Take(t.Context(), "tls/a"); !errors.Is(err, noise.ErrTicket) {
		t.Errorf("as a ticket by its whole name: %v", err)
	}
	put()
	got, err := of(second).Take(t.Context(), "a")
	if err != nil || !bytes.Equal(got.State.Reveal(), raw) || !got.Expires.Equal(want.Expires) {
		t.Errorf("taken elsewhere: %v", err)
	}
	if d := cmp.Diff(want.Peer, got.Peer); d != "" {
		t.Errorf("its owner (-want +got):\n%s", d)
	}
	if _, err := of(r).Take(t.Context(), "a"); !errors.Is(err, tlschan.ErrSession) {
		t.Errorf("taken twice: %v", err)
	}
}
