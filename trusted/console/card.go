package console

import (
	"bytes"
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

var _ trusted.CardKeyer = (*Console)(nil)

// clearNumber empties the fields of a card, as it does the PIN's.
const clearNumber = '.'

// KeyCard implements trusted.CardKeyer. The number is seen while it is typed, in
// groups, and masked from Enter on; of the security code only how long it is. On a
// terminal all of it stands on a screen of its own that is wiped in the end,
// however it ends. A number has a right check digit, an expiry is MMYY, as it is
// printed; what is neither is asked for again. Line by line spaces between digits
// are left out, and a line of anything else is asked for again; nothing that was
// typed is written but the number, masked.
func (c *Console) KeyCard(ctx context.Context, p trusted.CardPrompt) (trusted.KeyedCard, error) {
	var f field
	return c.keyCard(ctx, p, &f)
}

// keyCard has a card's data typed by way of f, which it leaves wiped.
func (c *Console) keyCard(ctx context.Context, p trusted.CardPrompt, f *field) (card trusted.KeyedCard, err error) {
	if err := ctx.Err(); err != nil {
		return trusted.KeyedCard{}, err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	defer f.wipe()
	wipe, err := c.screen(true)
	if err != nil {
		return trusted.KeyedCard{}, err
	}
	defer func() {
		if err = errors.Join(err, wipe()); err != nil {
			card.PAN.Wipe()
			card.CVV2.Wipe()
			card = trusted.KeyedCard{}
		}
	}()
	var known []string
	after := c.drawn()
	put := func(m, no trusted.Message, again bool, q question) error {
		q.clear, q.takes = clearNumber, digit
		q.page = func(wrong bool) *page {
			pg := c.page(p.Language)
			pg.add(pg.amount(p.Amount))
			for _, s := range known {
				pg.add(s)
			}
			if wrong || again {
				pg.add(pg.text(no))
			}
			pg.add(pg.text(m))
			pg.keysLine(clearNumber)
			return pg
		}
		return c.ask(ctx, q, f, after)
	}
	if err := put(catalogue.CardNumber, catalogue.WrongNumber, p.Again, question{most: maxPAN, show: appendGroups, answers: number}); err != nil {
		return card, err
	}
	if card.PAN, err = secret.NewPAN(f.bytes()); err != nil {
		return card, err
	}
	known = append(known, string(appendGroups(nil, []byte(card.PAN.Masked()))))
	if err := put(catalogue.CardExpiry, catalogue.WrongExpiry, false, question{most: 4, show: appendTyped, answers: expiry}); err != nil {
		return card, err
	}
	mmyy := string(f.bytes())
	card.Expiry = mmyy[2:] + mmyy[:2]
	known = append(known, mmyy[:2]+"/"+mmyy[2:])
	if err := put(catalogue.CardCode, catalogue.WrongCode, false, question{most: 4, show: appendMask, answers: code}); err != nil {
		return card, err
	}
	if f.n > 0 {
		card.CVV2 = secret.CopyBytes(f.bytes())
	}
	return card, nil
}

// maxPAN is the length of the longest number (ISO/IEC 7812-1).
const maxPAN = 19

// number reports whether digits are a card's: 8 to 19 of them, of which the last
// checks the others.
func number(typed []byte) bool {
	pan, err := secret.NewPAN(typed)
	if err != nil {
		return false
	}
	defer pan.Wipe()
	return pan.Luhn()
}

// expiry reports whether digits are MMYY.
func expiry(typed []byte) bool {
	if len(typed) != 4 {
		return false
	}
	month := 10*int(typed[0]-'0') + int(typed[1]-'0')
	return month >= 1 && month <= 12
}

// code reports whether digits are a security code, or none.
func code(typed []byte) bool { return len(typed) == 0 || len(typed) == 3 || len(typed) == 4 }

func appendTyped(dst, typed []byte) []byte { return append(dst, typed...) }

func appendMask(dst, typed []byte) []byte {
	return append(dst, bytes.Repeat([]byte{'*'}, len(typed))...)
}

// appendGroups appends a number in fours, as it is embossed.
func appendGroups(dst, typed []byte) []byte {
	for i, b := range typed {
		if i > 0 && i%4 == 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, b)
	}
	return dst
}
