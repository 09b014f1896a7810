package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/trusted"
)

// pinAdapter is the kernel's PINVerifier over the unit's pad. It keeps the
// encrypted block of the payment that runs.
type pinAdapter struct {
	pad      pinpad.Pad
	watch    func() time.Time
	language func(card []string) string
	block    *pinpad.EncryptedBlock
	people   time.Duration
	// policy is the server's, from the trade; nothing is granted before it came.
	policy trade.PINPolicy
	// prove gives the server evidence of the device, before the pad opens.
	prove func(context.Context) error
}

func (a *pinAdapter) reset(language func(card []string) string, prove func(context.Context) error) {
	a.language, a.block, a.people, a.prove, a.policy = language, nil, 0, prove, trade.PINPolicy{}
}

func (a *pinAdapter) spend(d time.Duration) { a.people += d }

// VerifyPIN implements emv.PINVerifier.
func (a *pinAdapter) VerifyPIN(ctx context.Context, r emv.PINRequest) (emv.PINResult, error) {
	if err := a.prove(ctx); err != nil {
		return emv.PINResult{}, err
	}
	start := a.watch()
	defer func() { a.spend(a.watch().Sub(start)) }()
	p := pinpad.Prompt{
		Amount:          r.Amount,
		Label:           r.Label,
		Language:        a.language(r.Languages),
		TriesLeft:       r.TriesLeft,
		Attempt:         r.Attempt,
		AllowBypass:     a.policy.Bypass,
		AllowAccessible: a.policy.Accessible,
	}
	var res emv.PINResult
	var err error
	switch r.Method {
	case emv.OnlinePIN:
		var b pinpad.EncryptedBlock
		if b, err = a.pad.OnlinePIN(ctx, p, r.PAN); err == nil {
			a.block = &b
		}
	case emv.OfflineEnciphered:
		res.Status, err = a.pad.OfflinePIN(ctx, p, r.Card, r.Key)
	case emv.OfflinePlaintext:
		res.Status, err = a.pad.OfflinePIN(ctx, p, r.Card, nil)
	default:
		return res, fmt.Errorf("%w: PIN method %v", ErrUnsupported, r.Method)
	}
	switch {
	case err == nil:
		res.Entry = emv.PINEntered
	case errors.Is(err, pinpad.ErrBypassed):
		res.Entry, err = emv.PINBypassed, nil
	case errors.Is(err, pinpad.ErrUnavailable):
		res.Entry, err = emv.PINPadFailed, nil
	case errors.Is(err, pinpad.ErrCancelled), errors.Is(err, pinpad.ErrTimeout):
		err = fmt.Errorf("%w: %w", emv.ErrCancelled, err)
	}
	return res, err
}

// chooser is the kernel's Chooser over the trusted UI.
type chooser struct {
	ui    trusted.UI
	spent func(time.Duration)
	now   func() time.Time
}

// errChoice: the screen did not bring an application. That is no fault of the
// card, whose stripe is not to be read for it.
var errChoice = errors.New("payment: no application was chosen")

// Choose implements emv.Chooser.
func (c chooser) Choose(ctx context.Context, list []emv.Candidate) (int, error) {
	start := c.now()
	defer func() { c.spent(c.now().Sub(start)) }()
	labels := make([]string, len(list))
	for i, l := range list {
		labels[i] = l.Name()
	}
	n, err := c.ui.Choose(ctx, labels)
	if errors.Is(err, trusted.ErrCancelled) {
		return 0, fmt.Errorf("%w: %w", emv.ErrCancelled, err)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", errChoice, err)
	case n < 0 || n >= len(list):
		return 0, fmt.Errorf("%w: the screen gave %d of %d", errChoice, n, len(list))
	}
	return n, nil
}
