package emv_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// capability bytes: everything, and everything but one.
const (
	allCVM    = tags.CapPlaintextPIN | tags.CapOnlinePIN | tags.CapSignature | tags.CapEncipheredPIN | tags.CapNoCVM
	noOffline = allCVM &^ (tags.CapPlaintextPIN | tags.CapEncipheredPIN)
)

// TestCVMResults goes through the rows of Book 4, 6.3.4.5: results, TVR byte 3
// and what the cardholder was asked.
func TestCVMResults(t *testing.T) {
	type row struct {
		rules   string
		caps    byte
		entry   emv.PINEntry
		verify  []apdu.Status
		tries   string
		results string
		tvr3    byte
		asked   []emv.PINMethod
	}
	on, off := []emv.PINMethod{emv.OnlinePIN}, []emv.PINMethod{emv.OfflinePlaintext}
	for name, r := range map[string]row{
		"online PIN":                              {rules: "0200", results: "020000", tvr3: 0x04, asked: on},
		"online PIN, next rule unused":            {rules: "42001F00", results: "420000", tvr3: 0x04, asked: on},
		"signature":                               {rules: "1E00", results: "1E0000"},
		"no CVM":                                  {rules: "1F00", results: "1F0002"},
		"offline PIN":                             {rules: "0100", results: "010002", asked: off},
		"offline PIN and signature":               {rules: "0300", results: "030000", asked: off},
		"fail":                                    {rules: "0000", results: "000001", tvr3: 0x80},
		"fail though a rule follows":              {rules: "40001F00", results: "400001", tvr3: 0x80},
		"no condition met":                        {rules: "0201", results: "3F0001", tvr3: 0x80},
		"condition unknown":                       {rules: "1F0A", results: "3F0001", tvr3: 0x80},
		"condition unknown, next rule":            {rules: "1E801F00", results: "1F0002"},
		"method unknown":                          {rules: "0600", results: "3F0001", tvr3: 0xC0},
		"method unknown, next rule":               {rules: "46001F00", results: "1F0002", tvr3: 0x40},
		"method unknown, if supported":            {rules: "06031F00", results: "1F0002"},
		"signature not supported":                 {rules: "1E00", caps: allCVM &^ tags.CapSignature, results: "3F0001", tvr3: 0x80},
		"signature not supported, next rule":      {rules: "5E001F00", caps: allCVM &^ tags.CapSignature, results: "1F0002"},
		"signature if supported":                  {rules: "1E031F00", caps: allCVM &^ tags.CapSignature, results: "1F0002"},
		"no CVM not supported":                    {rules: "1F00", caps: allCVM &^ tags.CapNoCVM, results: "3F0001", tvr3: 0x80},
		"online PIN not supported":                {rules: "0200", caps: allCVM &^ tags.CapOnlinePIN, results: "3F0001", tvr3: 0x90},
		"online PIN not supported, next rule":     {rules: "42001F00", caps: allCVM &^ tags.CapOnlinePIN, results: "1F0002", tvr3: 0x10},
		"online PIN if supported, skipped":        {rules: "02031F00", caps: allCVM &^ tags.CapOnlinePIN, results: "1F0002"},
		"no offline PIN at all":                   {rules: "41001F00", caps: noOffline, results: "1F0002", tvr3: 0x10},
		"plaintext lacking, enciphered there":     {rules: "41001F00", caps: allCVM &^ tags.CapPlaintextPIN, results: "1F0002"},
		"no plain PIN where enciphered was asked": {rules: "44001F00", caps: allCVM &^ tags.CapEncipheredPIN, results: "1F0002"},
		"enciphered without a key":                {rules: "44001F00", results: "1F0002"},
		"enciphered without a key, last rule":     {rules: "0400", results: "040001", tvr3: 0x80},
		"pad broken":                              {rules: "42001F00", entry: emv.PINPadFailed, results: "1F0002", tvr3: 0x10, asked: on},
		"no result from the pad":                  {rules: "0200", entry: 99, results: "020001", tvr3: 0x90, asked: on},
		"bypassed":                                {rules: "0200", entry: emv.PINBypassed, results: "020001", tvr3: 0x88, asked: on},
		"bypassed once, not asked again":          {rules: "420041005F00", entry: emv.PINBypassed, results: "5F0002", tvr3: 0x08, asked: on},
		"bypassed offline, not asked online":      {rules: "410042005F00", entry: emv.PINBypassed, results: "5F0002", tvr3: 0x08, asked: off},
		"bypassed offline":                        {rules: "41001E00", entry: emv.PINBypassed, results: "1E0000", tvr3: 0x08, asked: off},
		"no tries left before":                    {rules: "0100", tries: "00", results: "010001", tvr3: 0xA0},
		"wrong, then right":                       {rules: "0100", tries: "03", verify: []apdu.Status{0x63C2, 0x9000}, results: "010002", asked: []emv.PINMethod{emv.OfflinePlaintext, emv.OfflinePlaintext}},
		"wrong until blocked":                     {rules: "41001F00", verify: []apdu.Status{0x63C1, 0x63C0}, results: "1F0002", tvr3: 0x20, asked: []emv.PINMethod{emv.OfflinePlaintext, emv.OfflinePlaintext}},
		"blocked with 6983":                       {rules: "0100", verify: []apdu.Status{0x6983}, results: "010001", tvr3: 0xA0, asked: off},
		"blocked with 6984":                       {rules: "0100", verify: []apdu.Status{0x6984}, results: "010001", tvr3: 0xA0, asked: off},
		"last failure after a success is none":    {rules: "410042005E00", tries: "00", results: "420000", tvr3: 0x24, asked: on},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.card.aip[0] = tags.AIPCVM
			b.card.objects[tags.CVMList] = "0000000000000000" + r.rules
			if r.caps != 0 {
				b.term.Capabilities[1] = r.caps
			}
			if r.entry != 0 {
				b.holder.entry = r.entry
			}
			b.card.verify = r.verify
			if r.tries != "" {
				b.card.data = map[tlv.Tag]string{tags.PINTryCounter: r.tries}
			}
			o := b.must().Outcome()
			got := row{rules: r.rules, caps: r.caps, entry: r.entry, verify: r.verify, tries: r.tries,
				results: o.CVMResults.String(), tvr3: o.TVR[2], asked: b.holder.asked}
			if d := cmp.Diff(r, got, cmp.AllowUnexported(row{})); d != "" {
				t.Error(d)
			}
			if !o.TSI.Has(tags.TSICVMPerformed) {
				t.Error("TSI does not say that cardholder verification was performed")
			}
		})
	}
}

// TestCVMConditions meets and misses each condition. A rule that applies is "no
// CVM"; one that does not leaves the list without a rule.
func TestCVMConditions(t *testing.T) {
	const cash, manual, back, goods, refund = 0x01, 0x17, 0x09, 0x00, 0x20
	for name, c := range map[string]struct {
		condition    string
		kind         byte
		terminal     tags.TerminalTypeValue
		amount, cash int64
		currency     string // 9F42, "-" for none
		x, y         string
		applies      bool
	}{
		"always":                            {condition: "00", applies: true},
		"unattended cash":                   {condition: "01", kind: cash, terminal: 0x15, applies: true},
		"unattended cash: attended":         {condition: "01", kind: cash, terminal: 0x12},
		"unattended cash: goods":            {condition: "01", kind: goods, terminal: 0x15},
		"not cash: goods":                   {condition: "02", kind: goods, applies: true},
		"not cash: refund":                  {condition: "02", kind: refund, applies: true},
		"not cash: cash":                    {condition: "02", kind: cash},
		"not cash: manual cash":             {condition: "02", kind: manual},
		"not cash: cashback":                {condition: "02", kind: back},
		"not cash: goods with other amount": {condition: "02", kind: goods, cash: 100},
		"supported":                         {condition: "03", applies: true},
		"manual cash":                       {condition: "04", kind: cash, terminal: 0x12, applies: true},
		"manual cash: unattended":           {condition: "04", kind: cash, terminal: 0x15},
		"manual cash: goods":                {condition: "04", kind: goods},
		"cashback":                          {condition: "05", kind: back, applies: true},
		"cashback by its amount":            {condition: "05", kind: goods, cash: 100, applies: true},
		"cashback: goods":                   {condition: "05", kind: goods},
		"under X":                           {condition: "06", amount: 999, x: "000003E8", applies: true},
		"under X: equal":                    {condition: "06", amount: 1000, x: "000003E8"},
		"under X: other currency":           {condition: "06", amount: 999, x: "000003E8", currency: "0840"},
		"under X: currency unknown":         {condition: "06", amount: 999, x: "000003E8", currency: "-"},
		"over X":                            {condition: "07", amount: 1001, x: "000003E8", applies: true},
		"over X: equal":                     {condition: "07", amount: 1000, x: "000003E8"},
		"over X: other currency":            {condition: "07", amount: 1001, x: "000003E8", currency: "0840"},
		"under Y":                           {condition: "08", amount: 999, y: "000003E8", applies: true},
		"under Y: equal":                    {condition: "08", amount: 1000, y: "000003E8"},
		"under Y: X is not Y":               {condition: "08", amount: 999, x: "000003E8"},
		"over Y":                            {condition: "09", amount: 1001, y: "000003E8", applies: true},
		"over Y: equal":                     {condition: "09", amount: 1000, y: "000003E8"},
		"over Y: other currency":            {condition: "09", amount: 1001, y: "000003E8", currency: "0840"},
		"over X, four bytes full":           {condition: "07", amount: 4294967296, x: "FFFFFFFF", applies: true},
		"reserved":                          {condition: "0A"},
		"payment system's own":              {condition: "80"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.card.aip[0] = tags.AIPCVM
			x, y := "00000000", "00000000"
			if c.x != "" {
				x = c.x
			}
			if c.y != "" {
				y = c.y
			}
			b.card.objects[tags.CVMList] = x + y + "1F" + c.condition
			b.trade.Type = c.kind
			if c.amount != 0 {
				b.trade.Amount.Minor = c.amount
			}
			if c.cash != 0 {
				b.trade.Other = euros(t, c.cash)
			}
			if c.terminal != 0 {
				b.term.Type = c.terminal
			}
			switch c.currency {
			case "-":
				delete(b.card.objects, tags.ApplicationCurrencyCode)
			case "":
			default:
				b.card.objects[tags.ApplicationCurrencyCode] = c.currency
			}
			want := "3F0001"
			if c.applies {
				want = "1F" + c.condition + "02"
			}
			if got := b.must().Outcome().CVMResults.String(); got != want {
				t.Errorf("results %s, want %s", got, want)
			}
		})
	}
}

func TestCVMNotAsked(t *testing.T) {
	b := newBench(t)
	o := b.must().Outcome()
	if o.CVMResults.String() != "3F0000" || o.TSI.Has(tags.TSICVMPerformed) || o.CVM.Code() != tags.CVMNotAvailable {
		t.Errorf("results %s, TSI %s", o.CVMResults, o.TSI)
	}
}

func TestPINErrors(t *testing.T) {
	offline := func(b *bench) {
		b.card.aip[0] = tags.AIPCVM
		b.card.objects[tags.CVMList] = "00000000000000000100"
	}
	t.Run("cancelled", func(t *testing.T) {
		b := newBench(t)
		offline(b)
		b.holder.err = emv.ErrCancelled
		if _, err := b.start(); !errors.Is(err, emv.ErrCancelled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("status that VERIFY does not have", func(t *testing.T) {
		b := newBench(t)
		offline(b)
		b.card.verify = []apdu.Status{0x6A80}
		var se *emv.StatusError
		if _, err := b.start(); !errors.As(err, &se) || se.Step != emv.StepCVM || se.SW != 0x6A80 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a card that never runs out of tries", func(t *testing.T) {
		b := newBench(t)
		offline(b)
		for range 100 {
			b.card.verify = append(b.card.verify, 0x63CF)
		}
		if _, err := b.start(); !errors.Is(err, emv.ErrCard) || len(b.holder.asked) > 20 {
			t.Errorf("error %v after %d entries", err, len(b.holder.asked))
		}
	})
	t.Run("malformed list", func(t *testing.T) {
		b := newBench(t)
		b.card.aip[0] = tags.AIPCVM
		b.card.objects[tags.CVMList] = "00000000000000001F"
		var ce *emv.CardError
		if _, err := b.start(); !errors.As(err, &ce) || ce.Tag != tags.CVMList {
			t.Errorf("error %v", err)
		}
	})
}
