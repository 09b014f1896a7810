package mobile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/config"
)

// fake is a host of which each test sets what it needs; what is not set panics,
// as a host's defect may.
type fake struct {
	open       func() (Connection, error)
	confirm    func(*Confirmation) (bool, error)
	choose     func(*StringList) (int32, error)
	dismissed  chan struct{}
	next       func() (int32, error)
	layout     []byte
	get        func(string) (*Bytes, error)
	put        func(string, []byte) error
	count      func(string) (int64, error)
	list       func(string) (*StringList, error)
	sign       func(string, []byte) ([]byte, error)
	transceive func([]byte) ([]byte, error)
}

func (f *fake) Open() (Connection, error)               { return f.open() }
func (f *fake) Notify(*Notice) error                    { return nil }
func (f *fake) Confirm(c *Confirmation) (bool, error)   { return f.confirm(c) }
func (f *fake) Choose(l *StringList) (int32, error)     { return f.choose(l) }
func (f *fake) Dismiss()                                { close(f.dismissed) }
func (f *fake) Get(n string) (*Bytes, error)            { return f.get(n) }
func (f *fake) Put(n string, b []byte) error            { return f.put(n, b) }
func (f *fake) Delete(string) error                     { return nil }
func (f *fake) List(p string) (*StringList, error)      { return f.list(p) }
func (f *fake) Next(n string) (int64, error)            { return f.count(n) }
func (f *fake) PublicKey(string) ([]byte, error)        { return make([]byte, 31), nil }
func (f *fake) ECDH(string, []byte) ([]byte, error)     { return make([]byte, 32), nil }
func (f *fake) VerificationKey(string) ([]byte, error)  { return nil, errors.New("locked") }
func (f *fake) Sign(n string, m []byte) ([]byte, error) { return f.sign(n, m) }
func (f *fake) Transceive(b []byte) ([]byte, error)     { return f.transceive(b) }
func (f *fake) Close() error                            { return nil }

type fakeKeypad struct{ *fake }

func (k fakeKeypad) Open(_ *Prompt, layout []byte) error {
	k.layout = layout
	layout[0] = 99
	return nil
}
func (k fakeKeypad) Next() (int32, error) { return k.next() }
func (k fakeKeypad) Mask(int32) error     { return nil }

func TestErrorCode(t *testing.T) {
	for err, want := range map[error]string{
		nil:                                  CodeNone,
		fmt.Errorf("x: %w", payment.ErrBusy): CodeBusy,
		fmt.Errorf("%w: %w", payment.ErrCard, cardreader.ErrCardRemoved): CodeCardRemoved,
		fmt.Errorf("%w: %w", payment.ErrCard, context.Canceled):          CodeCancelled,
		fmt.Errorf("%w: no PSE", payment.ErrCard):                        CodeCard,
		fmt.Errorf("%w: %w", payment.ErrServer, io.EOF):                  CodeServer,
		fmt.Errorf("mobile: %w", trusted.ErrRollback):                    CodeStorage,
		fmt.Errorf("%w: %w", payment.ErrServer, config.ErrRefused):       CodeConfiguration,
		configError("x"): CodeConfig,
		&internalError{"paying", "runtime.boundsError"}: CodeInternal,
		errors.New("whatever"):                          CodeOther,
	} {
		if got := ErrorCode(err); got != want {
			t.Errorf("code of %v: %q, want %q", err, got, want)
		}
	}
}

// TestOpenRefuses: what is missing is said, with a code, before the server is
// asked.
func TestOpenRefuses(t *testing.T) {
	terminal := []byte(`{"type":"22"}`)
	for _, c := range []struct {
		name string
		make func() *Config
		code string
		says string
	}{
		{"nil", func() *Config { return nil }, CodeConfig, "nil"},
		{"no screen", func() *Config { return NewConfig(&fake{}, nil, fakeKeypad{&fake{}}) }, CodeConfig, "screen"},
		{"storage without keys", func() *Config {
			c := NewConfig(&fake{}, &fake{}, fakeKeypad{&fake{}})
			c.UseState(&fake{}, nil)
			return c
		}, CodeConfig, "keys"},
		{"negative limit", func() *Config {
			c := NewConfig(&fake{}, &fake{}, fakeKeypad{&fake{}})
			c.ReplyMillis = -1
			return c
		}, CodeConfig, "negative"},
		{"no terminal data", func() *Config { return NewConfig(&fake{}, &fake{}, fakeKeypad{&fake{}}) }, CodeConfig, "terminal data"},
		{"bad CA keys", func() *Config {
			c := NewConfig(&fake{}, &fake{}, fakeKeypad{&fake{}})
			c.Terminal, c.CAPK = terminal, []byte("{")
			return c
		}, CodeConfig, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := Open(c.make(), nil)
			if u != nil || ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, code %q of %v", u, ErrorCode(err), err)
			}
		})
	}
}

// TestPanicsStayOutside: a host that panics is an error of the code internal,
// whose text does not hold the panic's value.
func TestPanicsStayOutside(t *testing.T) {
	f := &fake{put: func(string, []byte) error { panic("secret 1234") }}
	s := &state{storage: f, keys: f}
	_, getting := s.Get(t.Context(), "r")
	_, opening := (&link{f}).Open(t.Context())
	_, choosing := (&screen{f}).Choose(t.Context(), []string{"A"})
	for _, err := range []error{getting, s.Put(t.Context(), "r", nil), opening, choosing} {
		if ErrorCode(err) != CodeInternal || strings.Contains(err.Error(), "1234") {
			t.Errorf("code %q of %v", ErrorCode(err), err)
		}
	}
	card, err := newCard(f, NewCardInfo())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); ErrorCode(err) != CodeInternal {
		t.Errorf("code %q of %v", ErrorCode(err), err)
	}
}

// TestZeroUnit: a binding can make a Unit that Open did not.
func TestZeroUnit(t *testing.T) {
	var u Unit
	if u.Enrolled() || u.TerminalID() != "" || u.MerchantID() != "" {
		t.Error("a unit that was not opened has an identity")
	}
	_, paying := u.Pay("o", nil)
	_, recovering := u.Recover(nil)
	for _, err := range []error{paying, recovering, u.CardFound(&fake{}, NewCardInfo())} {
		if ErrorCode(err) != CodeClosed {
			t.Errorf("code %q of %v", ErrorCode(err), err)
		}
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

// TestCancelDismisses: a question that nobody waits for is taken off the screen,
// and its late answer counts for nothing.
func TestCancelDismisses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{dismissed: make(chan struct{})}
	f.confirm = func(*Confirmation) (bool, error) {
		cancel()
		<-f.dismissed
		return true, nil
	}
	if err := (&screen{f}).Confirm(ctx, trusted.Confirmation{}); ErrorCode(err) != CodeCancelled {
		t.Errorf("code %q of %v", ErrorCode(err), err)
	}
	<-f.dismissed
	if err := (&screen{f}).Confirm(ctx, trusted.Confirmation{}); ErrorCode(err) != CodeCancelled {
		t.Errorf("asked with an ended context: %v", err)
	}
}

type closing struct{ closed chan struct{} }

func (closing) Read(int32) ([]byte, error) { return nil, nil }
func (closing) Write([]byte) error         { return nil }
func (c closing) Close() error             { close(c.closed); return nil }

// TestLateConnection: a connection that comes after the wait is closed.
func TestLateConnection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := closing{make(chan struct{})}
	f := &fake{open: func() (Connection, error) { cancel(); <-ctx.Done(); return c, nil }}
	if _, err := (&link{f}).Open(ctx); err == nil {
		// The answer and the end came together: either may be taken.
		return
	}
	<-c.closed
}

func TestStateContract(t *testing.T) {
	kept := map[string][]byte{}
	f := &fake{
		get: func(n string) (*Bytes, error) {
			b, ok := kept[n]
			if !ok {
				return nil, nil
			}
			return NewBytes(b), nil
		},
		put:   func(n string, b []byte) error { kept[n] = b; return nil },
		count: func(string) (int64, error) { return 0, nil },
		list: func(string) (*StringList, error) {
			l := NewStringList()
			l.Add("b")
			l.Add("a")
			return l, nil
		},
		sign: func(_ string, m []byte) ([]byte, error) { m[0] = 9; return make([]byte, 64), nil },
	}
	s := &state{storage: f, keys: f}
	if _, err := s.Get(t.Context(), "r"); !errors.Is(err, trusted.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	value := []byte{1, 2}
	if err := s.Put(t.Context(), "r", value); err != nil {
		t.Fatal(err)
	}
	value[0] = 7
	got, err := s.Get(t.Context(), "r")
	if d := cmp.Diff([]byte{1, 2}, got); d != "" || err != nil {
		t.Error("not a copy:", d, err)
	}
	if _, err := s.Next(t.Context(), "c"); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a counter at 0: %v", err)
	}
	if names, err := s.List(t.Context(), ""); err != nil || !cmp.Equal(names, []string{"a", "b"}) {
		t.Error("list", names, err)
	}
	if _, err := s.PublicKey(t.Context(), "k"); err == nil {
		t.Error("a public key of 31 bytes was taken")
	}
	if _, err := s.VerificationKey(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Error(err)
	}
	message := []byte{1}
	if _, err := s.Sign(t.Context(), "k", message); err != nil || message[0] != 1 {
		t.Error("the host got the message itself", message, err)
	}
}

func TestCard(t *testing.T) {
	f := &fake{transceive: func(b []byte) ([]byte, error) {
		if b[1] == 0xB0 {
			return nil, nil
		}
		b[0] = 0xFF
		return []byte{0x90, 0}, nil
	}}
	info := NewCardInfo()
	info.Contactless, info.HistoricalBytes, info.MaxCommand = true, []byte{1}, 10
	card, err := newCard(f, info)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]byte{0x3B, 0x81, 0x80, 0x01, 0x01, 0x01}, card.ATR()); d != "" {
		t.Error("ATR:", d)
	}
	command := []byte{0, 0xA4, 4, 0}
	if r, err := card.Transmit(t.Context(), command); err != nil || !bytes.Equal(r, []byte{0x90, 0}) || command[0] != 0 {
		t.Error(r, err, command)
	}
	if _, err := card.Transmit(t.Context(), []byte{0, 0xB0, 0, 0, 0}); ErrorCode(err) != CodeCardRemoved {
		t.Error("no bytes:", err)
	}
	if _, err := card.Transmit(t.Context(), make([]byte, 11)); !errors.Is(err, cardreader.ErrProtocol) {
		t.Error("too long:", err)
	}
}

func TestKeypad(t *testing.T) {
	f := &fake{}
	layout := softpad.Layout{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	entry, err := (&panel{fakeKeypad{f}, nil}).Open(t.Context(), pinpad.Prompt{}, layout)
	if err != nil {
		t.Fatal(err)
	}
	if layout[0] != 9 {
		t.Error("the host got the layout itself")
	}
	for k, ok := range map[int32]bool{-1: false, 0: true, 9: true, KeyBypass: true, KeyAccessible: true, KeyAccessible + 1: false, KeyTouch - 1: false, KeyTouch: true, KeyTouch + 9: true, KeyTouch + 10: false} {
		f.next = func() (int32, error) { return k, nil }
		got, err := entry.Next(t.Context())
		if ok != (err == nil) || ok && got != softpad.Key(k) {
			t.Errorf("key %d: %d, %v", k, got, err)
		}
	}
	for host, pad := range map[int32]softpad.Key{
		KeyBackspace: softpad.KeyBackspace, KeyClear: softpad.KeyClear, KeyEnter: softpad.KeyEnter, KeyCancel: softpad.KeyCancel,
		KeyBypass: softpad.KeyBypass, KeyAccessible: softpad.KeyAccessible, KeyTouch: softpad.KeyTouch,
	} {
		if softpad.Key(host) != pad {
			t.Errorf("key %d is not the pad's %d", host, pad)
		}
	}
}

// sounds remembers its tones.
type sounds struct{ played []int32 }

func (s *sounds) Tone(t int32) error { s.played = append(s.played, t); return nil }

func TestTones(t *testing.T) {
	s := &sounds{}
	f := &fake{}
	f.next = func() (int32, error) { return KeyTouch + 4, nil }
	e, err := (&panel{fakeKeypad{f}, s}).Open(t.Context(), pinpad.Prompt{AllowAccessible: true, Accessible: true}, softpad.FixedLayout())
	if err != nil {
		t.Fatal(err)
	}
	if k, err := e.Next(t.Context()); err != nil || k != softpad.KeyTouch+4 {
		t.Errorf("%d, %v", k, err)
	}
	for app, pad := range map[int32]softpad.Tone{
		ToneCentre: softpad.ToneCentre, ToneCell: softpad.ToneCell, ToneTaken: softpad.ToneTaken, ToneDeleted: softpad.ToneDeleted,
		ToneRefused: softpad.ToneRefused, ToneDone: softpad.ToneDone,
	} {
		s.played = nil
		if err := e.(softpad.Toner).Tone(pad); err != nil || len(s.played) != 1 || s.played[0] != app {
			t.Errorf("tone %d: %v, %v", pad, s.played, err)
		}
	}
	silent, err := (&panel{fakeKeypad{f}, nil}).Open(t.Context(), pinpad.Prompt{}, softpad.FixedLayout())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := silent.(softpad.Toner); ok {
		t.Error("a keypad without tones says that it has some")
	}
	if p := newPrompt(pinpad.Prompt{AllowAccessible: true, Accessible: true}); !p.AllowAccessible || !p.Accessible {
		t.Errorf("%+v", p)
	}
}

// hangs is a host whose calls end when the test does.
type hangs struct {
	fakeKeypad
	began chan struct{}
	over  chan struct{}
}

func (h hangs) wait() error                       { h.began <- struct{}{}; <-h.over; return nil }
func (h hangs) Open(*Prompt, []byte) error        { return nil }
func (h hangs) Mask(int32) error                  { return h.wait() }
func (h hangs) Tone(int32) error                  { return h.wait() }
func (h hangs) Close() error                      { return h.wait() }
func (h hangs) Transceive([]byte) ([]byte, error) { return nil, nil }

// TestKeypadHangs: what the pad calls without a context ends with that of its
// entry, and the keypad is closed also after it.
func TestKeypadHangs(t *testing.T) {
	h := hangs{began: make(chan struct{}, 1), over: make(chan struct{})}
	defer close(h.over)
	for name, call := range map[string]func(softpad.Entry) error{
		"mask":  func(e softpad.Entry) error { return e.Mask(1) },
		"tone":  func(e softpad.Entry) error { return e.(softpad.Toner).Tone(softpad.ToneCell) },
		"close": softpad.Entry.Close,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		e, err := (&panel{h, h}).Open(ctx, pinpad.Prompt{}, softpad.FixedLayout())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- call(e) }()
		<-h.began
		cancel()
		if err := <-ended; ErrorCode(err) != CodeCancelled {
			t.Errorf("%s: code %q of %v", name, ErrorCode(err), err)
		}
		go func() { ended <- e.Close() }()
		<-h.began
		if err := <-ended; ErrorCode(err) != CodeCancelled {
			t.Errorf("%s, and closing then: code %q of %v", name, ErrorCode(err), err)
		}
	}
}

// told is an observer that a test holds up.
type told struct {
	texts chan string
	go1   chan struct{}
}

func (o told) OnEvent(e *Event) {
	o.texts <- e.Text
	<-o.go1
	panic("an observer's defect")
}

// TestObserverHangs: an observer that hangs holds up nobody; what it is told is
// in order, one at a time, and all of it before the call ends.
func TestObserverHangs(t *testing.T) {
	o := told{make(chan string, 3), make(chan struct{})}
	e := &events{host: o}
	for _, text := range []string{"1", "2", "3"} {
		e.add(payment.Event{Text: text})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e.drain(ended) // returns though the first is still being told
	if first := <-o.texts; first != "1" || len(o.texts) > 0 {
		t.Errorf("%q was told first, and %d beside it", first, len(o.texts))
	}
	close(o.go1)
	e.drain(t.Context())
	if len(o.texts) != 2 || <-o.texts != "2" || <-o.texts != "3" {
		t.Error("not all was told, or not in order")
	}
	e.drain(t.Context())
	(*events)(nil).drain(t.Context())
}

// closes is a session with a card that tells when it is over.
type closes struct {
	*fake
	closed *int
}

func (c closes) Close() error { *c.closed++; return nil }

// TestCardNobodyTook: a card that no payment took is closed with the unit, and a
// closed unit takes none.
func TestCardNobodyTook(t *testing.T) {
	u := &Unit{slot: cardreader.NewSlot("app"), unit: &softunit.Unit{}}
	closed := 0
	if err := u.CardFound(closes{&fake{}, &closed}, NewCardInfo()); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil || closed != 1 {
		t.Errorf("%v, closed %d times", err, closed)
	}
	if err := u.CardFound(closes{&fake{}, &closed}, NewCardInfo()); ErrorCode(err) != CodeClosed {
		t.Errorf("after Close: %v", err)
	}
}
