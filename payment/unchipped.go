package payment

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/trade"
)

// unchipped is a payment whose card has no word in it: its stripe was read, or its
// number entered. Only its issuer approves.
type unchipped struct {
	request  emv.OnlineRequest
	cvv2     secret.Bytes
	decision emv.Decision
	cvm      emv.CVMethod
	arc      string
}

var _ cardSession = (*unchipped)(nil)

func (s *unchipped) Decision() emv.Decision       { return s.decision }
func (s *unchipped) Authorize() emv.OnlineRequest { return s.request }
func (*unchipped) Languages() []string            { return nil }

// Outcome has how the cardholder was verified, and nothing of a chip.
func (s *unchipped) Outcome() emv.Outcome {
	return emv.Outcome{Decision: s.decision, CVM: s.cvm, ARC: s.arc}
}

// Complete takes the issuer's word.
func (s *unchipped) Complete(ctx context.Context, r emv.HostResponse) (emv.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return s.Outcome(), fmt.Errorf("payment: completing without a chip: %w", err)
	}
	s.decision, s.arc = emv.Declined, r.ARC
	if r.Approved && !r.Unable {
		s.decision = emv.Approved
	}
	return s.Outcome(), nil
}

func (s *unchipped) wipe() {
	s.request.PAN.Wipe()
	s.request.Track2.Wipe()
	s.cvv2.Wipe()
}

// swiped goes on with a stripe, and takes a PIN where its service code asks for
// one; else the cardholder signs.
func (p *run) swiped(ctx context.Context, stripe magstripe.Stripe, how entry) error {
	stripe.Track1.Wipe()
	s := &unchipped{decision: emv.Online, cvm: emv.MethodOf(tags.CVMResultsValue{byte(tags.CVMSignature), 0, tags.CVMResultUnknown})}
	p.forget = s.wipe
	s.request.Track2 = stripe.Track2
	pan, err := stripe.Track2.PAN()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	s.request.PAN, s.request.Expiry = pan, stripe.Track2.Expiry()
	if stripe.ServiceCode().PIN() != magstripe.NoPIN && p.trade.Type != trade.Refund {
		if err := p.onlinePIN(ctx, s); err != nil {
			return err
		}
	}
	s.request.CVM = s.cvm
	p.emv, p.how = s, how
	text := "the card was read by its stripe"
	if how == entryFallback {
		text += ", in the place of its chip"
	}
	p.u.tell(PhaseCard, "%s", text)
	return nil
}

// onlinePIN takes a PIN for the issuer. One that the cardholder passes over, where
// the server's policy lets them, leaves the signature; whether that will do is the
// issuer's to say.
func (p *run) onlinePIN(ctx context.Context, s *unchipped) error {
	var res emv.PINResult
	err := p.u.within(ctx, PhaseCard, p.u.c.Limits.Card, func(ctx context.Context) (err error) {
		res, err = p.u.pin.VerifyPIN(ctx, emv.PINRequest{Method: emv.OnlinePIN, Amount: p.trade.Amount, PAN: s.request.PAN, TriesLeft: -1})
		return err
	})
	if err != nil {
		return err
	}
	if res.Entry == emv.PINEntered {
		s.cvm = emv.MethodOf(tags.CVMResultsValue{byte(tags.CVMOnlinePIN), 0, tags.CVMResultUnknown})
	}
	return nil
}
