//go:build pcsc && linux

package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/pcsc"
	"github.com/payunit/payunit/cardreader/pcsc/pcsctest"
)

func system(tb testing.TB, c pcsc.Config) *pcsc.System {
	tb.Helper()
	s, err := pcsc.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// soon bounds what must not hang.
func soon(tb testing.TB) context.Context {
	ctx, stop := context.WithTimeout(tb.Context(), 20*time.Second)
	tb.Cleanup(stop)
	return ctx
}

func take(tb testing.TB, r cardreader.Reader) cardreader.Card {
	tb.Helper()
	c, err := r.Connect(soon(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// insert puts a card into a virtual reader once the service has seen that the
// last one left: it looks a few times a second only. It returns when the service
// has seen the new one.
func insert(tb testing.TB, service *pcsctest.Service, reader int, profile string) *pcsctest.Card {
	tb.Helper()
	s := system(tb, pcsc.Config{})
	wait(tb, s, reader, false)
	c := service.Insert(tb, reader, profile)
	wait(tb, s, reader, true)
	return c
}

func wait(tb testing.TB, s *pcsc.System, reader int, present bool) {
	tb.Helper()
	err := s.Watch(soon(tb), func(list []pcsc.Status) bool {
		return len(list) <= reader || list[reader].Present != present
	})
	if err != nil {
		tb.Fatalf("reader %d: waiting for a card there: %t: %v", reader, present, err)
	}
}

// directory selects the payment system environment, which takes data both ways:
// case 4.
func directory(ctx context.Context, c cardreader.Card) (apdu.Response, error) {
	return apdu.Send(ctx, c, apdu.Select([]byte("1PAY.SYS.DDF01"), false))
}

func TestPCSCD(t *testing.T) {
	service := pcsctest.Start(t)
	t.Run("readers", func(t *testing.T) {
		got, err := system(t, pcsc.Config{}).Readers(soon(t))
		if d := cmp.Diff(pcsctest.Readers[:], got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	for profile, protocol := range map[string]cardreader.Protocol{"t0": cardreader.T0, "default": cardreader.T1} {
		for _, shared := range []bool{false, true} {
			t.Run(protocol.String(), func(t *testing.T) {
				insert(t, service, 0, profile)
				c := take(t, system(t, pcsc.Config{Shared: shared}).Reader(pcsctest.Readers[0]))
				if got := c.(cardreader.Protocoler).Protocol(); got != protocol {
					t.Errorf("protocol %v, want %v", got, protocol)
				}
				r, err := directory(soon(t), c)
				if err != nil || !r.SW.OK() || len(r.Data) < 10 {
					t.Errorf("SELECT: %v, %d bytes, %v", r.SW, len(r.Data), err)
				}
				atr := c.ATR()
				again, err := c.(cardreader.Resetter).Reset(soon(t))
				if err != nil || !bytes.Equal(atr, again) {
					t.Errorf("reset: %X, %v", again, err)
				}
				if r, err := directory(soon(t), c); err != nil || !r.SW.OK() {
					t.Errorf("SELECT after the reset: %v, %v", r.SW, err)
				}
			})
		}
	}
	t.Run("put in while it is waited for", func(t *testing.T) {
		got := make(chan error, 1)
		s := system(t, pcsc.Config{})
		wait(t, s, 0, false)
		go func() {
			c, err := s.Reader("virtual").Connect(soon(t))
			if err == nil {
				err = c.Close()
			}
			got <- err
		}()
		service.Insert(t, 1, "default")
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		s := system(t, pcsc.Config{})
		go func() { _, err := s.Reader("").Connect(ctx); got <- err }()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("taken out", func(t *testing.T) {
		card := insert(t, service, 0, "default")
		c := take(t, system(t, pcsc.Config{}).Reader(pcsctest.Readers[0]))
		gone := make(chan error, 1)
		go func() { gone <- c.(cardreader.RemovalWaiter).WaitRemoval(soon(t)) }()
		card.Remove()
		if _, err := directory(soon(t), c); !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("got %v", err)
		}
		if err := <-gone; err != nil {
			t.Error(err)
		}
	})
	t.Run("two at once, and a second hold", func(t *testing.T) {
		insert(t, service, 0, "t0")
		insert(t, service, 1, "default")
		s := system(t, pcsc.Config{})
		a, b := take(t, s.Reader(pcsctest.Readers[0])), take(t, s.Reader(pcsctest.Readers[1]))
		if bytes.Equal(a.ATR(), b.ATR()) {
			t.Error("both readers gave the same card")
		}
		for _, c := range []cardreader.Card{a, b} {
			if r, err := directory(soon(t), c); err != nil || !r.SW.OK() {
				t.Errorf("SELECT: %v, %v", r.SW, err)
			}
		}
		if _, err := system(t, pcsc.Config{}).Reader(pcsctest.Readers[0]).Connect(soon(t)); !errors.Is(err, cardreader.ErrBusy) {
			t.Errorf("a second hold: %v", err)
		}
	})
	for _, profile := range []string{"t0", "default"} {
		t.Run("contract with "+profile, func(t *testing.T) {
			insert(t, service, 0, profile)
			cardtest.Run(t, func() cardreader.Reader { return system(t, pcsc.Config{}).Reader(pcsctest.Readers[0]) })
		})
	}
	t.Run("another program holds the card", func(t *testing.T) {
		insert(t, service, 0, "default")
		release, _ := holder(t, pcsctest.Readers[0])
		r := system(t, pcsc.Config{}).Reader(pcsctest.Readers[0])
		_, err := r.Connect(soon(t))
		var e *pcsc.Error
		if !errors.Is(err, cardreader.ErrBusy) || !errors.As(err, &e) || !strings.Contains(e.Advice, "another program") {
			t.Errorf("held by another program: %v", err)
		}
		if _, err := system(t, pcsc.Config{Shared: true}).Reader(pcsctest.Readers[0]).Connect(soon(t)); !errors.Is(err, cardreader.ErrBusy) {
			t.Errorf("shared, held by another program: %v", err)
		}
		release()
		c := take(t, r)
		if r, err := directory(soon(t), c); err != nil || !r.SW.OK() {
			t.Errorf("SELECT: %v, %v", r.SW, err)
		}
	})
	t.Run("another program is killed with the card", func(t *testing.T) {
		insert(t, service, 0, "default")
		_, kill := holder(t, pcsctest.Readers[0])
		kill()
		if r, err := directory(soon(t), take(t, system(t, pcsc.Config{}).Reader(pcsctest.Readers[0]))); err != nil || !r.SW.OK() {
			t.Errorf("SELECT: %v, %v", r.SW, err)
		}
	})
	t.Run("a thousand in a row", func(t *testing.T) {
		insert(t, service, 0, "default")
		s := system(t, pcsc.Config{LeavePowered: true})
		once := func() {
			c, err := s.Reader(pcsctest.Readers[0]).Connect(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := directory(t.Context(), c); err != nil || !r.SW.OK() {
				t.Fatalf("SELECT: %v, %v", r.SW, err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		once()
		files, goroutines := openFiles(t), runtime.NumGoroutine()
		for range 1000 {
			once()
		}
		if now := openFiles(t); now > files+50 {
			t.Errorf("%d open files, before %d", now, files)
		}
		// What a call leaves ends a moment later on a busy machine; a leak is a thousand.
		if now := runtime.NumGoroutine(); now > goroutines+100 {
			t.Errorf("%d goroutines, before %d", now, goroutines)
		}
	})
	t.Run("service killed and started again", func(t *testing.T) {
		insert(t, service, 0, "default")
		s := system(t, pcsc.Config{})
		c := take(t, s.Reader(pcsctest.Readers[0]))
		service.Kill()
		if _, err := directory(soon(t), c); err == nil {
			t.Error("a card answers through a dead service")
		}
		if _, err := s.Reader(pcsctest.Readers[0]).Connect(soon(t)); !errors.Is(err, pcsc.ErrService) {
			t.Errorf("connecting through a dead service: %v", err)
		}
		service.Restart()
		insert(t, service, 0, "default")
		again := take(t, s.Reader(pcsctest.Readers[0]))
		if r, err := directory(soon(t), again); err != nil || !r.SW.OK() {
			t.Errorf("SELECT after the restart: %v, %v", r.SW, err)
		}
	})
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(list)
}
