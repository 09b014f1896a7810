package emv_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/simcard"
)

// recording is what a card answered, in order.
type recording struct {
	commands, answers [][]byte
	auth              []byte // tag 91
}

// tape plays a recording, and spoils one answer.
type tape struct {
	r     *recording
	n     int
	at    int
	spoil func([]byte) []byte
}

func (c *tape) ATR() []byte  { return nil }
func (c *tape) Close() error { return nil }

func (c *tape) Transmit(context.Context, []byte) ([]byte, error) {
	if c.n >= len(c.r.answers) {
		// A kernel that took another way than the recorded one gets a card
		// that has no more to say.
		if c.n++; c.n > 1000 {
			return nil, errEndless
		}
		return []byte{0x6F, 0x00}, nil
	}
	b := c.r.answers[c.n]
	if c.n == c.at {
		b = c.spoil(bytes.Clone(b))
	}
	c.n++
	return bytes.Clone(b), nil
}

var errEndless = errors.New("the kernel does not end")

// record runs a software card to the end.
func recordCard(t testing.TB, profile string) *recording {
	t.Helper()
	r := &recording{}
	card := &spoiler{Card: sim(t, profile, nil), spoil: func(_ int, cmd, resp []byte) []byte {
		r.commands, r.answers = append(r.commands, bytes.Clone(cmd)), append(r.answers, bytes.Clone(resp))
		return resp
	}}
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	s, err := kernel(t, h, nil).Start(t.Context(), card, emv.Transaction{Amount: euros(t, 1234), Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.Authorize()
	i := newIssuer(t, profile, s.Outcome().AID, a)
	r.auth = i.answer(i.verify(a.Field55()), "00")
	if _, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: r.auth}); err != nil {
		t.Fatal(err)
	}
	return r
}

// play runs a kernel against a tape and returns how it ended.
func play(k *emv.Kernel, c cardreader.Card, auth []byte) (emv.Outcome, error) {
	s, err := k.Start(context.Background(), c, emv.Transaction{Amount: eur(1234), Counter: 1})
	if err != nil {
		return emv.Outcome{}, err
	}
	defer s.Close()
	if s.Decision() != emv.Online {
		return s.Outcome(), nil
	}
	return s.Complete(context.Background(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: auth})
}

// typed reports whether an error is one that Start and Complete document.
func typed(err error) bool {
	var ce *emv.CardError
	var se *emv.StatusError
	return errors.As(err, &ce) || errors.As(err, &se) || errors.Is(err, emv.ErrNoApplication) || errors.Is(err, emv.ErrCardBlocked)
}

// TestEveryByte changes every byte of every answer of recorded transactions, and
// cuts every answer at every length: the kernel ends with an outcome or a typed
// error that holds nothing of the card.
func TestEveryByte(t *testing.T) {
	for _, profile := range []string{"default", "cda", "sda", "pdol"} {
		t.Run(profile, func(t *testing.T) {
			r := recordCard(t, profile)
			h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
			runs, approved := 0, 0
			check := func(at int, what string, spoil func([]byte) []byte) {
				runs++
				// The numbers of the recording, so that signatures verify.
				k := kernel(t, h, nil)
				o, err := play(k, &tape{r: r, at: at, spoil: spoil}, r.auth)
				if err != nil && !typed(err) {
					t.Errorf("answer %d, %s: error %v", at, what, err)
				}
				if err == nil && o.Decision == emv.Approved {
					approved++
				}
				text := fmt.Sprint(err, o.Reasons)
				if strings.Contains(text, "47617390") {
					t.Errorf("answer %d, %s: the PAN is in %s", at, what, text)
				}
			}
			for at, b := range r.answers {
				for i := range b {
					for _, x := range []byte{0x01, 0x80, 0xFF} {
						check(at, fmt.Sprintf("byte %d xor %02X", i, x), func(b []byte) []byte { b[i] ^= x; return b })
					}
					check(at, fmt.Sprintf("cut at %d", i), func(b []byte) []byte { return b[:i] })
				}
				check(at, "a byte more", func(b []byte) []byte { return append(b, 0x00) })
			}
			t.Logf("%d runs, %d still approved", runs, approved)
		})
	}
}

// TestCombinedCoversEverything counts for CDA: no change of a byte of the answers from
// GET PROCESSING OPTIONS on that the signatures cover ends in an approval that
// says CDA is fine.
func TestCombinedCoversEverything(t *testing.T) {
	r := recordCard(t, "cda")
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	for at, b := range r.answers {
		if r.commands[at][1] != 0xAE {
			continue
		}
		for i := range len(b) - 2 {
			k := kernel(t, h, nil)
			o, err := play(k, &tape{r: r, at: at, spoil: func(b []byte) []byte { b[i] ^= 0x10; return b }}, r.auth)
			if err == nil && o.Decision == emv.Approved && o.ODA.OK {
				t.Errorf("GENERATE AC answer %d, byte %d of %s changed: approved with %s", at, i, hex.EncodeToString(b), o.ODA)
			}
		}
	}
}

// TestRemoved takes the card out at each command: the error of the card comes
// through, and nothing is approved.
func TestRemoved(t *testing.T) {
	r := recordCard(t, "default")
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	for at := range r.answers {
		for _, cause := range []error{cardreader.ErrCardRemoved, cardreader.ErrCardMute, context.Canceled} {
			c := &gone{tape{r: r, at: -1}, at, cause}
			o, err := play(kernel(t, h, nil), c, r.auth)
			if !errors.Is(err, cause) || errors.Is(err, emv.ErrCard) || o.Decision == emv.Approved {
				t.Errorf("command %d: %s, error %v", at, o.Decision, err)
			}
		}
	}
}

type gone struct {
	tape
	when  int
	cause error
}

func (g *gone) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if g.n == g.when {
		return nil, fmt.Errorf("reader: %w", g.cause)
	}
	return g.tape.Transmit(ctx, b)
}

// TestContext ends a transaction whose context is over without another command.
func TestContext(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.card.transport = func(n int, _ apdu.Command) error {
		if n == 4 {
			cancel()
		}
		return nil
	}
	k := kernel(t, b.holder, func(c *emv.Config) { c.Terminal = b.term })
	_, err := k.Start(ctx, b.card, b.trade)
	if !errors.Is(err, context.Canceled) || len(b.card.log) > 5 {
		t.Errorf("error %v after %d commands", err, len(b.card.log))
	}
}
