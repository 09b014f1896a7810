package simcard

import (
	"context"
	"crypto/des"
	"crypto/subtle"
	"fmt"
	"sync"

	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
)

// Service codes that a card verification value is computed with where it does not
// stand on the stripe.
const servicePrinted = "000"

// cvv is a card verification value of three digits: PAN, expiry and service code
// in 32 digits, the first half enciphered under the left key, the second half
// added, enciphered under both keys, and decimalised.
func cvv(cvk secret.Bytes, pan, expiry, service string) (string, error) {
	if cvk.Len() != 16 {
		return "", fmt.Errorf("%w: the PKI lacks a card verification key of 16 bytes", ErrOptions)
	}
	text := pan + expiry + service
	for len(text) < 32 {
		text += "0"
	}
	in := unhex(text)
	left, err := des.NewCipher(cvk.Reveal()[:8])
	if err != nil {
		return "", fmt.Errorf("simcard: card verification value: %w", err)
	}
	right, err := des.NewCipher(cvk.Reveal()[8:])
	if err != nil {
		return "", fmt.Errorf("simcard: card verification value: %w", err)
	}
	block := in[:8]
	left.Encrypt(block, block)
	subtle.XORBytes(block, block, in[8:])
	left.Encrypt(block, block)
	right.Decrypt(block, block)
	left.Encrypt(block, block)
	digits := hexString(block)
	out := ""
	for _, decimal := range []bool{true, false} {
		for i := 0; i < len(digits) && len(out) < 3; i++ {
			switch c := digits[i]; {
			case decimal && c <= '9':
				out += string(c)
			case !decimal && c > '9':
				out += string(c - 'A' + '0')
			}
		}
	}
	return out, nil
}

// stripe makes the tracks of the card's first application: in the discretionary
// data a PIN verification value of zeros, which nobody asks for, and the card
// verification value.
func (c *Card) stripe() ([]byte, error) {
	a := &c.profile.Applications[0]
	service := fmt.Sprintf("%03d", a.ServiceCode)
	value, err := cvv(c.pki.CVK, a.PAN, a.Expiry[:4], service)
	if err != nil {
		return nil, err
	}
	rest := a.Expiry[:4] + service + "00000" + value
	one, err := magstripe.ParseTrack1([]byte("%B" + a.PAN + "^HOLDER/TEST^" + rest + "?"))
	if err != nil {
		return nil, fmt.Errorf("simcard: %w", err)
	}
	two, err := magstripe.ParseTrack2([]byte(";" + a.PAN + "=" + rest + "?"))
	if err != nil {
		return nil, fmt.Errorf("simcard: %w", err)
	}
	return magstripe.AppendTrack2(one.Append(nil), two), nil
}

// Printed returns what is printed on the card of its first application: number,
// expiry YYMM and card verification value. The caller wipes them. Errors wrap
// ErrOptions.
func (c *Card) Printed() (pan secret.PAN, expiry string, cvv2 secret.Bytes, err error) {
	a := &c.profile.Applications[0]
	value, err := cvv(c.pki.CVK, a.PAN, a.Expiry[:4], servicePrinted)
	if err != nil {
		return pan, "", cvv2, err
	}
	if pan, err = secret.NewPAN([]byte(a.PAN)); err != nil {
		return pan, "", cvv2, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return pan, a.Expiry[:4], secret.NewBytes([]byte(value)), nil
}

// StripeReader is a magnetic stripe reader with a software card at hand, which the
// cardholder pulls through it whenever a terminal waits.
type StripeReader struct {
	name string
	card *Card

	mu      sync.Mutex
	spoiled int
	swiped  func()
}

var _ magstripe.Reader = (*StripeReader)(nil)

// StripeReader returns a reader for the card's stripe.
func (c *Card) StripeReader(name string) *StripeReader { return &StripeReader{name: name, card: c} }

// Name returns the name that Card.StripeReader was given.
func (r *StripeReader) Name() string { return r.name }

// Spoil makes the next n swipes bad ones.
func (r *StripeReader) Spoil(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spoiled = n
}

// OnSwipe has f called after each swipe.
func (r *StripeReader) OnSwipe(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swiped = f
}

// Swipe pulls the card through.
func (r *StripeReader) Swipe(ctx context.Context) (magstripe.Stripe, error) {
	if err := ctx.Err(); err != nil {
		return magstripe.Stripe{}, fmt.Errorf("simcard: waiting for a swipe: %w", err)
	}
	tracks, err := r.card.stripe()
	if err != nil {
		return magstripe.Stripe{}, err
	}
	defer clear(tracks)
	r.mu.Lock()
	if r.spoiled > 0 {
		r.spoiled--
		tracks[len(tracks)-1] ^= 1 // the check character
	}
	after := r.swiped
	r.mu.Unlock()
	if after != nil {
		defer after()
	}
	return magstripe.Parse(tracks)
}
