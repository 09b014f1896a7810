package pcsc

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
)

// stop ends a test that hangs; nothing measures it.
const stop = 10 * time.Second

func t1() *plastic { return &plastic{atr: unhex("3BE000008131FE45EB"), protocol: protocolT1} }
func t0() *plastic { return &plastic{atr: unhex("3B600000"), protocol: protocolT0} }

func newSystem(c Config, f *fake) *System { return &System{c: c, service: f, watch: newWatcher(f)} }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func connected(t *testing.T, f *fake, c Config, p *plastic) cardreader.Card {
	t.Helper()
	f.insert("A", p)
	card, err := newSystem(c, f).Reader("A").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := card.Close(); err != nil {
			t.Error(err)
		}
	})
	return card
}

// settled waits until what a test did has run out.
func settled(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(stop)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: does not end", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestReaders(t *testing.T) {
	f := newFake("B", "A")
	s := newSystem(Config{}, f)
	got, err := s.Readers(t.Context())
	if d := cmp.Diff([]string{"A", "B"}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	none, err := newSystem(Config{}, newFake()).Readers(t.Context())
	if len(none) != 0 || err != nil {
		t.Errorf("no reader: %v, %v", none, err)
	}
	f.set(codeNoService)
	settled(t, "the watcher", func() bool { s.watch.mu.Lock(); defer s.watch.mu.Unlock(); return !s.watch.running })
	if _, err := s.Readers(t.Context()); !errors.Is(err, ErrService) {
		t.Errorf("no service: %v", err)
	}
	f.set(0)
	settled(t, "the service", func() bool { got, err := s.Readers(t.Context()); return err == nil && len(got) == 2 })
}

func TestNames(t *testing.T) {
	list := []string{"ACS ACR39U 00 00", "Identiv uTrust 01 00", "Virtual PCD 00 00", "Virtual PCD 00 01"}
	for pattern, want := range map[string][]string{
		"":                  list,
		"virtual pcd":       list[2:],
		"Virtual PCD 00 01": list[3:],
		"identiv":           list[1:2],
		"none":              nil,
	} {
		if d := cmp.Diff(want, (&Reader{pattern: pattern}).fits(list)); d != "" {
			t.Errorf("%q: %s", pattern, d)
		}
	}
	if n := (&Reader{}).Name(); n == "" {
		t.Error("a reader without a name")
	}
}

// TestConnect takes a card that is there, and one that comes while it waits; and
// in a reader that comes while it waits.
func TestConnect(t *testing.T) {
	for name, put := range map[string]func(*fake){
		"there already":   nil,
		"comes":           func(f *fake) { f.insert("A", t1()) },
		"with its reader": func(f *fake) { f.plug("C"); f.insert("C", t1()) },
		"in another":      func(f *fake) { f.insert("B", t1()) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake("A", "B")
			if put == nil {
				f.insert("A", t1())
			}
			s := newSystem(Config{}, f)
			type got struct {
				c   cardreader.Card
				err error
			}
			ch := make(chan got, 1)
			go func() { c, err := s.Reader("").Connect(t.Context()); ch <- got{c, err} }()
			if put != nil {
				settled(t, "the wait", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.waits > 1 })
				put(f)
			}
			g := <-ch
			if g.err != nil {
				t.Fatal(g.err)
			}
			if d := cmp.Diff(t1().atr, g.c.ATR()); d != "" {
				t.Error(d)
			}
			if err := errors.Join(g.c.Close(), g.c.Close()); err != nil {
				t.Error(err)
			}
			settled(t, "letting go", func() bool { contexts, handles := f.open(); return contexts == 0 && handles == 0 })
		})
	}
}

// TestCancelled: a wait ends with its context, whenever that ends.
func TestCancelled(t *testing.T) {
	f := newFake("A")
	s := newSystem(Config{}, f)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := make(chan error, 1)
		go func() { _, err := s.Reader("A").Connect(ctx); ch <- err }()
		cancel()
		if err := <-ch; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	settled(t, "the watcher", func() bool { contexts, _ := f.open(); return contexts == 0 })
}

// TestFrozenService: a service that does not answer to its cancelling either
// holds up nobody who waits, and is let go when it answers.
func TestFrozenService(t *testing.T) {
	f := newFake("A")
	f.frozen = make(chan struct{})
	s := newSystem(Config{}, f)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := make(chan error, 1)
		waits := f.waited()
		go func() { _, err := s.Reader("A").Connect(ctx); ch <- err }()
		settled(t, "the wait", func() bool { return f.waited() > max(waits, 1) })
		cancel()
		select {
		case err := <-ch:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		case <-time.After(stop):
			t.Fatal("the wait does not end")
		}
	}
	close(f.frozen)
	settled(t, "letting go", func() bool { contexts, _ := f.open(); return contexts == 0 })
}

func TestConnectErrors(t *testing.T) {
	many := func(c returnCode) []returnCode {
		var out []returnCode
		for range 100 {
			out = append(out, c)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		refuse []returnCode
		want   error
	}{
		{"unpowered for a moment", []returnCode{codeUnpoweredCard, codeUnpoweredCard}, nil},
		{"held for a moment", []returnCode{codeSharingViolation}, nil},
		{"unpowered", many(codeUnpoweredCard), ErrUnpowered},
		{"unpowered is mute", many(codeUnpoweredCard), cardreader.ErrCardMute},
		{"held", many(codeSharingViolation), cardreader.ErrBusy},
		{"mute", many(codeUnresponsiveCard), cardreader.ErrCardMute},
		{"no protocol", many(codeProtoMismatch), cardreader.ErrProtocol},
		{"service stopped", many(codeServiceStopped), ErrService},
		{"unheard of", many(0x80100099), cardreader.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake("A")
			p := t1()
			p.refuse = c.refuse
			f.insert("A", p)
			card, err := newSystem(Config{}, f).Reader("A").Connect(t.Context())
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var e *Error
			if c.want != nil && !errors.As(err, &e) {
				t.Errorf("%v is no *Error", err)
			}
			if card != nil {
				if err := card.Close(); err != nil {
					t.Error(err)
				}
			}
			settled(t, "letting go", func() bool { contexts, handles := f.open(); return contexts == 0 && handles == 0 })
		})
	}
}

// TestWire: what goes to a card under each protocol.
func TestWire(t *testing.T) {
	for _, c := range []struct {
		name, command, t0, t1 string
	}{
		{"case 1", "00A40400", "00A4040000", "00A40400"},
		{"case 2", "00B2010C00", "00B2010C00", "00B2010C00"},
		{"case 3", "0020008002ABCD", "0020008002ABCD", "0020008002ABCD"},
		{"case 4", "00A4040002A00000", "00A4040002A000", "00A4040002A00000"},
		{"extended", "00A40400000002A000", "", "00A40400000002A000"},
		{"too short", "00A404", "", ""},
		{"Lc too long", "00A4040005A000", "", "00A4040005A000"},
	} {
		for protocol, want := range map[uint32]string{protocolT0: c.t0, protocolT1: c.t1} {
			b, err := (&Card{facts: facts{protocol: protocol}}).wire(unhex(c.command))
			if want == "" {
				if !errors.Is(err, cardreader.ErrProtocol) {
					t.Errorf("%s, T=%d: got %X, %v", c.name, protocol-1, b, err)
				}
				continue
			}
			if d := cmp.Diff(unhex(want), b); d != "" || err != nil {
				t.Errorf("%s, T=%d: %s %v", c.name, protocol-1, d, err)
			}
		}
	}
}

func TestTransmit(t *testing.T) {
	f := newFake("A")
	p := t0()
	card := connected(t, f, Config{}, p)
	r, err := card.Transmit(t.Context(), unhex("00A4040002A00000"))
	if d := cmp.Diff(unhex("9000"), r); d != "" || err != nil {
		t.Error(d, err)
	}
	if d := cmp.Diff([][]byte{unhex("00A4040002A000")}, p.seen); d != "" {
		t.Error(d)
	}
	if got := card.(cardreader.Protocoler).Protocol(); got != cardreader.T0 {
		t.Errorf("protocol %v", got)
	}
	if err := card.Close(); err != nil {
		t.Error(err)
	}
	if _, err := card.Transmit(t.Context(), unhex("00B2010C00")); !errors.Is(err, cardreader.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if p.resets != 1 {
		t.Errorf("the card was reset %d times on Close, want once", p.resets)
	}
}

// TestRemoved: a card that leaves is removed, whatever the service calls it.
func TestRemoved(t *testing.T) {
	for name, answer := range map[string]func([]byte) ([]byte, error){
		"code":           nil,
		"not transacted": func([]byte) ([]byte, error) { return nil, codeNotTransacted },
		"empty answer":   func([]byte) ([]byte, error) { return nil, nil },
		"reset":          func([]byte) ([]byte, error) { return nil, codeResetCard },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake("A")
			p := t1()
			card := connected(t, f, Config{}, p)
			if answer == nil {
				f.remove("A")
				f.insert("A", t1()) // another card: never its answer
			} else {
				p.answer = func(b []byte) ([]byte, error) {
					if name != "reset" {
						f.remove("A")
					}
					return answer(b)
				}
			}
			if _, err := card.Transmit(t.Context(), unhex("00B2010C00")); !errors.Is(err, cardreader.ErrCardRemoved) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestMute: a card that is there and does not answer is not removed.
func TestMute(t *testing.T) {
	p := t1()
	p.answer = func([]byte) ([]byte, error) { return nil, codeNotTransacted }
	card := connected(t, newFake("A"), Config{}, p)
	if _, err := card.Transmit(t.Context(), unhex("00B2010C00")); !errors.Is(err, cardreader.ErrCardMute) {
		t.Errorf("got %v", err)
	}
}

// TestHung: a card that never answers holds up nobody, and its handle is let go
// when it does.
func TestHung(t *testing.T) {
	f := newFake("A")
	p := t1()
	began, release := make(chan struct{}), make(chan struct{})
	p.answer = func([]byte) ([]byte, error) { close(began); <-release; return unhex("9000"), nil }
	card := connected(t, f, Config{}, p)
	ctx, cancel := context.WithCancel(t.Context())
	ch := make(chan error, 1)
	go func() { _, err := card.Transmit(ctx, unhex("00B2010C00")); ch <- err }()
	<-began
	cancel()
	if err := <-ch; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := card.Transmit(t.Context(), unhex("00B2010C00")); !errors.Is(err, context.Canceled) {
		t.Errorf("the next command: %v", err)
	}
	if err := card.Close(); err != nil {
		t.Error(err)
	}
	close(release)
	settled(t, "letting go", func() bool { contexts, handles := f.open(); return contexts == 0 && handles == 0 })
}

// TestCloseReleases: Close from another goroutine ends a Transmit.
func TestCloseReleases(t *testing.T) {
	f := newFake("A")
	p := t1()
	began, release := make(chan struct{}), make(chan struct{})
	p.answer = func([]byte) ([]byte, error) { close(began); <-release; return unhex("9000"), nil }
	card := connected(t, f, Config{}, p)
	ch := make(chan error, 1)
	go func() { _, err := card.Transmit(t.Context(), unhex("00B2010C00")); ch <- err }()
	<-began
	go func() { _ = card.Close() }()
	if err := <-ch; !errors.Is(err, cardreader.ErrClosed) {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestWaitRemoval(t *testing.T) {
	for name, leave := range map[string]func(*fake){
		"taken out": func(f *fake) { f.remove("A") },
		"swapped":   func(f *fake) { f.change(func() { f.readers["A"].card = t1(); f.readers["A"].count += 2 }) },
		"unplugged": func(f *fake) { f.unplug("A") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake("A", "B")
			card := connected(t, f, Config{}, t1())
			ch := make(chan error, 1)
			go func() { ch <- card.(cardreader.RemovalWaiter).WaitRemoval(t.Context()) }()
			settled(t, "the wait", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.waits > 2 })
			leave(f)
			if err := <-ch; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestResetAndKinds(t *testing.T) {
	f := newFake("A")
	p := &plastic{atr: unhex("3B8F8001804F0CA000000306030001000000006A"), protocol: protocolT1}
	card := connected(t, f, Config{Shared: true, LeavePowered: true}, p)
	b, err := card.(cardreader.Resetter).Reset(t.Context())
	if d := cmp.Diff(p.atr, b); d != "" || err != nil {
		t.Error(d, err)
	}
	if p.resets != 1 {
		t.Errorf("%d resets", p.resets)
	}
	if i, k := card.(cardreader.Interfacer).Interface(), card.(cardreader.Protocoler).Protocol(); i != cardreader.Contactless || k != cardreader.TCL {
		t.Errorf("%v over %v", i, k)
	}
	f.remove("A")
	if _, err := card.(cardreader.Resetter).Reset(t.Context()); !errors.Is(err, cardreader.ErrCardRemoved) {
		t.Errorf("reset of a card that is gone: %v", err)
	}
	if err := card.Close(); err != nil {
		t.Error(err)
	}
	if p.resets > 2 {
		t.Error("LeavePowered resets on Close")
	}
}

// TestSides: a reader for one side takes the cards of that side alone, and who waits
// for a tapped card is told of an inserted one.
func TestSides(t *testing.T) {
	tapped := func() *plastic {
		return &plastic{atr: unhex("3B8F8001804F0CA000000306030001000000006A"), protocol: protocolT1}
	}
	for _, c := range []struct {
		name    string
		a, b    *plastic
		pattern string
		tapped  bool
		want    string // the reader, "other", or "none"
	}{
		{"a tapped card", tapped(), nil, "", true, "A"},
		{"an inserted card", t1(), nil, "", false, "A"},
		{"both, for the tapped", t1(), tapped(), "", true, "B"},
		{"both, the other way", tapped(), t1(), "", true, "A"},
		{"both, for the inserted", tapped(), t1(), "", false, "B"},
		{"inserted meanwhile", nil, t1(), "", true, "other"},
		{"tapped meanwhile", tapped(), nil, "", false, "none"},
		{"in another reader than the named one", nil, t1(), "A", true, "none"},
		{"in the named one", t1(), nil, "A", true, "other"},
		{"nothing", nil, nil, "", true, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake("A", "B")
			for name, p := range map[string]*plastic{"A": c.a, "B": c.b} {
				if p != nil {
					f.insert(name, p)
				}
			}
			r := newSystem(Config{}, f).Reader(c.pattern)
			side := r.Inserted()
			if c.tapped {
				side = r.Tapped()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.want == "none" {
				// The service has told all that there is when it is waited for.
				go func() {
					settled(t, "the wait", func() bool { return f.waited() > 0 })
					cancel()
				}()
			}
			card, err := side.Connect(ctx)
			got := ""
			switch {
			case errors.Is(err, cardreader.ErrOther):
				got = "other"
			case errors.Is(err, context.Canceled):
				got = "none"
			case err != nil:
				t.Fatal(err)
			default:
				got = card.(*Card).Reader()
				if err := card.Close(); err != nil {
					t.Error(err)
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestResetLeft: a reset that nobody waits for changes nothing that is read.
func TestResetLeft(t *testing.T) {
	f := newFake("A")
	p := t1()
	began, release := make(chan struct{}), make(chan struct{})
	p.resetting = func() {
		close(began)
		<-release
		f.change(func() { p.atr = t0().atr })
	}
	card := connected(t, f, Config{}, p)
	ctx, cancel := context.WithCancel(t.Context())
	ch := make(chan error, 1)
	go func() { _, err := card.(cardreader.Resetter).Reset(ctx); ch <- err }()
	<-began
	cancel()
	if err := <-ch; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := card.Close(); err != nil {
		t.Error(err)
	}
	settled(t, "letting go", func() bool { contexts, handles := f.open(); return contexts == 0 && handles == 0 })
	if d := cmp.Diff(t1().atr, card.ATR()); d != "" {
		t.Error(d)
	}
}

// TestBounce: of a card whose contacts bounced while it was connected to, the
// removal is still waited for.
func TestBounce(t *testing.T) {
	f := newFake("A")
	p := t1()
	p.refuse, p.bounces = []returnCode{codeUnpoweredCard}, true
	card := connected(t, f, Config{}, p)
	if left(map[string]readerState{"A": {event: 3<<16 | statePresent}}, card.(*Card).seen) {
		t.Error("the card counts as removed while it is there")
	}
	f.remove("A")
	if err := card.(cardreader.RemovalWaiter).WaitRemoval(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTwoReaders: each card answers for itself, and a second hold of one is busy.
func TestTwoReaders(t *testing.T) {
	f := newFake("A", "B")
	a, b := t1(), t1()
	a.answer = func([]byte) ([]byte, error) { return unhex("0A9000"), nil }
	b.answer = func([]byte) ([]byte, error) { return unhex("0B9000"), nil }
	f.insert("A", a)
	f.insert("B", b)
	s := newSystem(Config{}, f)
	for name, want := range map[string]string{"A": "0A9000", "B": "0B9000"} {
		c, err := s.Reader(name).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		r, err := c.Transmit(t.Context(), unhex("00B2010C00"))
		if d := cmp.Diff(unhex(want), r); d != "" || err != nil {
			t.Error(d, err)
		}
	}
	if _, err := s.Reader("A").Connect(t.Context()); !errors.Is(err, cardreader.ErrBusy) {
		t.Errorf("a second hold: %v", err)
	}
}
