package payment

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

// errKeyed: what was entered by hand is no card's.
var errKeyed = errors.New("payment: what was entered is no card's number and expiry")

// keyCard has a card's data entered on the trusted user interface.
func (p *run) keyCard(ctx context.Context, again bool) (trusted.KeyedCard, error) {
	k, ok := p.u.c.UI.(trusted.CardKeyer)
	if !ok {
		return trusted.KeyedCard{}, ErrUnsupported
	}
	c, err := k.KeyCard(ctx, trusted.CardPrompt{Amount: p.trade.Amount, Language: p.u.c.Language, Again: again})
	if err != nil {
		return trusted.KeyedCard{}, err
	}
	if !c.PAN.Luhn() || !month(c.Expiry) || !value(c.CVV2) {
		c.PAN.Wipe()
		c.CVV2.Wipe()
		return trusted.KeyedCard{}, errKeyed
	}
	return c, nil
}

func month(yymm string) bool {
	return len(yymm) == 4 && decimal([]byte(yymm)) && yymm[2:] >= "01" && yymm[2:] <= "12"
}

func value(v secret.Bytes) bool {
	return v.Len() == 0 || (v.Len() == 3 || v.Len() == 4) && decimal(v.Reveal())
}

func decimal(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// keyed goes on with a card whose data were entered: the cardholder signs.
func (p *run) keyed(c trusted.KeyedCard) error {
	s := &unchipped{decision: emv.Online, cvm: emv.MethodOf(tags.CVMResultsValue{byte(tags.CVMSignature), 0, tags.CVMResultUnknown}), cvv2: c.CVV2}
	s.request.PAN, s.request.Expiry, s.request.CVM = c.PAN, c.Expiry, s.cvm
	p.emv, p.forget, p.how = s, s.wipe, entryManual
	return nil
}
