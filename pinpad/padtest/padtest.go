// Package padtest is the contract test of PIN pads: any pinpad.Pad has to pass
// Run, whatever keypad it has.
package padtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad"
)

// Cardholder is what somebody does at every entry: first what is true of Bypasses,
// then the PIN and enter; or nothing more, or cancel.
type Cardholder struct {
	// PIN is ASCII digits.
	PIN string
	// Bypasses presses bypass before anything else.
	Bypasses bool
	// Cancels presses cancel in place of enter.
	Cancels bool
	// Waits presses no key after the PIN, and calls Asked first.
	Waits bool
	Asked func()
}

// Fixture makes what is tested.
type Fixture struct {
	// Pad makes a pad that is ready for online and offline PINs, at which a
	// cardholder does the same at every entry.
	Pad func(t testing.TB, c Cardholder) pinpad.Pad
	// Decrypt is the issuer's side of the pad's keys.
	Decrypt func(t testing.TB, b pinpad.EncryptedBlock, pan secret.PAN) (secret.Bytes, error)
}

// Run tests a pad against the contract of pinpad.Pad.
func Run(t *testing.T, f Fixture) {
	for name, test := range map[string]func(*testing.T, Fixture){
		"online": online, "endings": endings, "cancellation": cancellation, "plaintext": plaintext, "enciphered": enciphered, "broken card": brokenCard,
	} {
		t.Run(name, func(t *testing.T) { test(t, f) })
	}
}

const digits = "948271635082"

func number(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// silent fails when an error tells a PIN.
func silent(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), digits[:4])) {
		t.Errorf("the error tells the PIN: %v", err)
	}
}

// online: blocks of PINs of every length decrypt, for their PAN alone, and no key
// serial number comes twice.
func online(t *testing.T, f Fixture) {
	pan, other := number(t, "4761739001010010"), number(t, "4761739001010028")
	for n := 4; n <= 12; n++ {
		pad := f.Pad(t, Cardholder{PIN: digits[:n]})
		seen := map[string]bool{}
		for range 2 {
			b, err := pad.OnlinePIN(t.Context(), pinpad.Prompt{}, pan)
			if err != nil {
				t.Fatalf("%d digits: %v", n, err)
			}
			want := map[uint8]int{0: 8, 3: 8, 4: 16}[b.Format]
			if want == 0 || len(b.Block) != want || len(b.KSN) != 10 && len(b.KSN) != 12 {
				t.Fatalf("format %d: block of %d bytes, KSN of %d", b.Format, len(b.Block), len(b.KSN))
			}
			if seen[string(b.KSN)] {
				t.Errorf("KSN %X came twice", b.KSN)
			}
			seen[string(b.KSN)] = true
			got, err := f.Decrypt(t, b, pan)
			if err != nil || string(got.Reveal()) != digits[:n] {
				t.Errorf("%d digits: decrypts to another PIN: %v", n, err)
			}
			if got, err := f.Decrypt(t, b, other); err == nil && string(got.Reveal()) == digits[:n] {
				t.Errorf("%d digits: the block opens for another PAN", n)
			}
		}
	}
}

// endings: cancel and bypass end both kinds of entry, bypass where it is allowed.
func endings(t *testing.T, f Fixture) {
	for _, c := range []struct {
		name    string
		holder  Cardholder
		allowed bool
		want    error
	}{
		{"cancel", Cardholder{PIN: digits[:4], Cancels: true}, true, pinpad.ErrCancelled},
		{"bypass", Cardholder{PIN: digits[:4], Bypasses: true}, true, pinpad.ErrBypassed},
		{"bypass that is not allowed", Cardholder{PIN: digits[:4], Bypasses: true, Cancels: true}, false, pinpad.ErrCancelled},
	} {
		pad, p := f.Pad(t, c.holder), pinpad.Prompt{AllowBypass: c.allowed}
		b, err := pad.OnlinePIN(t.Context(), p, number(t, "4761739001010010"))
		if !errors.Is(err, c.want) || b.Block != nil || b.KSN != nil {
			t.Errorf("%s, online: %v, want %v", c.name, err, c.want)
		}
		silent(t, err)
		card := &card{answer: 0x9000}
		_, err = pad.OfflinePIN(t.Context(), p, card, nil)
		if !errors.Is(err, c.want) || card.sent != nil {
			t.Errorf("%s, offline: %v, want %v; the card got %d bytes", c.name, err, c.want, len(card.sent))
		}
		silent(t, err)
	}
}

// cancellation: an entry ends with its context, and another can't begin before it
// has ended, but after it.
func cancellation(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pan := number(t, "4761739001010010")
	var pad pinpad.Pad
	pad = f.Pad(t, Cardholder{PIN: digits[:6], Waits: true, Asked: func() {
		if _, err := pad.OnlinePIN(t.Context(), pinpad.Prompt{}, pan); !errors.Is(err, pinpad.ErrUnavailable) {
			t.Errorf("a second entry: %v", err)
		}
		cancel()
	}})
	b, err := pad.OnlinePIN(ctx, pinpad.Prompt{}, pan)
	if !errors.Is(err, context.Canceled) || errors.Is(err, pinpad.ErrCancelled) || b.Block != nil {
		t.Errorf("%v", err)
	}
	silent(t, err)
	if _, err := pad.OnlinePIN(ctx, pinpad.Prompt{}, pan); !errors.Is(err, context.Canceled) {
		t.Errorf("begun after the end: %v", err)
	}
}

// card answers VERIFY with a status word, and GET CHALLENGE with a number.
type card struct {
	cardreader.Card
	answer apdu.Status
	err    error
	sent   []byte
}

var challenge = []byte{0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8}

func (c *card) Transmit(_ context.Context, b []byte) ([]byte, error) {
	if b[1] == apdu.INSGetChallenge {
		return append(bytes.Clone(challenge), 0x90, 0x00), nil
	}
	c.sent = bytes.Clone(b)
	if c.err != nil {
		return nil, c.err
	}
	return []byte{byte(c.answer >> 8), byte(c.answer)}, nil
}

// plaintext: the card gets a block of format 2, and its status word comes back as
// it is (EMV 4.4 Book 3, 6.5.12).
func plaintext(t *testing.T, f Fixture) {
	for n := 4; n <= 12; n++ {
		want := []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0x20 | byte(n), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		for i := range n {
			shift := 4 * (1 - i%2)
			want[6+i/2] = want[6+i/2]&^(0x0F<<shift) | (digits[i]-'0')<<shift
		}
		for _, sw := range []apdu.Status{0x9000, 0x63C2, 0x63C0, 0x6983, 0x6984} {
			c := &card{answer: sw}
			got, err := f.Pad(t, Cardholder{PIN: digits[:n]}).OfflinePIN(t.Context(), pinpad.Prompt{}, c, nil)
			if err != nil || got != sw {
				t.Errorf("%d digits: status %s, want %s: %v", n, got, sw, err)
			}
			if !bytes.Equal(c.sent, want) {
				t.Errorf("%d digits: the card got another command than VERIFY with a format 2 block", n)
			}
		}
	}
}

// enciphered: the card gets 7F, the block, its own challenge and padding, under
// its key (EMV 4.4 Book 2, 7.2).
func enciphered(t *testing.T, f Fixture) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key := &oda.PublicKey{Modulus: private.N.Bytes(), Exponent: []byte{1, 0, 1}}
	pad := f.Pad(t, Cardholder{PIN: digits[:4]})
	var before []byte
	for range 2 {
		c := &card{answer: 0x9000}
		if sw, err := pad.OfflinePIN(t.Context(), pinpad.Prompt{}, c, key); err != nil || sw != 0x9000 {
			t.Fatalf("%s, %v", sw, err)
		}
		if len(c.sent) != 5+128 || !bytes.Equal(c.sent[:5], []byte{0x00, 0x20, 0x00, 0x88, 0x80}) {
			t.Fatalf("the card got %d bytes, beginning %X", len(c.sent), c.sent[:min(len(c.sent), 5)])
		}
		plain := new(big.Int).Exp(new(big.Int).SetBytes(c.sent[5:]), private.D, private.N).FillBytes(make([]byte, 128))
		want := append([]byte{0x7F, 0x24, 0x94, 0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, challenge...)
		if !bytes.Equal(plain[:17], want) {
			t.Error("the deciphered data is not of its form")
		}
		if bytes.Equal(plain[17:], before) {
			t.Error("the padding came twice")
		}
		before = plain[17:]
	}
}

// brokenCard: a card that is gone is an error, and tells no PIN.
func brokenCard(t *testing.T, f Fixture) {
	gone := errors.New("the card is gone")
	_, err := f.Pad(t, Cardholder{PIN: digits[:4]}).OfflinePIN(t.Context(), pinpad.Prompt{}, &card{err: gone}, nil)
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	silent(t, err)
}
