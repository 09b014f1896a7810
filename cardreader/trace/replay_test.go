package trace_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/trace"
)

func TestReplay(t *testing.T) {
	tr := exchange(t, "00A40400 02 A000 00", "6A82", "80CA9F1700", "9F170103 9000", "0020008008 241234FFFFFFFFFF", "9000")
	sel, get, verify := unhex(t, "00A4040002A00000"), unhex(t, "80CA9F1700"), unhex(t, "0020008008241234FFFFFFFFFF")
	for _, tt := range []struct {
		name   string
		match  trace.Match
		send   []string
		reason string // of the last command, "" when it is answered
	}{
		{"as recorded", trace.MatchCommand, []string{"00A4040002A00000", "80CA9F1700", "0020008008241234FFFFFFFFFF"}, ""},
		{"another header", trace.MatchCommand, []string{"00A4040002A00000", "80CA9F3600"}, "command 80CA9F36, the trace has 80CA9F17"},
		{"other data", trace.MatchCommand, []string{"00A4040002A00100"}, "differs at byte 6"},
		{"another length", trace.MatchCommand, []string{"00A4040003A0000000"}, "9 bytes, the trace has 8"},
		{"another Le", trace.MatchCommand, []string{"00A4040002A00001"}, "differs at byte 7"},
		{"after the end", trace.MatchCommand, []string{"00A4040002A00000", "80CA9F1700", "0020008008241234FFFFFFFFFF", "80CA9F1700"}, "after the last one"},
		{"out of order", trace.MatchCommand, []string{"80CA9F1700"}, "the trace has 00A40400"},
		{"header, other data", trace.MatchHeader, []string{"00A4040002A00000", "80CA9F17", "0020008008249999FFFFFFFFFF"}, ""},
		{"header, another application", trace.MatchHeader, []string{"00A4040002A00100"}, "differs at byte 1"},
		{"header, SELECT without Le", trace.MatchHeader, []string{"00A4040002A000"}, ""},
		{"header, an exchange passed over", trace.MatchHeader, []string{"80CA9F1700"}, ""},
		{"header, not backwards", trace.MatchHeader, []string{"00A4040002A00000", "0020008008249999FFFFFFFFFF", "80CA9F1700"}, "after the last one"},
		{"header, another P2", trace.MatchHeader, []string{"00A4040202A00000"}, "the trace has 00A40400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := tr.Clone()
			tr.Match = tt.match
			c := trace.NewCard(tr)
			var err error
			for i, s := range tt.send {
				if _, err = c.Transmit(t.Context(), unhex(t, s)); err != nil && i < len(tt.send)-1 {
					t.Fatalf("command %d: %v", i+1, err)
				}
			}
			if tt.reason == "" {
				if err != nil || c.Err() != nil || c.Unused() != len(tr.Exchanges)-len(tt.send) {
					t.Errorf("%v, %v, %d unused", err, c.Err(), c.Unused())
				}
				return
			}
			var m *trace.Mismatch
			if !errors.As(err, &m) || !errors.Is(err, trace.ErrUnexpected) || m.Exchange < len(tt.send) || m.Exchange > len(tt.send)+1 || !strings.Contains(m.Reason, tt.reason) {
				t.Fatalf("%v, want %s", err, tt.reason)
			}
			if !errors.Is(c.Err(), trace.ErrUnexpected) {
				t.Errorf("Err: %v", c.Err())
			}
			// It does not come back to life.
			if _, again := c.Transmit(t.Context(), unhex(t, "00A4040002A00000")); !errors.Is(again, trace.ErrUnexpected) {
				t.Errorf("the next command: %v", again)
			}
		})
	}
	// A masked trace compares what masking leaves.
	masked := tr.Mask()
	masked.Match = trace.MatchCommand
	c := trace.NewCard(masked)
	for _, b := range [][]byte{sel, get, verify} {
		if _, err := c.Transmit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if verify[6] != 0x12 {
		t.Error("the caller's PIN block was overwritten")
	}
}

// TestMismatchShowsNoData: not even when the command is a PIN.
func TestMismatchShowsNoData(t *testing.T) {
	c := trace.NewCard(exchange(t, "0020008008 241234FFFFFFFFFF", "9000"))
	_, err := c.Transmit(t.Context(), unhex(t, "0020008008 245678FFFFFFFFFF"))
	if err == nil || strings.Contains(err.Error(), "5678") || strings.Contains(err.Error(), "1234") {
		t.Error(err)
	}
}

func TestReplayIsACard(t *testing.T) {
	tr := parse(t, small)
	r := trace.NewReader("a trace", tr)
	if r.Name() != "a trace" {
		t.Errorf("name %q", r.Name())
	}
	c, err := r.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Connect(t.Context()); !errors.Is(err, cardreader.ErrBusy) {
		t.Errorf("second Connect: %v, want ErrBusy", err)
	}
	if c.(cardreader.Protocoler).Protocol() != cardreader.T0 || c.(cardreader.Interfacer).Interface() != cardreader.Contact {
		t.Error("protocol or interface")
	}
	atr := c.ATR()
	clear(atr)
	if c.ATR()[0] != 0x3B {
		t.Error("a change of the returned ATR changed the card's")
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4}); !errors.Is(err, cardreader.ErrProtocol) {
		t.Errorf("three bytes: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Transmit(ctx, unhex(t, "00A40400")); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := r.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Connect with an ended context: %v", err)
	}
	resp, err := c.Transmit(t.Context(), tr.Exchanges[0].Command)
	if err != nil {
		t.Fatal(err)
	}
	clear(resp)
	if tr.Exchanges[0].Response[0] != 0x6A {
		t.Error("a change of the response changed the trace")
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Transmit(t.Context(), unhex(t, "00A40400")); !errors.Is(err, cardreader.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	again, err := r.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Transmit(t.Context(), tr.Exchanges[0].Command); err != nil {
		t.Errorf("the second card does not begin at the start: %v", err)
	}
}

// nokeys is a terminal without keys.
type nokeys struct{}

func (nokeys) CAKey(oda.RID, byte) (oda.CAKey, bool) { return oda.CAKey{}, false }
func (nokeys) Revoked(oda.RID, byte, [3]byte) bool   { return false }
