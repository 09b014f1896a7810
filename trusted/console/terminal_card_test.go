//go:build linux

package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/trusted"
)

// steps types keys, each after something was shown that was not there before.
func (y *tty) steps(pairs ...string) {
	y.t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		y.until(pairs[i])
		y.types(pairs[i+1])
	}
}

// parts is what was shown on the first screen, and on the other.
func (y *tty) parts() (before, entry, after string) {
	y.t.Helper()
	s := y.text()
	begin, end := strings.Index(s, otherScreen), strings.LastIndex(s, backAgain)
	if begin < 0 || end < begin {
		y.t.Fatalf("no screen of its own: %q", s)
	}
	return s[:begin], s[begin+len(otherScreen) : end], s[end+len(backAgain):]
}

// TestTerminalKeyCard: the number in groups while it is typed and masked when it
// is finished, the code never, keys that take back, and nothing left of it.
func TestTerminalKeyCard(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	go y.steps(
		"Card number", "999.4761x73909\x7f-0\x7f0010\t100100\r",
		"This is no card number", "99\x151.476173-39001017\x7f0010\r",
		"Expiry date", "13315\r",
		"This is no expiry date", "1231\r",
		"Security code", "12\r",
		"This is no security code", "98765\r",
	)
	got, err := c.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount})
	if err != nil {
		t.Fatal(err)
	}
	// The fifth digit of a code does nothing.
	if s := revealed(got); s != testPAN+" 3112 9876" {
		t.Errorf("%s", s)
	}
	if err := c.Notify(t.Context(), trusted.Notice{Message: trusted.MessageApproved}); err != nil {
		t.Fatal(err)
	}
	y.until("Approved")
	before, entry, after := y.parts()
	for _, where := range []string{before, after} {
		if strings.ContainsAny(where, "0123456789*") {
			t.Errorf("outside of the entry the screen shows %q", where)
		}
	}
	expiryAt := strings.Index(entry, "Expiry date")
	if !strings.Contains(entry[:expiryAt], wipeLine+"4761 7390 0101 0010") {
		t.Errorf("the number was not seen in groups: %q", entry[:expiryAt])
	}
	finished := entry[expiryAt-len(maskedIn)-10:]
	if strings.Contains(finished, "7390") || strings.Count(finished, maskedIn) != 4 || !strings.Contains(finished, "12/31") {
		t.Errorf("the number is not masked when it is finished: %q", finished)
	}
	codes := strings.ReplaceAll(entry[strings.Index(entry, "Security code"):], maskedIn, "")
	for _, digits := range []string{"98", "87", "76", "65"} {
		if strings.Contains(codes, digits) {
			t.Errorf("the code was shown: %q", codes)
		}
	}
	if !strings.Contains(codes, wipeLine+"****") || strings.Contains(codes, "*****") {
		t.Errorf("the code's length was not shown: %q", codes)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
}

// TestTerminalEntriesCancelled: at each field, by each key, and the screen is
// wiped.
func TestTerminalEntriesCancelled(t *testing.T) {
	for _, key := range []string{"!", "\x1b", "\x03"} {
		for name, steps := range map[string][]string{
			"number": {"Card number", "4761" + key},
			"expiry": {"Card number", testPAN + "\r", "Expiry date", "12" + key},
			"code":   {"Card number", testPAN + "\r", "Expiry date", "1231\r", "Security code", "98" + key},
			"tip":    {"Tip?", "1" + key},
		} {
			y := newTTY(t, 40)
			c := y.console()
			go y.steps(steps...)
			var err error
			if name == "tip" {
				_, err = c.Tip(t.Context(), tipPrompt(t, "EUR", 1234, 200))
			} else {
				var card trusted.KeyedCard
				card, err = c.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount})
				if !card.PAN.IsZero() {
					t.Errorf("%s: a card beside an error", name)
				}
			}
			if !errors.Is(err, trusted.ErrCancelled) {
				t.Errorf("%s, %q: %v", name, key, err)
			}
			if !y.echoes() {
				t.Error("the terminal was left without echo")
			}
			y.until(backAgain)
		}
	}
}

// TestTerminalEntryGivenUp: a card that comes meanwhile ends the entry, and wipes
// the screen.
func TestTerminalEntryGivenUp(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		y.steps("Card number", "47617390")
		y.until("4761 7390")
		cancel()
	}()
	if _, err := c.KeyCard(ctx, trusted.CardPrompt{Amount: sale(t).Amount}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	y.until(backAgain)
	if _, _, after := y.parts(); after != "" {
		t.Errorf("after the entry the screen shows %q", after)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
}

// TestTypedAheadOfEntry: digits that were pressed before the question stood are
// none of the number.
func TestTypedAheadOfEntry(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	c.in, c.settle = strings.NewReader(testPAN+"\r1231\r123\r"), time.Hour
	if _, err := c.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount}); !errors.Is(err, ErrInputClosed) {
		t.Errorf("early keys were taken: %v", err)
	}
}

// TestTerminalTip: what a percentage comes to is seen while it is typed.
func TestTerminalTip(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	go y.steps("At most EUR 2.00", "5#50%\r", "not possible", "zz10x%\r")
	got, err := c.Tip(t.Context(), tipPrompt(t, "EUR", 1234, 200))
	if err != nil || got.Minor != 123 {
		t.Errorf("%v %v", got, err)
	}
	y.until(backAgain)
	_, entry, _ := y.parts()
	if !strings.Contains(entry, wipeLine+"10% = EUR\u00a01.23") || strings.Contains(entry, "z") {
		t.Errorf("the screen shows %q", entry)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
}

// locked is a screen that is no terminal.
type locked struct {
	mu   sync.Mutex
	more *sync.Cond
	b    bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more.Broadcast()
	return l.b.Write(b)
}

func (l *locked) until(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !strings.Contains(l.b.String(), s) {
		l.more.Wait()
	}
}

// TestKeyboardAlone: where keys come from a terminal and the screen is none, the
// terminal does not show by itself what is typed of a card.
func TestKeyboardAlone(t *testing.T) {
	y := newTTY(t, 40)
	out := &locked{}
	out.more = sync.NewCond(&out.mu)
	c := New(Config{In: y.end, Out: out})
	if c.fd >= 0 || c.echo < 0 {
		t.Fatal("taken for a terminal, or not for a keyboard")
	}
	go func() {
		for _, s := range []struct{ shown, typed string }{{"Card number", "47\x7f7617390\x7f0x\r"}, {"no card number", "4761739\x7f9001010010\r"}, {"Expiry", "1231\r"}, {"Security", "987\r"}} {
			out.until(s.shown)
			for y.echoes() {
				runtime.Gosched()
			}
			y.types(s.typed)
		}
	}()
	got, err := c.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount})
	if err != nil || revealed(got) != testPAN+" 3112 987" {
		t.Errorf("%v", err)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
	if _, err := io.WriteString(y.end, "end"); err != nil {
		t.Fatal(err)
	}
	y.until("end")
	if strings.ContainsAny(y.text(), "0123456789") {
		t.Errorf("the terminal shows %q", y.text())
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	hides(t, out.b.String(), testPAN)
}
