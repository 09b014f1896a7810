package payment_test

import (
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

// hotCard is an exception file with one card, and who asked.
type hotCard struct {
	pan   string
	asked int
}

func (l *hotCard) Listed(pan secret.PAN, psn string) bool {
	l.asked++
	return string(pan.Reveal()) == l.pan && psn == "00"
}

// TestTapConfigured pays whole payments by tapping, under what a terminal file
// says of the contactless interface beside its limits.
func TestTapConfigured(t *testing.T) {
	exceptions := func(list string) emv.Exceptions {
		term, err := emv.ParseTerminal(strings.NewReader(`{"type":"22","country":"056","capabilities":"E0F8C8","additional_capabilities":"F000F0A001",
			"exceptions":[` + list + `],"applications":[{"aid":"A000000003","version":"008C"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return term.Exceptions
	}
	program := func(id ...byte) func(*simcard.Application) {
		return func(a *simcard.Application) { a.Contactless.Program = id }
	}
	programs := func(term *emv.Terminal) {
		term.Applications[0].Contactless.Programs = []emv.TapProgram{
			{ID: []byte{0x31}, FloorLimit: taptest.Limit(0), CVMLimit: taptest.Limit(1000)},
			{ID: []byte{0x31, 0x02}, TransactionLimit: taptest.Limit(500)},
		}
	}
	offline := payment.OfflineLimits{Count: 2, Minor: 6000, Age: time.Hour}
	approving := func(term *emv.Terminal) {
		for i := range term.Applications {
			term.Applications[i].Contactless.FloorLimit = taptest.Limit(5000)
		}
	}
	cashback := host.Order{ID: "T", Type: trade.Cashback, Amount: euros(t, 3000), Cashback: euros(t, 2000)}
	sale := host.Order{ID: "T", Type: trade.Sale, Amount: euros(t, 1234)}
	one := &hotCard{pan: "4761739001010010"}
	for _, c := range []struct {
		name     string
		order    host.Order
		profile  string
		alter    func(*simcard.Application)
		offline  payment.OfflineLimits
		terminal func(*emv.Terminal)
		file     emv.ExceptionFile
		outcome  payment.Outcome
		entry    string
		cvm      string
		kind     string
		says     string
	}{
		{name: "cashback", order: cashback, outcome: payment.Approved, entry: "contactless", kind: "ARQC"},
		{name: "cashback that the card is not for", order: cashback, outcome: payment.Declined, entry: "contactless", says: "not for cashback",
			alter: func(a *simcard.Application) { a.AUC = [2]byte{0xFF, 0x00} }},
		{name: "cashback that nobody looks at", order: cashback, outcome: payment.Approved, entry: "contactless", kind: "ARQC",
			alter:    func(a *simcard.Application) { a.AUC = [2]byte{0xFF, 0x00} },
			terminal: func(term *emv.Terminal) { term.Applications[0].Contactless.CheckCashback = false }},
		{name: "cashback with M/Chip", order: cashback, profile: "mchip", outcome: payment.Approved, entry: "contactless", kind: "ARQC"},
		{name: "no card programme", order: sale, terminal: programs, outcome: payment.Approved, entry: "contactless", cvm: "No CVM required"},
		{name: "a card programme with a lower CVM limit", order: sale, alter: program(0x31, 0x01), terminal: programs, outcome: payment.Approved, entry: "contactless", cvm: "Enciphered PIN verified online"},
		{name: "another card programme", order: sale, alter: program(0x32), terminal: programs, outcome: payment.Approved, entry: "contactless", cvm: "No CVM required"},
		{name: "a card programme that contactless is not for", order: sale, alter: program(0x31, 0x02, 0x07), terminal: programs, outcome: payment.Approved, entry: "chip"},
		{name: "approved offline", order: sale, offline: offline, terminal: approving, outcome: payment.Approved, entry: "contactless", kind: "TC"},
		{name: "on the exception file", order: sale, offline: offline, terminal: approving, file: one, outcome: payment.Declined, entry: "contactless", says: "exception file"},
		{name: "another card on it", order: sale, offline: offline, terminal: approving, file: &hotCard{pan: "4761739001010028"}, outcome: payment.Approved, entry: "contactless", kind: "TC"},
		{name: "on the terminal file's", order: sale, offline: offline, outcome: payment.Declined, entry: "contactless", says: "exception file",
			terminal: func(term *emv.Terminal) { approving(term); term.Exceptions = exceptions(`"4761739001010010"`) }},
		{name: "another of the number on the terminal file's", order: sale, offline: offline, outcome: payment.Approved, entry: "contactless", kind: "TC",
			terminal: func(term *emv.Terminal) { approving(term); term.Exceptions = exceptions(`"4761739001010010/02"`) }},
		{name: "the unit's in the place of the terminal file's", order: sale, offline: offline, file: &hotCard{}, outcome: payment.Approved, entry: "contactless", kind: "TC",
			terminal: func(term *emv.Terminal) { approving(term); term.Exceptions = exceptions(`"4761739001010010"`) }},
		{name: "on the terminal file's, and the bank is asked", order: sale, outcome: payment.Approved, entry: "contactless", kind: "ARQC",
			terminal: func(term *emv.Terminal) { term.Exceptions = exceptions(`"4761739001010010"`) }},
		{name: "M/Chip on the exception file", order: sale, profile: "mchip", offline: offline, outcome: payment.Approved, entry: "contactless", kind: "ARQC",
			terminal: func(term *emv.Terminal) {
				approving(term)
				term.Applications[1].TACOnline = [5]byte{0x10}
				term.Exceptions = exceptions(`"5413330089070016"`)
			}},
		{name: "M/Chip approved offline", order: sale, profile: "mchip", offline: offline, outcome: payment.Approved, entry: "contactless", kind: "TC",
			terminal: func(term *emv.Terminal) { approving(term); term.Applications[1].TACOnline = [5]byte{0x10} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := plain()
			if c.profile == "" {
				c.profile = "default"
			}
			cfg.profile, cfg.offline, cfg.terminal = c.profile, c.offline, c.terminal
			cfg.config = func(pc *payment.Config) { pc.Exceptions = c.file }
			cfg.tap = (&taptest.Tap{}).Field(simcard.NewField("test field", taptest.Card(t, c.profile, c.alter)))
			r := w.rig(cfg)
			w.place(c.order)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"})
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != c.outcome || got.Entry != c.entry || c.cvm != "" && got.CVM != c.cvm || c.kind != "" && got.CryptogramType != c.kind {
				t.Errorf("%s by %s, %s, %s: %v", got.Outcome, got.Entry, got.CVM, got.CryptogramType, got.Reasons)
			}
			if !strings.Contains(strings.Join(got.Reasons, ";"), c.says) {
				t.Errorf("reasons %v, want %q", got.Reasons, c.says)
			}
			w.audit()
		})
	}
	if one.asked == 0 {
		t.Error("the exception file was not looked at")
	}
}

// TestExceptionInserted: the exception file is for cards that are inserted too.
func TestExceptionInserted(t *testing.T) {
	w := newWorld(t)
	c := withoutPIN()
	file := &hotCard{}
	c.config = func(pc *payment.Config) {
		p, err := simcard.LookupProfile("nocvm")
		if err != nil {
			t.Fatal(err)
		}
		file.pan, pc.Exceptions = p.Applications[0].PAN, file
		for i := range pc.Terminal.Applications {
			pc.Terminal.Applications[i].TACDenial = [5]byte{0x10}
		}
	}
	r := w.rig(c)
	w.order("T", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"})
	if err != nil || got.Outcome != payment.Declined || len(got.TVR) != 10 || got.TVR[0]&1 == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
