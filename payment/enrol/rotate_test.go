package enrol_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/trusted"
)

// TestRotateDiesAtEveryWrite: a change of keys that broke off is finished when
// the terminal next opens a channel, whoever holds the terminal then; keys of
// both kinds are new, and none is of another number than the other.
func TestRotateDiesAtEveryWrite(t *testing.T) {
	s := newServer(t)
	for n := 0; ; n++ {
		c, v := device(t, s)
		if _, err := enrol.Enrol(t.Context(), c, s.code(t), 4); err != nil {
			t.Fatal(err)
		}
		c.Storage = &dying{v, n}
		term, err := enrol.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		before := numbers(t, enrolled(t, c, v))
		rerr := term.Rotate(t.Context())
		if rerr != nil && !errors.Is(rerr, errDisk) {
			t.Fatalf("write %d: %v", n, rerr)
		}
		// The next process.
		term = enrolled(t, c, v)
		session, err := term.Open(t.Context())
		if err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		after := numbers(t, term)
		if after[0] != after[1] {
			t.Errorf("write %d: PIN keys of number %s, message keys of number %s", n, after[0], after[1])
		}
		if begun := rerr == nil || n > 0; begun == (after[0] == before[0]) {
			t.Errorf("write %d: number %s became %s (%v)", n, before[0], after[0], rerr)
		}
		if rerr == nil {
			if n < 3 {
				t.Fatalf("only %d writes", n)
			}
			return
		}
	}
}

func enrolled(t *testing.T, c enrol.Config, v trusted.Storage) *enrol.Terminal {
	t.Helper()
	c.Storage = v
	term, err := enrol.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// TestRevoke: a revoked terminal gets no channel, and may enrol as another one.
func TestRevoke(t *testing.T) {
	s := newServer(t)
	c, v := device(t, s)
	code := s.code(t)
	term, err := enrol.Enrol(t.Context(), c, code, 4)
	if err != nil {
		t.Fatal(err)
	}
	open, err := term.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tid, _ := term.Identity()
	if err := s.registry.Revoke(t.Context(), "P9999999"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("revoking a terminal that there is not: %v", err)
	}
	if err := s.registry.Revoke(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	if err := s.registry.Revoke(t.Context(), tid); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("revoking twice: %v", err)
	}
	// Not on the channel that is open, not on a new one, not for new keys, and
	// not under the old code.
	if err := askFor(t, open); err == nil || !strings.Contains(err.Error(), "not-enrolled") {
		t.Errorf("on an open channel: %v", err)
	}
	if _, err := term.Open(t.Context()); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("a new channel: %v", err)
	}
	if err := term.Rotate(t.Context()); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("new keys: %v", err)
	}
	if err := enrol.Forget(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := enrol.Enrol(t.Context(), c, code, 4); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("under the old code: %v", err)
	}
	again, err := enrol.Enrol(t.Context(), c, s.code(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	if other, _ := again.Identity(); other == tid {
		t.Errorf("enrolled as the revoked terminal %s again", tid)
	}
}

// askFor asks for new keys on a session.
func askFor(t *testing.T, s payment.Session) error {
	t.Helper()
	e, err := trade.Encode(trade.KindRotate, 0, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Call(t.Context(), trade.KindRotate, e.Body)
	return err
}

// numbers are the terminal's numbers in the initial key ids of its PIN keys and
// of its message keys.
func numbers(t *testing.T, term *enrol.Terminal) [2]string {
	t.Helper()
	pin, err := term.PINKeys().Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Wipe()
	mac, err := term.NextKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer mac.Wipe()
	return [2]string{hex.EncodeToString(pin.KSN()[4:8]), hex.EncodeToString(mac.KSN()[4:8])}
}

// flaky is a storage that fails at an operation, and from then on.
type flaky struct {
	trusted.Storage
	left        int
	reads, over bool
}

func (f *flaky) fail(reads bool) error {
	if f.over || f.reads != reads {
		return nil
	}
	if f.left--; f.left < 0 {
		return errDisk
	}
	return nil
}

func (f *flaky) Get(ctx context.Context, name string) ([]byte, error) {
	if err := f.fail(true); err != nil {
		return nil, err
	}
	return f.Storage.Get(ctx, name)
}

func (f *flaky) Put(ctx context.Context, name string, value []byte) error {
	if err := f.fail(false); err != nil {
		return err
	}
	return f.Storage.Put(ctx, name, value)
}

// TestRotateGoesOnInTheSameProcess: a terminal whose storage failed in the middle of
// a change of keys hands out no old key and no state of one, and is whole again once
// a channel is open.
func TestRotateGoesOnInTheSameProcess(t *testing.T) {
	s := newServer(t)
	for _, reads := range []bool{false, true} {
		for n := 0; ; n++ {
			c, v := device(t, s)
			if _, err := enrol.Enrol(t.Context(), c, s.code(t), 4); err != nil {
				t.Fatal(err)
			}
			disk := &flaky{Storage: v, reads: reads, over: true}
			c.Storage = disk
			term, err := enrol.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			before := numbers(t, term)
			disk.over, disk.left = false, n
			rerr := term.Rotate(t.Context())
			disk.over = true
			if rerr == nil {
				if n == 0 {
					t.Fatalf("reads %v: nothing failed", reads)
				}
				break
			}
			if begun := n > 0 || reads; begun {
				for name, key := range map[string]func() error{
					"PIN": func() error { _, err := term.PINKeys().Next(t.Context()); return err }, "message": func() error { _, err := term.NextKey(t.Context()); return err },
				} {
					if err := key(); err != nil && !errors.Is(err, dukpt.ErrWiped) {
						t.Errorf("reads %v, %d: %s key: %v", reads, n, name, err)
					}
				}
			}
			session, err := term.Open(t.Context())
			if err != nil {
				t.Fatalf("reads %v, %d: %v", reads, n, err)
			}
			if err := session.Close(); err != nil {
				t.Error(err)
			}
			after := numbers(t, term)
			if stored := numbers(t, enrolled(t, c, v)); stored != after || after[0] != after[1] {
				t.Errorf("reads %v, %d: numbers %v, stored %v", reads, n, after, stored)
			}
			if begun := n > 0 || reads; begun == (after == before) {
				t.Errorf("reads %v, %d: number %v became %v (%v)", reads, n, before, after, rerr)
			}
		}
	}
}
