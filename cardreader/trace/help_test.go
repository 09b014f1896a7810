package trace_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/trace"
	"github.com/payunit/payunit/payment/money"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stream is a repeatable source of bytes.
type stream struct{ n byte }

func (s *stream) Read(b []byte) (int, error) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return 0, err
	}
	for i := range b {
		var in, out [16]byte
		s.n++
		in[0] = s.n
		block.Encrypt(out[:], in[:])
		b[i] = out[0]
	}
	return len(b), nil
}

func today() time.Time { return time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC) }

// holder enters the PIN that the software cards have.
type holder struct{}

func (holder) Choose(context.Context, []emv.Candidate) (int, error) { return 0, nil }

func (holder) VerifyPIN(ctx context.Context, r emv.PINRequest) (emv.PINResult, error) {
	if r.Method == emv.OnlinePIN {
		return emv.PINResult{Entry: emv.PINEntered}, nil
	}
	block := []byte{0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	resp, err := apdu.Send(ctx, r.Card, apdu.Verify(apdu.VerifyPlaintext, block))
	return emv.PINResult{Entry: emv.PINEntered, Status: resp.SW}, err
}

func caKeys(t testing.TB) *oda.Store {
	t.Helper()
	var b bytes.Buffer
	if err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	s, err := oda.ParseCAPK(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// simulated returns a software card at power-up, the same each time.
func simulated(t testing.TB, profile string) cardreader.Card {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI(), Rand: &stream{n: 7}})
	if err != nil {
		t.Fatal(err)
	}
	card, err := c.Reader("software card").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return card
}

// pay makes a transaction of 12.34 EUR that the issuer can't be asked about.
func pay(t testing.TB, c cardreader.Card) emv.Outcome {
	t.Helper()
	f, err := os.Open("../emv/testdata/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	term, err := emv.ParseTerminal(f)
	if err != nil {
		t.Fatal(err)
	}
	k, err := emv.New(emv.Config{Terminal: term, CAKeys: caKeys(t), PIN: holder{}, Chooser: holder{}, Rand: &stream{}, Now: today})
	if err != nil {
		t.Fatal(err)
	}
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Start(t.Context(), c, emv.Transaction{Amount: money.New(1234, eur), Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Decision() != emv.Online {
		return s.Outcome()
	}
	o, err := s.Complete(t.Context(), emv.HostResponse{Unable: true})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// recorded makes a payment with a recorded card and returns the file.
func recorded(t testing.TB, profile string, o trace.Options) (string, emv.Outcome) {
	t.Helper()
	var b bytes.Buffer
	if o.Now == nil {
		n := 0
		o.Now = func() time.Time {
			n++
			return today().Add(time.Duration(n) * 250 * time.Microsecond)
		}
	}
	c := trace.Record(simulated(t, profile), &b, o)
	outcome := pay(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), outcome
}

func parse(t testing.TB, s string) *trace.Trace {
	t.Helper()
	tr, err := trace.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// closer notes that it was closed.
type closer struct {
	io.Writer
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

// pans are the card numbers of a software card.
func pans(t testing.TB, profile string) []string {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range p.Applications {
		out = append(out, a.PAN)
	}
	return out
}
