package emv_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// TestTerminalFile reads the example and checks some of each kind of value.
func TestTerminalFile(t *testing.T) {
	term := terminal(t)
	want := emv.Application{
		AID: bin("A0000000041010"), Partial: true, Version: [2]byte{0, 0x96},
		TACDenial: [5]byte{0, 0x10, 0, 0, 0}, TACOnline: [5]byte{0xD8, 0x40, 0x04, 0xF9, 0x06}, TACDefault: [5]byte{0xD8, 0x40, 0, 0xA9, 0x06},
		DefaultDDOL: bin("9F3704"), DefaultTDOL: []byte{}, RiskData: []byte{},
	}
	if d := cmp.Diff(want, term.Applications[1]); d != "" {
		t.Error(d)
	}
	if term.Type != 0x21 || term.Country != 276 || term.ID != "TERM0001" || term.Capabilities != (tags.CapabilitiesValue{0xE0, 0xF8, 0xCC}) || !term.Type.OnlineOnly() {
		t.Errorf("terminal %+v", term)
	}
}

// TestTerminalRefused alters one member of the example at a time: the error names
// the place.
// TestActionCodesLeftOut: a terminal action code that is not given is all zeros
// (Book 3, 10.7).
func TestActionCodesLeftOut(t *testing.T) {
	term, err := emv.ParseTerminal(strings.NewReader(`{"type":"22","country":"056","capabilities":"E0F8C8","additional_capabilities":"F000F0A001",
		"applications":[{"aid":"A000000003","version":"008C","tac_online":"D84004F800"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	a := term.Applications[0]
	if a.TACDenial != [5]byte{} || a.TACDefault != [5]byte{} || a.TACOnline != [5]byte{0xD8, 0x40, 0x04, 0xF8, 0} {
		t.Errorf("%X %X %X", a.TACDenial, a.TACOnline, a.TACDefault)
	}
}

func TestTerminalRefused(t *testing.T) {
	raw, err := os.ReadFile("testdata/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ member, value, text string }{
		{"type", `"2"`, "type is not the hex of 1 bytes"},
		{"type", `"27"`, "type 27"},
		{"type", `"12345"`, "type is not"},
		{"type", `21`, "type"},
		{"capabilities", `"E0F8"`, "capabilities"},
		{"additional_capabilities", `"zz00F0A001"`, "additional_capabilities"},
		{"country", `"27"`, "country"},
		{"country", `"DE "`, "country"},
		{"country", `276`, "country"},
		{"ifd_serial", `"1"`, "IFD serial"},
		{"terminal_id", `"TERM"`, "terminal id"},
		{"terminal_id", `"TERM\u0000001"`, "terminal id"},
		{"merchant_id", `"M"`, "merchant id"},
		{"merchant_category", `"12A4"`, "merchant category"},
		{"merchant_name", `"a\nb"`, "merchant name"},
		{"acquirer_id", `"123456789012"`, "acquirer id"},
		{"applications", `[]`, "no applications"},
		{"surprise", `1`, "surprise"},
		{"1.aid", `"A000"`, "application 2"},
		{"1.aid", `"A0000000031010"`, "given twice"},
		{"1.aid", `"A0000000041010A0000000041010A00000"`, "application 2"},
		{"0.version", `"96"`, "version"},
		{"0.tac_denial", `"00"`, "tac_denial"},
		{"0.tac_online", `"FFFFFFFF"`, "tac_online"},
		{"0.tac_default", `7`, "tac_default"},
		{"0.floor_limit", `-1`, "floor_limit"},
		{"0.floor_limit", `1.5`, "floor_limit"},
		{"0.default_ddol", `"9F37"`, "default DDOL"},
		{"0.default_tdol", `"9"`, "default_tdol"},
		{"0.risk_data", `"010203040506070809"`, "risk data"},
		{"0.random_selection", `{"target_percent": 100, "max_target_percent": 100}`, "percentages"},
		{"0.random_selection", `{"target_percent": 20, "max_target_percent": 10}`, "percentages"},
		{"0.random_selection", `{"threshold": 10, "target_percent": 10, "max_target_percent": 20}`, "threshold"},
		{"0.random_selection", `{"chance": 1}`, "chance"},
		{"exceptions", `["47617390010100A0"]`, "exception 1 is no card number"},
		{"exceptions", `["4761739001010010", "4761739001010010/1"]`, "exception 2: the sequence number"},
		{"exceptions", `["4761739001010010/"]`, "exception 1: the sequence number"},
		{"exceptions", `"4761739001010010"`, "exceptions"},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "31"}, {"id": ""}]}`, "program 2: id \"\""},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "3102x"}]}`, "program 1: id \"3102x\""},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "0102030405060708090A0B0C0D0E0F1011"}]}`, "program 1"},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "310A"}, {"id": "310a"}]}`, "program 2: id \"310a\" is given twice"},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "31", "cvm_limit": -1}]}`, "cvm_limit"},
		{"0.contactless", `{"kernel": 3, "programs": [{"id": "31", "ttq": "36000000"}]}`, "ttq"},
		{"0.contactless", `{"kernel": 2, "programs": [{"id": "31"}]}`, "for kernel 3, not 2"},
		{"0.contactless", `{"kernel": 2, "check_cash": true}`, "for kernel 3, not 2"},
		{"0.contactless", `{"kernel": 7, "check_cashback": true}`, "for kernel 3, not 7"},
		{"0.contactless", `{"kernel": 3, "check_cash": 1}`, "check_cash"},
	} {
		t.Run(c.member+"="+c.value, func(t *testing.T) {
			var f map[string]json.RawMessage
			if err := json.Unmarshal(raw, &f); err != nil {
				t.Fatal(err)
			}
			if index, member, ok := strings.Cut(c.member, "."); ok {
				var apps []map[string]json.RawMessage
				if err := json.Unmarshal(f["applications"], &apps); err != nil {
					t.Fatal(err)
				}
				apps[index[0]-'0'][member] = json.RawMessage(c.value)
				if f["applications"], err = json.Marshal(apps); err != nil {
					t.Fatal(err)
				}
			} else {
				f[c.member] = json.RawMessage(c.value)
			}
			b, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			_, err = emv.ParseTerminal(bytes.NewReader(b))
			if !errors.Is(err, emv.ErrConfig) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q", err, c.text)
			}
		})
	}
	for name, b := range map[string][]byte{"empty": nil, "two objects": append(bytes.Clone(raw), raw...), "too long": make([]byte, 2<<20)} {
		if _, err := emv.ParseTerminal(bytes.NewReader(b)); !errors.Is(err, emv.ErrConfig) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestTapFile reads what a terminal file says of the contactless interface, and
// writes it again.
func TestTapFile(t *testing.T) {
	const file = `{"type":"22","country":"056","capabilities":"E0F8C8","additional_capabilities":"F000F0A001",
		"exceptions": ["4761739001010010", "4761739001010028/01"],
		"applications":[{"aid":"A000000003","version":"008C","contactless":{"kernel":3,"ttq":"36004000","check_cash":true,"check_cashback":true,
		"programs":[{"id":"3102","transaction_limit":900,"floor_limit":0,"cvm_limit":500,"status_check":true,"zero_amount":false},{"id":"31"}]}}]}`
	first, err := emv.ParseTerminal(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := first.Write(&b); err != nil {
		t.Fatal(err)
	}
	second, err := emv.ParseTerminal(&b)
	if err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) *uint64 { return &n }
	yes, no := true, false
	want := emv.Tap{
		Kernel: 3, TTQ: &tags.TTQValue{0x36, 0x00, 0x40, 0x00}, CheckCash: true, CheckCashback: true,
		Programs: []emv.TapProgram{
			{ID: []byte{0x31, 0x02}, TransactionLimit: limit(900), FloorLimit: limit(0), CVMLimit: limit(500), StatusCheck: &yes, ZeroAmount: &no},
			{ID: []byte{0x31}},
		},
	}
	for _, term := range []emv.Terminal{first, second} {
		if d := cmp.Diff(want, *term.Applications[0].Contactless); d != "" {
			t.Errorf("contactless (-want +got):\n%s", d)
		}
		for _, c := range []struct {
			pan, psn string
			listed   bool
		}{
			{"4761739001010010", "", true}, {"4761739001010010", "07", true}, {"4761739001010028", "01", true},
			{"4761739001010028", "02", false}, {"4761739001010028", "", false}, {"4761739001010011", "", false}, {"476173900101001", "", false},
		} {
			pan, err := secret.NewPAN([]byte(c.pan))
			if err != nil {
				t.Fatal(err)
			}
			if got := term.Exceptions.Listed(pan, c.psn); got != c.listed {
				t.Errorf("%s/%s listed: %v", c.pan, c.psn, got)
			}
		}
		if s := fmt.Sprintf("%v %+v %#v %s", term, term.Exceptions, term.Exceptions, term.Exceptions); strings.Contains(s, "476173900101") {
			t.Errorf("tells card numbers: %s", s)
		}
	}
}

// TestNew refuses a kernel without what decides whom it trusts.
func TestNew(t *testing.T) {
	for name, alter := range map[string]func(*emv.Config){
		"CAKeys is nil":  func(c *emv.Config) { c.CAKeys = nil },
		"PIN is nil":     func(c *emv.Config) { c.PIN = nil },
		"Chooser is nil": func(c *emv.Config) { c.Chooser = nil },
		"type 00":        func(c *emv.Config) { c.Terminal = emv.Terminal{} },
	} {
		h := &holder{}
		c := emv.Config{Terminal: terminal(t), CAKeys: noKeys{}, PIN: h, Chooser: h}
		alter(&c)
		if _, err := emv.New(c); !errors.Is(err, emv.ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestTransactionRefused gives amounts that cards can't be told.
func TestTransactionRefused(t *testing.T) {
	usd, err := money.ByCode("USD")
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*emv.Transaction){
		"negative":                  func(x *emv.Transaction) { x.Amount.Minor = -1 },
		"13 digits":                 func(x *emv.Transaction) { x.Amount.Minor = 1e12 },
		"other in another currency": func(x *emv.Transaction) { x.Other = money.New(1, usd) },
		"other over amount":         func(x *emv.Transaction) { x.Other = eur(1235) },
		"other negative":            func(x *emv.Transaction) { x.Other = eur(-1) },
		"no currency":               func(x *emv.Transaction) { x.Amount = money.Amount{Minor: 1} },
	} {
		b := newBench(t)
		alter(&b.trade)
		if _, err := b.start(); !errors.Is(err, emv.ErrConfig) || len(b.card.log) != 0 {
			t.Errorf("%s: error %v after %d commands", name, err, len(b.card.log))
		}
	}
}
