package simcard_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
)

func TestParseFaults(t *testing.T) {
	for _, tt := range []struct {
		text string
		want simcard.Faults
	}{
		{"", nil},
		{"  ", nil},
		{"remove@first-gac", simcard.Faults{{Action: simcard.Remove, At: simcard.OnFirstGAC, Nth: 1}}},
		{"remove-after@second-gac, mute@select:2", simcard.Faults{
			{Action: simcard.RemoveAfter, At: simcard.OnSecondGAC, Nth: 1}, {Action: simcard.Mute, At: simcard.OnSelect, Nth: 2}}},
		{"delay=150ms@command:7", simcard.Faults{{Action: simcard.Delay, At: simcard.AnyCommand, Nth: 7, Wait: 150 * time.Millisecond}}},
		{"delay=2s@gpo", simcard.Faults{{Action: simcard.Delay, At: simcard.OnGPO, Nth: 1, Wait: 2 * time.Second}}},
		{"corrupt@gpo,corrupt=0@gpo", simcard.Faults{
			{Action: simcard.Corrupt, At: simcard.OnGPO, Nth: 1, Number: -1}, {Action: simcard.Corrupt, At: simcard.OnGPO, Nth: 1}}},
		{"short=0@verify", simcard.Faults{{Action: simcard.Short, At: simcard.OnVerify, Nth: 1}}},
		{"sw=6985@gpo", simcard.Faults{{Action: simcard.WrongSW, At: simcard.OnGPO, Nth: 1, Number: 0x6985}}},
		{"replay@read-record:3,malformed@script", simcard.Faults{
			{Action: simcard.Replay, At: simcard.OnReadRecord, Nth: 3}, {Action: simcard.Malformed, At: simcard.OnScript, Nth: 1}}},
	} {
		got, err := simcard.ParseFaults(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q: (-want +got)\n%s", tt.text, d)
		}
		again, err := simcard.ParseFaults(got.String())
		if err != nil {
			t.Errorf("%q comes back as %q: %v", tt.text, got.String(), err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Errorf("%q comes back as %q: %s", tt.text, got.String(), d)
		}
	}
	for _, bad := range []string{
		"remove", "remove@", "@gpo", "explode@gpo", "remove@nowhere", "remove=1@gpo", "remove@gpo:0", "remove@gpo:x", "remove@gpo:99999",
		"delay=soon@gpo", "delay=-1s@gpo", "delay=11m@gpo", "corrupt=-1@gpo", "corrupt=258@gpo", "corrupt=x@gpo", "short=-1@gpo",
		"sw=90@gpo", "sw=90000@gpo", "sw=zzzz@gpo", "remove@gpo,", ",",
	} {
		if _, err := simcard.ParseFaults(bad); !errors.Is(err, simcard.ErrFault) {
			t.Errorf("%q: %v, want ErrFault", bad, err)
		}
	}
}

func connect(t *testing.T, c *simcard.Card) (*simcard.Reader, cardreader.Card) {
	t.Helper()
	r := c.Reader("test")
	x, err := r.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return r, x
}

func encoded(t *testing.T, c apdu.Command) []byte {
	t.Helper()
	b, err := c.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each action, at GET PROCESSING OPTIONS: what the terminal gets, and whether
// the card carried the command out, which its counter tells.
func TestFaults(t *testing.T) {
	sel := apdu.Select(profile(t, "default").Applications[0].AID, false)
	gpo := apdu.GetProcessingOptions([]byte{0x83, 0x00})
	plain := card(t, "default")
	fci := append(must(t, plain, sel), 0x90, 0x00)
	options := append(must(t, plain, gpo), 0x90, 0x00)
	change := func(at int, to byte) []byte {
		b := bytes.Clone(options)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		fault string
		want  []byte
		err   error
		done  bool
	}{
		{"remove@gpo", nil, cardreader.ErrCardRemoved, false},
		{"remove-after@gpo", nil, cardreader.ErrCardRemoved, true},
		{"mute@gpo", nil, cardreader.ErrCardMute, false},
		{"delay=1ms@gpo", options, nil, true},
		{"corrupt@gpo", change(8, options[8]^1), nil, true},
		{"corrupt=0@gpo", change(0, 0x81), nil, true},
		{"corrupt=200@gpo", options, nil, true},
		{"short@gpo", options[:1], nil, true},
		{"short=0@gpo", nil, nil, true},
		{"short=99@gpo", options, nil, true},
		{"sw=6985@gpo", []byte{0x69, 0x85}, nil, false},
		{"replay@gpo", fci, nil, false},
		{"malformed@gpo", change(1, 0x85), nil, true},
		{"remove@command:2", nil, cardreader.ErrCardRemoved, false},
		{"remove@gpo:2", options, nil, true},
		{"remove@verify", options, nil, true},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			f, err := simcard.ParseFaults(tt.fault)
			if err != nil {
				t.Fatal(err)
			}
			c := newCard(t, profile(t, "default"), simcard.Options{Faults: f})
			r, x := connect(t, c)
			if _, err := x.Transmit(t.Context(), encoded(t, sel)); err != nil {
				t.Fatal(err)
			}
			before := counter(t, c)
			got, err := x.Transmit(t.Context(), encoded(t, gpo))
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("% X, want % X", got, tt.want)
			}
			if tt.err != nil {
				if _, err := x.Transmit(t.Context(), encoded(t, sel)); !errors.Is(err, tt.err) {
					t.Errorf("the next command: %v, want %v", err, tt.err)
				}
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				// The card put in again works, and the fault does not come back.
				if x, err = r.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, err := x.Transmit(t.Context(), encoded(t, sel)); err != nil || !bytes.Equal(got, fci) {
					t.Errorf("after reinsertion: % X, %v", got, err)
				}
			}
			if done := counter(t, c) != before; done != tt.done {
				t.Errorf("carried out: %v, want %v", done, tt.done)
			}
		})
	}
}

// counter reads the transaction counter of the selected application from the
// card's state, without a command that a fault could count.
func counter(t *testing.T, c *simcard.Card) uint16 {
	t.Helper()
	return simcard.Counter(c)
}

func TestFaultsBeforeAndAtBothGACs(t *testing.T) {
	p := profile(t, "default")
	for _, tt := range []struct {
		fault         string
		first, second error
	}{
		{"remove@first-gac", cardreader.ErrCardRemoved, nil},
		{"remove-after@first-gac", cardreader.ErrCardRemoved, nil},
		{"remove@second-gac", nil, cardreader.ErrCardRemoved},
		{"remove-after@second-gac", nil, cardreader.ErrCardRemoved},
	} {
		f, err := simcard.ParseFaults(tt.fault)
		if err != nil {
			t.Fatal(err)
		}
		c := newCard(t, p, simcard.Options{Faults: f})
		_, x := connect(t, c)
		do := func(cmd apdu.Command) error {
			_, err := x.Transmit(t.Context(), encoded(t, cmd))
			return err
		}
		_ = do(apdu.Select(p.Applications[0].AID, false))
		_ = do(apdu.GetProcessingOptions([]byte{0x83, 0x00}))
		err = do(apdu.GenerateAC(apdu.RefARQC, sale().fill(t, p.Applications[0].CDOL1)))
		if !errors.Is(err, tt.first) {
			t.Errorf("%s: first: %v, want %v", tt.fault, err, tt.first)
		}
		if tt.first != nil {
			continue
		}
		err = do(apdu.GenerateAC(apdu.RefAAC, sale().fill(t, p.Applications[0].CDOL2)))
		if !errors.Is(err, tt.second) {
			t.Errorf("%s: second: %v, want %v", tt.fault, err, tt.second)
		}
	}
}

// A slow card can be given up: by its context, by Close, by a removal.
func TestInterruptedDelay(t *testing.T) {
	sel := encoded(t, apdu.Select(profile(t, "default").Applications[0].AID, false))
	for _, tt := range []struct {
		name string
		stop func(r *simcard.Reader, x cardreader.Card, cancel context.CancelFunc)
		want error
	}{
		{"context", func(_ *simcard.Reader, _ cardreader.Card, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"close", func(_ *simcard.Reader, x cardreader.Card, _ context.CancelFunc) { _ = x.Close() }, cardreader.ErrClosed},
		{"removal", func(r *simcard.Reader, _ cardreader.Card, _ context.CancelFunc) { r.Remove() }, cardreader.ErrCardRemoved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, profile(t, "default"), simcard.Options{Delay: time.Hour})
			r, x := connect(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := x.Transmit(ctx, sel)
				done <- err
			}()
			tt.stop(r, x, cancel)
			select {
			case err := <-done:
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Transmit was not released")
			}
		})
	}
}

func TestReaderWithoutCard(t *testing.T) {
	c := card(t, "default")
	r, x := connect(t, c)
	r.Remove()
	if _, err := x.Transmit(t.Context(), make([]byte, 5)); !errors.Is(err, cardreader.ErrCardRemoved) {
		t.Errorf("Transmit: %v", err)
	}
	_ = x.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Connect without a card: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		y, err := r.Connect(t.Context())
		if err == nil {
			err = y.Close()
		}
		done <- err
	}()
	r.Insert()
	if err := <-done; err != nil {
		t.Errorf("Connect after Insert: %v", err)
	}
}

func TestWaitRemoval(t *testing.T) {
	c := card(t, "default")
	r, x := connect(t, c)
	if err := x.(cardreader.RemovalWaiter).WaitRemoval(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Transmit(t.Context(), make([]byte, 5)); !errors.Is(err, cardreader.ErrCardRemoved) {
		t.Errorf("Transmit: %v", err)
	}
	_ = x.Close()
	if _, err := r.Connect(t.Context()); err != nil {
		t.Errorf("the cardholder does not put the card in again: %v", err)
	}
}

// The answer to reset, by the rules of ISO/IEC 7816-3 and Book 1, 8.
func TestATR(t *testing.T) {
	for name, want := range map[string]string{
		"default": "3B E7 00 00 81 31 FE 45 50 41 59 55 4E 49 54",
		"t0":      "3B 67 00 00 50 41 59 55 4E 49 54",
	} {
		atr := card(t, name).ATR()
		body := unhex(t, want)
		if !bytes.HasPrefix(atr, body) {
			t.Errorf("%s: % X", name, atr)
		}
		var x byte
		for _, b := range atr[1:] {
			x ^= b
		}
		if name == "default" && (len(atr) != len(body)+1 || x != 0) {
			t.Errorf("%s: % X, check byte does not fit", name, atr)
		}
		if name == "t0" && len(atr) != len(body) {
			t.Errorf("%s: % X, T=0 alone has no check byte", name, atr)
		}
	}
}
