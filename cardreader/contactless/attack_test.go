package contactless_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// shop is a reader with both kernels, as a shop has it: 100.00 contactless, 20.00
// without the issuer, the cardholder verified from 50.00 on.
func shop(t testing.TB, minor int64, ttq tags.TTQValue) *taptest.Tap {
	t.Helper()
	visa, err := c3.New(c3.Config{CAKeys: taptest.Keys(t), Accounts: []string{"4"}})
	if err != nil {
		t.Fatal(err)
	}
	mastercard, err := c2.New(c2.Config{
		CAKeys: taptest.Keys(t), Accounts: []string{"2", "5", "6"}, Relay: &c2.Relay{},
		TransactionLimit: taptest.Limit(10000), DeviceLimit: taptest.Limit(10000), FloorLimit: taptest.Limit(2000), CVMLimit: taptest.Limit(4999),
		Application: emv.Application{Version: [2]byte{0x00, 0x96}, TACOnline: [5]byte{0xF4, 0x50, 0x84, 0x80, 0x0C}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &taptest.Tap{
		Terminal: taptest.Terminal(),
		Combinations: []contactless.Combination{
			{AID: unhex(t, "A0000000031010"), Kernel: contactless.Kernel3, Run: visa, Settings: contactless.Settings{
				TransactionLimit: taptest.Limit(10000), FloorLimit: taptest.Limit(2000), CVMLimit: taptest.Limit(5000), TTQ: &ttq,
			}},
			{AID: unhex(t, "A0000000041010"), Kernel: contactless.Kernel2, Run: mastercard},
		},
		Transaction: emv.Transaction{Amount: taptest.Euro(t, minor), Time: taptest.Now()},
		PIN:         taptest.Pad(emv.PINEntered),
	}
}

var (
	full    = tags.TTQValue{0x26, 0x00, 0xC0, 0x00}
	withODA = tags.TTQValue{0x27, 0x00, 0xC0, 0x00} // authentication for online transactions too
)

// wedge makes the shop's cards go through a man in the middle.
func wedge(command func([]byte) []byte, answer func(command, answer []byte) []byte) func(cardreader.Card) cardreader.Card {
	return func(c cardreader.Card) cardreader.Card {
		return taptest.Between{Card: c, Command: command, Answer: answer}
	}
}

// rewrite alters the value of a tag, as long as it was, wherever it stands in the
// answers to an instruction.
func rewrite(ins byte, tag tlv.Tag, alter func(v []byte)) func(command, answer []byte) []byte {
	return func(command, answer []byte) []byte {
		if command[1] != ins || len(answer) < 2 {
			return answer
		}
		if v, ok := tlv.Find(answer[:len(answer)-2], tag); ok {
			alter(v) // the value points into the answer
		}
		return answer
	}
}

func reasons(s *contactless.Session) string { return strings.Join(s.Outcome().Reasons, "; ") }

func risks(s *contactless.Session) string { return strings.Join(s.Outcome().Risks, "; ") }

// TestCTQAltered: a wedge tells the reader that the device verified its holder, so
// that a stolen card pays over the limit without its PIN (Basin, Sasse, Toro-Pozo:
// The EMV Standard: Break, Fix, Verify, IEEE S&P 2021). The qualifiers are signed
// in fDDA alone.
func TestCTQAltered(t *testing.T) {
	skip := rewrite(apdu.INSGetProcessingOptions, tags.CTQ, func(v []byte) { v[0], v[1] = 0x00, 0x80 })
	t.Run("authenticated", func(t *testing.T) {
		p := shop(t, 6000, withODA)
		p.Wedge = wedge(nil, skip)
		if s := p.Pay(t, taptest.Card(t, "default", nil)); s.Final().Kind != contactless.Declined {
			t.Errorf("outcome %s", s.Final())
		}
	})
	t.Run("offline", func(t *testing.T) {
		p := shop(t, 1000, full)
		p.Combinations[0].Settings.CVMLimit = taptest.Limit(500)
		p.Wedge = wedge(nil, skip)
		if s := p.Pay(t, taptest.Card(t, "tap-signature", nil)); s.Final().Kind != contactless.Declined {
			t.Errorf("outcome %s", s.Final())
		}
	})
	t.Run("left to the issuer", func(t *testing.T) {
		p := shop(t, 6000, full)
		p.Wedge = wedge(nil, skip)
		s := p.Pay(t, taptest.Card(t, "default", nil))
		if s.Final().CVM != contactless.CVMConfirmationCode || !strings.Contains(risks(s), "verified its holder is its word") {
			t.Errorf("outcome %s, risks %s", s.Final(), risks(s))
		}
		// What the reader believes, and what the card signed, lie side by side.
		i := taptest.NewIssuer(t, s)
		if !i.Genuine(t) || i.HolderVerified() || !bytes.Equal(i.Field(tags.CVMResults), []byte{0x01, 0x00, 0x02}) {
			t.Errorf("the issuer sees results %X, verified %t", i.Field(tags.CVMResults), i.HolderVerified())
		}
	})
}

// TestBrandMixedUp: a wedge has a Mastercard card pay as a Visa one, whose rules
// let the wedge skip the PIN (Basin, Sasse, Toro-Pozo: Card Brand Mixup Attack,
// USENIX Security 2021). AID, card number and CA key have to be of one scheme.
func TestBrandMixedUp(t *testing.T) {
	mastercard, visa := unhex(t, "A0000000041010"), unhex(t, "A0000000031010")
	mixup := func(c cardreader.Card) cardreader.Card {
		return taptest.Between{
			Card: c,
			Command: func(command []byte) []byte {
				return bytes.ReplaceAll(command, visa, mastercard)
			},
			Answer: func(command, answer []byte) []byte {
				answer = bytes.ReplaceAll(answer, mastercard, visa)
				return bytes.ReplaceAll(answer, unhex(t, "9F2A0102"), unhex(t, "9F2A0103"))
			},
		}
	}
	pdol := func(a *simcard.Application) {
		a.Contactless.PDOL = unhex(t, "9F66049F02069F03069F1A0295055F2A029A039C019F3704")
	}
	p := shop(t, 6000, full)
	p.Wedge = mixup
	// The wedge answers for the kernel too: from a card's real answer, it can make
	// one of the other kernel's form.
	s := p.Pay(t, taptest.Card(t, "mchip", pdol))
	if s.Final().Kind != contactless.EndApplication {
		t.Errorf("outcome %s", s.Final())
	}
	// A card that speaks kernel 3 under another scheme's number.
	p = shop(t, 6000, full)
	s = p.Pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.PAN = "5413330089070013" }))
	if s.Final().Kind != contactless.Declined || !strings.Contains(reasons(s), "not of the scheme") {
		t.Errorf("outcome %s: %s", s.Final(), reasons(s))
	}
	// And one whose certificates are under the other scheme's CA key.
	p = shop(t, 1000, full)
	lax, err := c3.New(c3.Config{CAKeys: taptest.Keys(t)})
	if err != nil {
		t.Fatal(err)
	}
	p.Combinations[0].Run = lax
	p.Wedge = wedge(nil, rewrite(apdu.INSReadRecord, tags.CAPublicKeyIndex, func(v []byte) { v[0] = 0xF9 }))
	if s = p.Pay(t, taptest.Card(t, "default", nil)); s.Final().Kind != contactless.Declined {
		t.Errorf("outcome %s", s.Final())
	}
}

// TestAmountAltered: a wedge shows the card another amount than the cardholder
// pays (Emms and others: Harvesting High Value Foreign Currency Transactions from
// EMV Contactless Credit Cards Without the PIN, ACM CCS 2014).
func TestAmountAltered(t *testing.T) {
	amount, small := unhex(t, "000000006000"), unhex(t, "000000000001")
	change := func(command []byte) []byte {
		if command[1] == apdu.INSGetProcessingOptions || command[1] == apdu.INSGenerateAC {
			return bytes.Replace(command, amount, small, 1)
		}
		return command
	}
	for _, card := range []string{"default", "mchip"} {
		p := shop(t, 6000, full)
		p.Wedge = wedge(change, nil)
		s := p.Pay(t, taptest.Card(t, card, nil))
		switch card {
		case "mchip":
			// The combined signature covers what the reader sent.
			if s.Final().Kind != contactless.EndApplication {
				t.Errorf("%s: outcome %s", card, s.Final())
			}
		default:
			if s.Decision() != emv.Online || taptest.NewIssuer(t, s).Genuine(t) {
				t.Errorf("%s: outcome %s, and the issuer takes the cryptogram", card, s.Final())
			}
		}
	}
	p := shop(t, 1000, full)
	p.Wedge = wedge(func(b []byte) []byte { return bytes.Replace(b, unhex(t, "000000001000"), small, 1) }, nil)
	if s := p.Pay(t, taptest.Card(t, "default", nil)); s.Final().Kind != contactless.Declined {
		t.Errorf("offline: outcome %s", s.Final())
	}
}

// TestTTQAltered: a wedge tells the card that its holder need not be verified
// (Galloway, Yunusov: First Contact: New Vulnerabilities in Contactless Payments,
// Black Hat Europe 2019). The reader keeps to its own qualifiers; with an altered
// answer beside, it takes the card's word, and the issuer sees what the card did.
func TestTTQAltered(t *testing.T) {
	easy := func(command []byte) []byte {
		if command[1] == apdu.INSGetProcessingOptions {
			command[7+1] &^= 0x40 // TTQ come first in the PDOL, after the header and 83
		}
		return command
	}
	p := shop(t, 6000, full)
	p.Wedge = wedge(easy, nil)
	s := p.Pay(t, taptest.Card(t, "default", nil))
	if s.Final().Kind != contactless.Declined || !strings.Contains(reasons(s), "has to be verified") {
		t.Errorf("outcome %s: %s", s.Final(), reasons(s))
	}
	p = shop(t, 6000, full)
	p.Wedge = wedge(easy, rewrite(apdu.INSGetProcessingOptions, tags.CTQ, func(v []byte) { v[1] |= 0x80 }))
	s = p.Pay(t, taptest.Card(t, "default", nil))
	if s.Decision() != emv.Online || taptest.NewIssuer(t, s).HolderVerified() {
		t.Errorf("outcome %s", s.Final())
	}
	// A locked phone that is told so does not pay over the limit unnoticed either
	// (Radu and others: Practical EMV Relay Protection, IEEE S&P 2022).
	p = shop(t, 6000, full)
	p.Wedge = wedge(easy, rewrite(apdu.INSGetProcessingOptions, tags.CTQ, func(v []byte) { v[1] |= 0x80 }))
	s = p.Pay(t, taptest.Card(t, "phone", nil))
	if s.Decision() != emv.Online || taptest.NewIssuer(t, s).HolderVerified() {
		t.Errorf("a locked phone: outcome %s", s.Final())
	}
}

// repeats is a broken source of randomness.
type repeats struct{}

func (repeats) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{0xAB}, len(b))), nil }

// TestPrePlay: cryptograms harvested for numbers that a terminal will use (Bond and
// others: Chip and Skim: Cloning EMV Cards with the Pre-play Attack, IEEE S&P 2014;
// Roland, Langer: Cloning Credit Cards, USENIX WOOT 2013).
func TestPrePlay(t *testing.T) {
	// The wedge harvests one transaction, and plays it again.
	answers := map[byte][]byte{}
	p := shop(t, 2500, full)
	p.Wedge = wedge(nil, func(command, answer []byte) []byte {
		answers[command[1]] = bytes.Clone(answer)
		return answer
	})
	card := taptest.Card(t, "default", nil)
	first := taptest.NewIssuer(t, p.Pay(t, card))
	p.Wedge = wedge(nil, func(command, answer []byte) []byte {
		if command[1] == apdu.INSGetProcessingOptions {
			return bytes.Clone(answers[command[1]])
		}
		return answer
	})
	again := taptest.NewIssuer(t, p.Pay(t, card))
	if !first.Genuine(t) || again.Genuine(t) {
		t.Error("a cryptogram holds for another unpredictable number")
	}
	// With a terminal whose numbers repeat it would hold, under a transaction
	// counter that the issuer has seen.
	if again.ATC() != first.ATC() {
		t.Errorf("counters %d and %d", first.ATC(), again.ATC())
	}
	// Such a terminal takes no cards.
	r, err := contactless.New(contactless.Config{Terminal: taptest.Terminal(), Combinations: p.Combinations, Rand: repeats{}, Now: taptest.Now}, nil)
	if err != nil {
		t.Fatal(err)
	}
	field := simcard.NewField("field", card)
	s, err := r.Pay(t.Context(), field, p.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pay(t.Context(), field, p.Transaction); !errors.Is(err, contactless.ErrRandom) {
		t.Errorf("a second number that is the first: %v", err)
	}
}

// TestCVMListAltered: a wedge gives an M/Chip card a list without a PIN (Basin,
// Schaller, Toro-Pozo: Inducing Authentication Failures to Bypass Credit Card PINs,
// USENIX Security 2023, by way of a CA key that is not there).
func TestCVMListAltered(t *testing.T) {
	weaken := rewrite(apdu.INSReadRecord, tags.CVMList, func(v []byte) { copy(v[8:], []byte{0x1F, 0x03, 0x1F, 0x03}) })
	p := shop(t, 6000, full)
	p.Wedge = wedge(nil, weaken)
	if s := p.Pay(t, taptest.Card(t, "mchip", nil)); s.Final().Kind != contactless.EndApplication {
		t.Errorf("outcome %s", s.Final())
	}
	// Without the CA key nothing notices here; the results say which method was
	// used, and that CDA failed, and the issuer reads both.
	p = shop(t, 6000, full)
	p.Wedge = wedge(nil, func(command, answer []byte) []byte {
		answer = weaken(command, answer)
		return rewrite(apdu.INSReadRecord, tags.CAPublicKeyIndex, func(v []byte) { v[0] = 0x99 })(command, answer)
	})
	s := p.Pay(t, taptest.Card(t, "mchip", nil))
	i := taptest.NewIssuer(t, s)
	tvr := tags.TVRValue(i.Field(tags.TVR))
	if s.Decision() != emv.Online || !tvr.Has(tags.TVRCDAFailed) || !i.Genuine(t) || i.Field(tags.CVMResults)[0] != 0x1F {
		t.Errorf("outcome %s, TVR %s", s.Final(), tvr)
	}
	if !strings.Contains(risks(s), "verification list are its word") {
		t.Errorf("risks %s", risks(s))
	}
	// A device that can't be authenticated is declined, whatever its list.
	p = shop(t, 6000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSReadRecord, tags.CAPublicKeyIndex, func(v []byte) { v[0] = 0x99 }))
	if s := p.Pay(t, taptest.Card(t, "mchip-phone", nil)); s.Decision() == emv.Online {
		t.Errorf("a phone: outcome %s", s.Final())
	}
}

// TestDeviceClaimed: a wedge sets "on-device verification" in the profile of a
// stolen card (AIP), so that no PIN is asked for.
func TestDeviceClaimed(t *testing.T) {
	p := shop(t, 6000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSGetProcessingOptions, tags.AIP, func(v []byte) { v[0] |= tags.AIPOnDeviceCVM }))
	if s := p.Pay(t, taptest.Card(t, "mchip", nil)); s.Final().Kind != contactless.EndApplication {
		t.Errorf("outcome %s", s.Final())
	}
}

// TestTrack2Altered: the number that is charged is the one that the cryptogram's
// key belongs to.
func TestTrack2Altered(t *testing.T) {
	other := func(v []byte) { copy(v, unhex(t, "4761739001070014")) }
	p := shop(t, 6000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSGetProcessingOptions, tags.Track2, other))
	s := p.Pay(t, taptest.Card(t, "default", nil))
	if s.Decision() != emv.Online || taptest.NewIssuer(t, s).Genuine(t) {
		t.Errorf("online: outcome %s, and the issuer takes the cryptogram", s.Final())
	}
	// Offline the number stands in a signed record too.
	p = shop(t, 1000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSGetProcessingOptions, tags.Track2, other))
	if s := p.Pay(t, taptest.Card(t, "default", nil)); s.Final().Kind != contactless.EndApplication {
		t.Errorf("offline: outcome %s", s.Final())
	}
	p = shop(t, 1000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSReadRecord, tags.Track2, func(v []byte) { v[7] ^= 0x10 }))
	if s := p.Pay(t, taptest.Card(t, "mchip", nil)); s.Final().Kind != contactless.EndApplication {
		t.Errorf("M/Chip: outcome %s", s.Final())
	}
}

// TestAIPAndAFLAltered flips each bit of both.
func TestAIPAndAFLAltered(t *testing.T) {
	lenient := func(a *simcard.Application) { a.LowerLimit, a.OfflineLimit = 255, 0 }
	cards := map[string]*simcard.Card{"default": taptest.Card(t, "default", lenient), "mchip": taptest.Card(t, "mchip", lenient)}
	p := shop(t, 1000, full)
	for _, tag := range []tlv.Tag{tags.AIP, tags.AFL} {
		n := map[tlv.Tag]int{tags.AIP: 2, tags.AFL: 8}[tag]
		for bit := range n * 8 {
			if tag == tags.AFL && bit%32 >= 5 && bit%32 < 8 {
				continue // no part of the short file identifier, and without meaning
			}
			for card, c := range cards {
				p.Commands = nil
				p.Wedge = wedge(nil, rewrite(apdu.INSGetProcessingOptions, tag, func(v []byte) { v[bit/8] ^= 0x80 >> (bit % 8) }))
				s := p.Pay(t, c)
				if s.Decision() == emv.Approved {
					t.Errorf("%s: bit %d of %s: approved offline", card, bit, tags.Name(tag))
				}
				if tag == tags.AIP && s.Decision() == emv.Online && taptest.NewIssuer(t, s).Genuine(t) {
					t.Errorf("%s: bit %d of the AIP: the issuer takes the cryptogram", card, bit)
				}
			}
		}
	}
}

// TestMagStripeDowngrade: a wedge makes a card look as if it had no chip mode, for
// its static data to be enough (Roland, Langer: Cloning Credit Cards, USENIX WOOT
// 2013).
func TestMagStripeDowngrade(t *testing.T) {
	p := shop(t, 1000, full)
	p.Wedge = wedge(nil, rewrite(apdu.INSGetProcessingOptions, tags.AIP, func(v []byte) { v[1] &^= 0x80 }))
	s := p.Pay(t, taptest.Card(t, "mchip", nil))
	if s.Final().Kind != contactless.EndApplication || !strings.Contains(reasons(s), "magnetic stripe") {
		t.Errorf("M/Chip: outcome %s: %s", s.Final(), reasons(s))
	}
	p = shop(t, 1000, full)
	p.Wedge = wedge(nil, func(command, answer []byte) []byte {
		if command[1] != apdu.INSGetProcessingOptions {
			return answer
		}
		track2, _ := tlv.Find(answer, tags.Track2)
		return append(tlv.Append(nil, tags.ResponseFormat2, tlv.Append(tlv.Append(nil, tags.AIP, []byte{0x00, 0x80}), tags.Track2, track2)), 0x90, 0x00)
	})
	s = p.Pay(t, taptest.Card(t, "default", nil))
	if s.Final().Kind != contactless.EndApplication || !strings.Contains(reasons(s), "magnetic stripe") {
		t.Errorf("qVSDC: outcome %s: %s", s.Final(), reasons(s))
	}
}

// TestAnswersAltered flips one bit in each answer at several places: no card is ever
// approved offline under another number, and nothing fails but by an outcome.
func TestAnswersAltered(t *testing.T) {
	for _, name := range []string{"default", "mchip"} {
		card := taptest.Card(t, name, func(a *simcard.Application) { a.LowerLimit, a.OfflineLimit = 255, 0 })
		p := shop(t, 1000, full)
		var lengths []int
		p.Wedge = wedge(nil, func(_, answer []byte) []byte {
			lengths = append(lengths, len(answer))
			return answer
		})
		want := p.Pay(t, card)
		pan := string(want.Authorize().PAN.Reveal())
		if want.Decision() != emv.Approved {
			t.Fatalf("%s: outcome %s: %s", name, want.Final(), reasons(want))
		}
		if err := want.Close(); err != nil {
			t.Fatal(err)
		}
		for n, length := range lengths {
			for i := 0; i < length; i += 1 + length/6 {
				seen := 0
				p.Wedge = wedge(nil, func(_, answer []byte) []byte {
					if seen == n && i < len(answer) {
						answer[i] ^= 0x01
					}
					seen++
					return answer
				})
				s, err := p.Reader(t).Pay(t.Context(), p.Field(simcard.NewField("field", card)), p.Transaction)
				if err != nil {
					t.Fatalf("%s: answer %d, byte %d: %v", name, n+1, i, err)
				}
				if s.Decision() == emv.Approved && string(s.Authorize().PAN.Reveal()) != pan {
					t.Errorf("%s: answer %d, byte %d: approved for another number", name, n+1, i)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
