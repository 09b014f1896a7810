// Package cardtest holds what tests need of cards: Run, the contract test that
// every cardreader.Reader and cardreader.Card has to pass, and Script, a card
// that answers from a list and fails the test when it is asked anything else.
//
// It moves bytes and knows no EMV. Only tests import it.
package cardtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
)

// patience is how long the contract lets a call outlive its context.
const patience = 100 * time.Millisecond

// slack is added to patience, because a busy machine is no broken reader.
const slack = 400 * time.Millisecond

// selectUnknown is SELECT of a name that no card has: any answer will do, as
// long as it is one.
var selectUnknown = []byte{0x00, 0xA4, 0x04, 0x00, 0x07, 0xF0, 0x70, 0x61, 0x79, 0x75, 0x6E, 0x69, 0x00}

// Run checks the contract of cardreader on the readers that newReader makes.
// Each must have a card at hand. Every subtest uses a reader of its own.
func Run(t *testing.T, newReader func() cardreader.Reader) {
	t.Helper()
	for _, tt := range []struct {
		name string
		run  func(*testing.T, cardreader.Reader)
	}{
		{"name", testName},
		{"ATR", testATR},
		{"transmit", testTransmit},
		{"unknown instruction is data", testUnknownInstruction},
		{"command too short", testShortCommand},
		{"slices are not kept", testSlices},
		{"second connect is busy", testBusy},
		{"connect again after close", testReconnect},
		{"close twice", testCloseTwice},
		{"closed card", testClosed},
		{"ended context", testContext},
		{"connect with ended context", testConnectContext},
		{"close from elsewhere", testCloseElsewhere},
		{"reset", testReset},
		{"wait for removal", testRemoval},
		{"protocol and interface", testAbilities},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, newReader()) })
	}
}

func connect(t *testing.T, r cardreader.Reader) cardreader.Card {
	t.Helper()
	c, err := r.Connect(t.Context())
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func testName(t *testing.T, r cardreader.Reader) {
	if r.Name() == "" {
		t.Error("the reader has no name")
	}
}

func testATR(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	atr := c.ATR()
	if len(atr) < 2 || len(atr) > 33 {
		t.Fatalf("ATR of %d bytes, want 2 to 33", len(atr))
	}
	if atr[0] != 0x3B && atr[0] != 0x3F {
		t.Errorf("ATR starts with %02X, want 3B or 3F", atr[0])
	}
	first := bytes.Clone(atr)
	clear(atr)
	if got := c.ATR(); !bytes.Equal(got, first) {
		t.Error("a change of the returned ATR changed the card's")
	}
}

func testTransmit(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	for range 3 {
		got, err := c.Transmit(t.Context(), selectUnknown)
		if err != nil {
			t.Fatalf("Transmit: %v", err)
		}
		if len(got) < 2 {
			t.Fatalf("response of %d bytes, want a status word at least", len(got))
		}
	}
}

func testUnknownInstruction(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	got, err := c.Transmit(t.Context(), []byte{0x00, 0xFA, 0x00, 0x00})
	if err != nil {
		t.Fatalf("a status word must be data, got the error %v", err)
	}
	if len(got) < 2 || got[len(got)-2] == 0x90 {
		t.Errorf("response % X to an instruction that does not exist", got)
	}
}

func testShortCommand(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	for n := range 4 {
		if _, err := c.Transmit(t.Context(), make([]byte, n)); !errors.Is(err, cardreader.ErrProtocol) {
			t.Errorf("command of %d bytes: error %v, want ErrProtocol", n, err)
		}
	}
	if _, err := c.Transmit(t.Context(), selectUnknown); err != nil {
		t.Errorf("the card is unusable after a command that was never sent: %v", err)
	}
}

func testSlices(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	command := bytes.Clone(selectUnknown)
	first, err := c.Transmit(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(command, selectUnknown) {
		t.Error("Transmit changed the command")
	}
	kept := bytes.Clone(first)
	clear(command)
	if _, err := c.Transmit(t.Context(), []byte{0x00, 0xFA, 0x00, 0x00}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, kept) {
		t.Error("the next Transmit changed an earlier response")
	}
}

func testBusy(t *testing.T, r cardreader.Reader) {
	connect(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := r.Connect(ctx)
	if err == nil {
		// A reader may serve several cards at a time; then both must work.
		defer func() { _ = c.Close() }()
		if _, err := c.Transmit(t.Context(), selectUnknown); err != nil {
			t.Errorf("the second card of the reader does not work: %v", err)
		}
		return
	}
	if !errors.Is(err, cardreader.ErrBusy) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second Connect: %v, want ErrBusy, or to wait for another card", err)
	}
}

func testReconnect(t *testing.T, r cardreader.Reader) {
	for range 3 {
		c, err := r.Connect(t.Context())
		if err != nil {
			t.Fatalf("Connect after Close: %v", err)
		}
		if _, err := c.Transmit(t.Context(), selectUnknown); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

func testCloseTwice(t *testing.T, r cardreader.Reader) {
	old := connect(t, r)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	c := connect(t, r)
	if err := old.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := c.Transmit(t.Context(), selectUnknown); err != nil {
		t.Errorf("the second Close of an old card broke the new one: %v", err)
	}
}

func testClosed(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(t.Context(), selectUnknown); !errors.Is(err, cardreader.ErrClosed) {
		t.Errorf("Transmit after Close: %v, want ErrClosed", err)
	}
	if x, ok := c.(cardreader.Resetter); ok {
		if _, err := x.Reset(t.Context()); !errors.Is(err, cardreader.ErrClosed) {
			t.Errorf("Reset after Close: %v, want ErrClosed", err)
		}
	}
}

func testContext(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if _, err := c.Transmit(ctx, selectUnknown); !errors.Is(err, context.Canceled) {
		t.Errorf("Transmit with an ended context: %v, want context.Canceled", err)
	}
	if d := time.Since(start); d > patience+slack {
		t.Errorf("Transmit came back %v after the end of its context", d)
	}
}

func testConnectContext(t *testing.T, r cardreader.Reader) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	c, err := r.Connect(ctx)
	if err == nil {
		_ = c.Close()
		t.Fatal("Connect succeeded with an ended context")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Connect: %v, want context.Canceled", err)
	}
	if d := time.Since(start); d > patience+slack {
		t.Errorf("Connect came back %v after the end of its context", d)
	}
}

// testCloseElsewhere closes a card while another goroutine uses it: no panic,
// no hang, and each Transmit either answers or says that the card is closed.
func testCloseElsewhere(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	started := make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		for {
			_, err := c.Transmit(context.Background(), selectUnknown)
			once.Do(func() { close(started) })
			if err != nil {
				done <- err
				return
			}
		}
	}()
	<-started
	_ = c.Close()
	select {
	case err := <-done:
		if !errors.Is(err, cardreader.ErrClosed) {
			t.Errorf("Transmit under a Close: %v, want ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Close did not release Transmit")
	}
}

func testReset(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	x, ok := c.(cardreader.Resetter)
	if !ok {
		return // an ability that a card need not have
	}
	atr, err := x.Reset(t.Context())
	if err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if !bytes.Equal(atr, c.ATR()) {
		t.Errorf("Reset returned % X, ATR says % X", atr, c.ATR())
	}
	if _, err := c.Transmit(t.Context(), selectUnknown); err != nil {
		t.Errorf("Transmit after Reset: %v", err)
	}
}

func testRemoval(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	x, ok := c.(cardreader.RemovalWaiter)
	if !ok {
		return // an ability that a card need not have
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if err := x.WaitRemoval(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("WaitRemoval with an ended context: %v, want context.Canceled", err)
	}
	if d := time.Since(start); d > patience+slack {
		t.Errorf("WaitRemoval came back %v after the end of its context", d)
	}
}

func testAbilities(t *testing.T, r cardreader.Reader) {
	c := connect(t, r)
	if x, ok := c.(cardreader.Protocoler); ok && x.Protocol() > cardreader.TCL {
		t.Errorf("Protocol: %d is none", x.Protocol())
	}
	if x, ok := c.(cardreader.Interfacer); ok && x.Interface() > cardreader.Contactless {
		t.Errorf("Interface: %d is none", x.Interface())
	}
}
