package cardreader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
)

// software is a card whose bytes a function under test moves.
func software(tb testing.TB) cardreader.Card {
	tb.Helper()
	s, err := simcard.New(simcard.AllProfiles()[0], simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := s.Reader("software").Connect(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func over(tb testing.TB, c cardreader.Card, f cardreader.FuncConfig) cardreader.Card {
	tb.Helper()
	if r, ok := c.(cardreader.Resetter); ok {
		f.Reset = r.Reset
	}
	f.ATR, f.Close = c.ATR(), c.Close
	got, err := cardreader.Func(c.Transmit, f)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// supply is a reader that makes a card for each Connect, through a Slot.
type supply struct {
	t    *testing.T
	slot *cardreader.Slot
}

func (s supply) Name() string { return s.slot.Name() }

func (s supply) Connect(ctx context.Context) (cardreader.Card, error) {
	if err := s.slot.Put(over(s.t, software(s.t), cardreader.FuncConfig{})); err != nil {
		return nil, err
	}
	return s.slot.Connect(ctx)
}

func TestContract(t *testing.T) {
	cardtest.Run(t, func() cardreader.Reader { return supply{t, cardreader.NewSlot("the app's")} })
}

func TestFuncATR(t *testing.T) {
	none := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	for _, tt := range []struct {
		name string
		c    cardreader.FuncConfig
		want []byte
	}{
		{"contact", cardreader.FuncConfig{ATR: []byte{0x3B, 0x60, 0, 0}}, []byte{0x3B, 0x60, 0, 0}},
		{"no historical bytes", cardreader.FuncConfig{Interface: cardreader.Contactless}, []byte{0x3B, 0x80, 0x80, 0x01, 0x01}},
		{"historical bytes", cardreader.FuncConfig{Interface: cardreader.Contactless, HistoricalBytes: []byte{0x78, 0x80, 0x90, 0x02}},
			[]byte{0x3B, 0x84, 0x80, 0x01, 0x78, 0x80, 0x90, 0x02, 0x6F}},
		{"given", cardreader.FuncConfig{Interface: cardreader.Contactless, ATR: []byte{0x3B, 0x00}}, []byte{0x3B, 0x00}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := cardreader.Func(none, tt.c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, c.ATR()); d != "" {
				t.Error(d)
			}
			if tt.c.Interface == cardreader.Contactless && c.(cardreader.Protocoler).Protocol() != cardreader.TCL {
				t.Error("a contactless card is not T=CL")
			}
		})
	}
}

func TestFuncRefused(t *testing.T) {
	none := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	if _, err := cardreader.Func(nil, cardreader.FuncConfig{}); err == nil {
		t.Error("no function was taken")
	}
	for name, c := range map[string]cardreader.FuncConfig{
		"historical bytes": {HistoricalBytes: make([]byte, 16)},
		"command":          {MaxCommand: 4},
		"negative":         {MaxCommand: -1},
		"response":         {MaxResponse: 1},
	} {
		if _, err := cardreader.Func(none, c); !errors.Is(err, cardreader.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFuncErrors(t *testing.T) {
	gone := errors.New("TagLostException")
	for _, tt := range []struct {
		name   string
		c      cardreader.FuncConfig
		answer []byte
		err    error
		want   error
	}{
		{"removed", cardreader.FuncConfig{}, nil, fmt.Errorf("%w: %w", cardreader.ErrCardRemoved, gone), cardreader.ErrCardRemoved},
		{"unexplained, contactless", cardreader.FuncConfig{Interface: cardreader.Contactless}, nil, gone, cardreader.ErrCardRemoved},
		{"unexplained, contact", cardreader.FuncConfig{}, nil, gone, cardreader.ErrCardMute},
		{"empty, contactless", cardreader.FuncConfig{Interface: cardreader.Contactless}, nil, nil, cardreader.ErrCardRemoved},
		{"empty, contact", cardreader.FuncConfig{}, []byte{0x90}, nil, cardreader.ErrCardMute},
		{"too long", cardreader.FuncConfig{MaxResponse: 4}, make([]byte, 5), nil, cardreader.ErrProtocol},
		{"command too long", cardreader.FuncConfig{MaxCommand: 5}, []byte{0x90, 0}, nil, cardreader.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			called := false
			c, err := cardreader.Func(func(context.Context, []byte) ([]byte, error) { called = true; return tt.answer, tt.err }, tt.c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Transmit(t.Context(), make([]byte, 6))
			if !errors.Is(err, tt.want) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v", err)
			}
			if called == (tt.c.MaxCommand > 0) {
				t.Errorf("the function was called: %t", called)
			}
		})
	}
}

// TestFuncHung has a platform that never answers: the caller is released by its
// context, by the time-out and by Close, and nothing is sent after.
func TestFuncHung(t *testing.T) {
	command := []byte{0, 0xA4, 4, 0}
	hung := func(calls *atomic.Int32) cardreader.Transceive {
		return func(context.Context, []byte) ([]byte, error) { calls.Add(1); select {} }
	}
	t.Run("context", func(t *testing.T) {
		var calls atomic.Int32
		c, err := cardreader.Func(hung(&calls), cardreader.FuncConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for range 2 {
			if _, err := c.Transmit(ctx, command); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := c.Transmit(t.Context(), command); !errors.Is(err, context.DeadlineExceeded) || calls.Load() > 1 {
			t.Errorf("after a command that was left to itself: %v, %d calls", err, calls.Load())
		}
	})
	t.Run("time-out", func(t *testing.T) {
		var calls atomic.Int32
		c, err := cardreader.Func(hung(&calls), cardreader.FuncConfig{Timeout: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Transmit(t.Context(), command); !errors.Is(err, cardreader.ErrCardMute) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		began := make(chan struct{})
		c, err := cardreader.Func(func(context.Context, []byte) ([]byte, error) { close(began); select {} }, cardreader.FuncConfig{})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { _, err := c.Transmit(context.Background(), command); got <- err }()
		<-began
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, cardreader.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestFuncCloseHangs: a platform that does not let go holds up nobody.
func TestFuncCloseHangs(t *testing.T) {
	for timeout, want := range map[time.Duration]error{time.Millisecond: cardreader.ErrCardMute, time.Hour: nil} {
		began, release := make(chan struct{}), make(chan struct{})
		c, err := cardreader.Func(func(context.Context, []byte) ([]byte, error) { return []byte{0x90, 0}, nil }, cardreader.FuncConfig{
			ATR: []byte{0x3B, 0}, Timeout: timeout, Close: func() error { close(began); <-release; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- c.Close() }()
		<-began
		if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); !errors.Is(err, cardreader.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if len(c.ATR()) != 2 || c.Close() != nil {
			t.Error("a second Close, or ATR")
		}
		if want == nil {
			close(release)
		}
		if err := <-closed; !errors.Is(err, want) {
			t.Errorf("Close: %v, want %v", err, want)
		}
		if want != nil {
			close(release)
		}
	}
}

func TestSlot(t *testing.T) {
	s := cardreader.NewSlot("NFC")
	first, second := software(t), software(t)
	got := make(chan cardreader.Card, 1)
	go func() {
		c, err := s.Connect(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	if err := s.Put(first); err != nil {
		t.Fatal(err)
	}
	if c := <-got; c != first {
		t.Error("not the card that was put in")
	}
	if err := errors.Join(s.Put(first), s.Put(second)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Transmit(t.Context(), make([]byte, 4)); !errors.Is(err, cardreader.ErrClosed) {
		t.Errorf("a card that nobody took: %v", err)
	}
	if c, err := s.Connect(t.Context()); err != nil || c != second {
		t.Errorf("got %v, %v", c, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// isoDep stands for a platform's session with a tag.
type isoDep struct{ io.ReadWriter }

func (d isoDep) transceive(command []byte) ([]byte, error) {
	if _, err := d.Write(command); err != nil {
		return nil, err
	}
	b := make([]byte, 2)
	_, err := io.ReadFull(d, b)
	return b, err
}

// An app hands the session that its platform opened to a unit's reader. The
// platform's call takes no context: the card lets go of it when the caller's
// ends.
func ExampleFunc() {
	tag := isoDep{bytes.NewBuffer(nil)} // an echo: the answer is the command's first two bytes
	slot := cardreader.NewSlot("NFC")

	// When the platform finds a tag:
	card, err := cardreader.Func(
		func(_ context.Context, command []byte) ([]byte, error) { return tag.transceive(command) },
		cardreader.FuncConfig{
			Interface:       cardreader.Contactless,
			HistoricalBytes: []byte{0x78, 0x80, 0x90, 0x02}, // IsoDep.getHistoricalBytes
			MaxCommand:      261,                            // IsoDep.getMaxTransceiveLength
			Timeout:         3 * time.Second,
		})
	if err == nil {
		err = slot.Put(card)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	// The unit, whose Config.Reader is the slot:
	c, err := slot.Connect(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := c.Transmit(context.Background(), []byte{0x90, 0x00, 0x00, 0x00})
	fmt.Printf("%X: %X %v\n", c.ATR(), answer, err)
	// Output: 3B848001788090026F: 9000 <nil>
}
