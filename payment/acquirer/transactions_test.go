package acquirer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// business makes a good message of each kind of transaction.
func business(t testing.TB) map[string]*Message {
	t.Helper()
	sale := request(t)
	make := func(change func(m *Message)) *Message {
		m := request(t)
		change(m)
		return m
	}
	refer := func(m *Message) {
		m.Original = &Original{MTI: "0100", STAN: "000041", TransmissionTime: m.TransmissionTime.Add(-time.Minute)}
	}
	reversal, err := sale.Reversal(ReasonTimeout)
	if err != nil {
		t.Fatal(err)
	}
	part, err := sale.PartialReversal(money.New(1000, sale.Amount.Currency))
	if err != nil {
		t.Fatal(err)
	}
	completion, err := sale.Completion("123456", sale.ICC)
	if err != nil {
		t.Fatal(err)
	}
	void := reversal.Clone()
	void.MTI = "0400"
	out := map[string]*Message{
		"sale": sale,
		"sale with cashback": make(func(m *Message) {
			m.ProcessingCode = ProcessingCashback
			m.Other = []OtherAmount{{"00", AmountCashback, money.New(1000, m.Amount.Currency)}}
		}),
		"authorisation":             make(func(m *Message) { m.MTI = "0100" }),
		"pre-authorisation":         make(func(m *Message) { m.MTI, m.ConditionCode = "0100", ConditionPreauth }),
		"incremental authorisation": make(func(m *Message) { m.MTI = "0100"; refer(m); m.PAN, m.Track2 = secret.PAN{}, secret.Track2{} }),
		"refund":                    make(func(m *Message) { m.ProcessingCode = ProcessingRefund }),
		"balance inquiry":           make(func(m *Message) { m.MTI, m.ProcessingCode, m.Amount.Minor = "0100", ProcessingBalance, 0 }),
		"card verification":         make(func(m *Message) { m.MTI, m.ProcessingCode, m.Amount.Minor = "0100", ProcessingVerification, 0 }),
		"completion":                completion,
		"advice of an offline transaction": make(func(m *Message) {
			m.MTI, m.PINBlock, m.PINFormat, m.PINKSN = "0220", nil, 0, nil
		}),
		"batch upload":     make(func(m *Message) { m.MTI = "0320"; refer(m) }),
		"void":             void,
		"reversal":         reversal,
		"partial reversal": part,
		"settlement": {
			MTI: "0500", STAN: "000050", TerminalID: "TERM0001", TransmissionTime: sale.TransmissionTime,
			Totals: &Totals{Currency: sale.Amount.Currency, Debits: Total{2, 2468}, Credits: Total{1, 234}, Net: -2234},
		},
	}
	for name, code := range map[string]string{"sign-on": NetworkSignOn, "sign-off": NetworkSignOff, "key exchange": NetworkKey, "cut-over": NetworkCutover, "echo": NetworkEcho} {
		out[name] = NewNetworkManagement(code, "000051", "TERM0001", sale.TransmissionTime)
	}
	return out
}

// TestTransactions packs a message of each transaction in each dialect, and its
// repeat and its answer; what comes out is what went in, and is told for what it
// is.
func TestTransactions(t *testing.T) {
	all := business(t)
	for _, d := range full(t) {
		for _, x := range DefaultTransactions() {
			m := all[x.Name]
			if m == nil {
				t.Fatalf("no message for %s", x.Name)
			}
			if m.Replacement != nil && d.members[MemberReplacement] == nil {
				continue
			}
			again, err := m.Repeat()
			if err != nil {
				t.Fatal(err)
			}
			answer, err := m.Response("00")
			if err != nil {
				t.Fatal(err)
			}
			if x.Name == "balance inquiry" {
				answer.Other = []OtherAmount{{"00", AmountAvailableBalance, money.New(99, m.Amount.Currency)}}
			}
			for _, m := range []*Message{m, again, answer} {
				b, err := d.Pack(m)
				if err != nil {
					t.Errorf("%s: %s %s: %v", d.Name(), x.Name, m.MTI, err)
					continue
				}
				got, err := d.Unpack(b)
				if err != nil {
					t.Errorf("%s: %s %s: %v", d.Name(), x.Name, m.MTI, err)
					continue
				}
				if diff := cmp.Diff(m, got, secrets); diff != "" && m == again {
					t.Errorf("%s: %s (-want +got):\n%s", d.Name(), x.Name, diff)
				}
				// The answer to a 1987 request may have no condition code
				// to tell it by: its request does.
				if told, ok := d.Transaction(got); m != answer && (!ok || told.Name != x.Name) {
					t.Errorf("%s: %s is told as %q", d.Name(), x.Name, told.Name)
				}
			}
			if err := Matches(m, answer); err != nil {
				t.Errorf("%s: %v", x.Name, err)
			}
		}
	}
}

// TestTransactionRules leaves out, or adds, what a transaction's rules are about;
// the error names field and rule, before sending and after receiving.
func TestTransactionRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		of     string
		change func(m *Message)
		field  int
		reason string
	}{
		{"no amount to charge", "sale", func(m *Message) { m.Amount.Minor = 0 }, 4, "is zero: sale has one"},
		{"nothing to hold", "pre-authorisation", func(m *Message) { m.Amount.Minor = 0 }, 4, "is zero: pre-authorisation has one"},
		{"nothing to add", "incremental authorisation", func(m *Message) { m.Amount.Minor = 0 }, 4, "is zero: incremental"},
		{"a price for a question", "balance inquiry", func(m *Message) { m.Amount.Minor = 1 }, 4, "is not zero: balance inquiry has none"},
		{"a price for a look", "card verification", func(m *Message) { m.Amount.Minor = 1 }, 4, "is not zero: card verification"},
		{"cashback without cash", "sale with cashback", func(m *Message) { m.Other = nil }, 54, "mandatory in"},
		{"refund of nothing", "refund", func(m *Message) { m.Amount.Minor = 0 }, 4, "is zero: refund"},
		{"completion of nothing", "completion", func(m *Message) { m.Amount.Minor = 0 }, 4, "is zero: completion"},
		{"void of nothing", "void", func(m *Message) { m.Original = nil }, 90, "mandatory in 0400"},
		{"offline advice without a terminal's mode", "advice of an offline transaction", func(m *Message) { m.EntryMode = "" }, 22, "mandatory in 0220: advice of an offline transaction"},
		{"settlement without totals", "settlement", func(m *Message) { m.Totals = nil }, 97, "mandatory in 0500"},
		{"network management for nothing", "echo", func(m *Message) { m.NetworkCode = "" }, 70, "mandatory in 0800"},
	} {
		d := full(t)[0]
		m := business(t)[c.of]
		c.change(m)
		_, err := d.Pack(m)
		var f *FieldError
		if !errors.As(err, &f) || !errors.Is(err, ErrInvalid) || f.Field != c.field || !strings.Contains(f.Reason, c.reason) {
			t.Errorf("%s: %v, want field %d: %s", c.name, err, c.field, c.reason)
		}
		// The same on the wire: packed by a dialect without rules.
		free := d.Table()
		free.Name, free.Rules, free.Transactions = "free", []Rule{}, []Transaction{}
		lax, err := NewDialect(free)
		if err != nil {
			t.Fatal(err)
		}
		b, err := lax.Pack(m)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err = d.Unpack(b)
		if !errors.As(err, &f) || !errors.Is(err, ErrMalformed) || f.Field != c.field || !strings.Contains(f.Reason, c.reason) {
			t.Errorf("%s, received: %v, want field %d: %s", c.name, err, c.field, c.reason)
		}
	}
	d := full(t)[0]
	m := business(t)["balance inquiry"]
	answer, err := m.Response("00")
	if err != nil {
		t.Fatal(err)
	}
	var f *FieldError
	if _, err := d.Pack(answer); !errors.As(err, &f) || f.Field != 54 || !strings.Contains(f.Reason, "mandatory in the approval of balance inquiry") {
		t.Errorf("a balance without a balance: %v", err)
	}
	if answer.ResponseCode = "05"; d.Check(answer) != nil {
		t.Errorf("a refusal: %v", d.Check(answer))
	}
}

// TestFunctionCodes: field 24 of 1993 says what the message does, and one that a
// host says otherwise is kept.
func TestFunctionCodes(t *testing.T) {
	d := full(t)[2]
	all := business(t)
	for name, want := range map[string]string{
		"sale": "200", "pre-authorisation": "101", "incremental authorisation": "106", "balance inquiry": "108", "completion": "201",
		"reversal": "400", "settlement": "500", "sign-on": "801", "key exchange": "811", "cut-over": "821", "echo": "831",
	} {
		b, err := d.Pack(all[name])
		if err != nil {
			t.Fatal(err)
		}
		x, err := d.Explain(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range x.Fields {
			if f.Number == 24 && (f.Value != want || f.Meaning == "") {
				t.Errorf("%s: %s (%s), want %s", name, f.Value, f.Meaning, want)
			}
		}
	}
	m := all["sale"]
	m.Function = "203"
	b, err := d.Pack(m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Unpack(b); err != nil || got.Function != "203" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := full(t)[0].Pack(m); err == nil || !strings.Contains(err.Error(), "no field for Function") {
		t.Errorf("1987: %v", err)
	}
	m.Function = "2x"
	if _, err := d.Pack(m); err == nil || !strings.Contains(err.Error(), "three digits") {
		t.Errorf("letters: %v", err)
	}
	echo := all["echo"]
	echo.NetworkCode = "999"
	if _, err := d.Pack(echo); err == nil || !strings.Contains(err.Error(), "no function code") {
		t.Errorf("unknown network code: %v", err)
	}
}
