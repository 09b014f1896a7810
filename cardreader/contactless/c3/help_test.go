package c3_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// tap is one transaction at a reader with this kernel.
type tap struct {
	taptest.Tap
	ttq      tags.TTQValue
	settings contactless.Settings
	config   c3.Config
}

// newTap is a reader that can do everything, online and offline, with limits of
// 100.00 for contactless, 20.00 for the floor and 50.00 for verification.
func newTap(t testing.TB, minor int64) *tap {
	return &tap{
		Tap: taptest.Tap{
			Terminal:    taptest.Terminal(),
			Transaction: emv.Transaction{Amount: taptest.Euro(t, minor), Time: taptest.Now()},
			PIN:         taptest.Pad(emv.PINEntered),
		},
		ttq: tags.TTQValue{0x36, 0x00, 0xC0, 0x00},
		settings: contactless.Settings{
			TransactionLimit: taptest.Limit(10000), FloorLimit: taptest.Limit(2000), CVMLimit: taptest.Limit(5000),
		},
		config: c3.Config{CAKeys: taptest.Keys(t), Accounts: []string{"4"}},
	}
}

func (p *tap) pay(t testing.TB, cards ...*simcard.Card) *contactless.Session {
	t.Helper()
	k, err := c3.New(p.config)
	if err != nil {
		t.Fatal(err)
	}
	s := p.settings
	s.TTQ = &p.ttq
	p.Combinations = []contactless.Combination{{
		AID: []byte{0xA0, 0x00, 0x00, 0x00, 0x03, 0x10, 0x10}, Kernel: contactless.Kernel3, Settings: s, Run: k,
	}}
	return p.Pay(t, cards...)
}

func program(id []byte, s contactless.Settings) c3.Program { return c3.Program{ID: id, Settings: s} }

// answer is the issuer authentication data of an approval.
func answer(t testing.TB, s *contactless.Session) []byte {
	t.Helper()
	i := taptest.NewIssuer(t, s)
	if !i.Genuine(t) {
		t.Fatal("the cryptogram does not verify")
	}
	return i.Answer(t)
}

// without is a wedge that leaves a tag out of the card's answers.
func without(tag tlv.Tag) func(cardreader.Card) cardreader.Card {
	return func(c cardreader.Card) cardreader.Card {
		return taptest.Between{Card: c, Answer: func(command, answer []byte) []byte {
			list, err := tlv.Parse(answer[:len(answer)-2])
			if command[1] == 0xA4 || err != nil || len(list) != 1 {
				return answer
			}
			var kept []byte
			for o, err := range tlv.All(list[0].Value) {
				if err != nil {
					return answer
				}
				if o.Tag != tag {
					kept = tlv.Append(kept, o.Tag, o.Value)
				}
			}
			return append(tlv.Append(nil, list[0].Tag, kept), answer[len(answer)-2:]...)
		}}
	}
}
