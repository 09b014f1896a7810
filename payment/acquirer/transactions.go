package acquirer

import (
	"fmt"
	"slices"
)

// AmountRule says which amount a transaction has.
type AmountRule uint8

// The rules.
const (
	AnyAmount  AmountRule = iota
	SomeAmount            // more than zero
	NoAmount              // zero: nothing is charged
)

// Transaction is a kind of business that messages do: how it is told from
// others, and what its messages have to carry beyond the Rules of their types.
type Transaction struct {
	// Name is what errors and people call it.
	Name string
	// Messages are the requests and advices that do it, in 1987 terms without
	// the last digit: "020". An answer does what its request does.
	Messages []string
	// Processing are the first two digits of its processing codes; nil for any.
	Processing []string
	// Condition is its condition code (field 25 of 1987); "" for any.
	Condition string
	// Network is its network management code (field 70); "" for any.
	Network string
	// Refers: it is about an earlier request, which its messages name.
	Refers bool
	// Function is its function code of ISO 8583:1993 (field 24).
	Function string
	// Amount is the rule for the amount of its requests and advices.
	Amount AmountRule
	// Needs are mandatory in its requests and advices, Returns in answers that
	// approve it.
	Needs, Returns []Member
}

// ConditionPreauth is the condition code of a pre-authorised request (field 25
// of 1987).
const ConditionPreauth = "06"

// DefaultTransactions returns the transactions of the dialects of this package.
// The first one that fits a message is the message's.
func DefaultTransactions() []Transaction {
	account := []Member{MemberEntryMode, MemberTerminalID, MemberMerchantID}
	return []Transaction{
		{Name: "incremental authorisation", Messages: []string{"010"}, Processing: []string{"00"}, Refers: true, Function: "106", Amount: SomeAmount, Needs: account},
		{Name: "pre-authorisation", Messages: []string{"010"}, Processing: []string{"00"}, Condition: ConditionPreauth, Function: "101", Amount: SomeAmount, Needs: account},
		{Name: "authorisation", Messages: []string{"010"}, Processing: []string{"00"}, Function: "100", Amount: SomeAmount, Needs: account},
		{Name: "sale", Messages: []string{"020"}, Processing: []string{"00"}, Function: "200", Amount: SomeAmount, Needs: account},
		{Name: "sale with cashback", Messages: []string{"010", "020"}, Processing: []string{"09"}, Function: "200", Amount: SomeAmount, Needs: append(account, MemberOther)},
		{Name: "refund", Messages: []string{"010", "020"}, Processing: []string{"20"}, Function: "200", Amount: SomeAmount, Needs: account},
		{Name: "balance inquiry", Messages: []string{"010", "020"}, Processing: []string{"30", "31"}, Function: "108", Amount: NoAmount, Needs: account, Returns: []Member{MemberOther}},
		{Name: "card verification", Messages: []string{"010", "020"}, Processing: []string{"38"}, Function: "108", Amount: NoAmount, Needs: account},
		{Name: "completion", Messages: []string{"012", "022"}, Refers: true, Function: "201", Amount: SomeAmount},
		{Name: "advice of an offline transaction", Messages: []string{"012", "022"}, Function: "200", Amount: SomeAmount, Needs: account},
		{Name: "batch upload", Messages: []string{"032"}, Function: "301"},
		{Name: "void", Messages: []string{"040"}, Function: "400", Needs: []Member{MemberOriginal}},
		{Name: "partial reversal", Messages: []string{"042"}, Function: "401", Needs: []Member{MemberOriginal, MemberReplacement}},
		{Name: "reversal", Messages: []string{"042"}, Function: "400", Needs: []Member{MemberOriginal}},
		{Name: "settlement", Messages: []string{"050", "052"}, Function: "500"},
		{Name: "sign-on", Messages: []string{"080", "082"}, Network: NetworkSignOn, Function: "801"},
		{Name: "sign-off", Messages: []string{"080", "082"}, Network: NetworkSignOff, Function: "802"},
		{Name: "key exchange", Messages: []string{"080", "082"}, Network: NetworkKey, Function: "811"},
		{Name: "cut-over", Messages: []string{"080", "082"}, Network: NetworkCutover, Function: "821"},
		{Name: "echo", Messages: []string{"080", "082"}, Network: NetworkEcho, Function: "831"},
	}
}

func (t *Transaction) check() error {
	for _, m := range t.Messages {
		if len(m) != 3 || !digitsOnly(m) || m[2] != '0' && m[2] != '2' {
			return fmt.Errorf("transaction %q: message type %q: want three digits of a request or advice", t.Name, m)
		}
	}
	for _, m := range slices.Concat(t.Needs, t.Returns) {
		if m == NoMember || m >= memberCount {
			return fmt.Errorf("transaction %q: unknown member", t.Name)
		}
	}
	if t.Name == "" || t.Function != "" && (len(t.Function) != 3 || !digitsOnly(t.Function)) {
		return fmt.Errorf("transaction %q: wants a name, and three digits of a function code", t.Name)
	}
	return nil
}

// fits reports whether a message does the transaction.
func (t *Transaction) fits(m *Message, prefix string) bool {
	switch {
	case !slices.Contains(t.Messages, prefix),
		t.Processing != nil && (len(m.ProcessingCode) != 6 || !slices.Contains(t.Processing, m.ProcessingCode[:2])),
		t.Condition != "" && m.ConditionCode != t.Condition,
		t.Network != "" && m.NetworkCode != t.Network,
		t.Refers && m.Original == nil,
		slices.Contains(t.Needs, MemberReplacement) && m.Replacement == nil:
		return false
	}
	return true
}

// asked is the message type, without the last digit, of what an answer answers;
// of others it is their own.
func asked(mti string) string {
	if mti[2] == '1' || mti[2] == '3' {
		return mti[:2] + string(rune(mti[2]-1))
	}
	return mti[:3]
}

// Transaction says which kind of business m does; false when the dialect knows
// none that fits.
func (d *Dialect) Transaction(m *Message) (Transaction, bool) {
	if t := d.transaction(m); t != nil {
		return *t, true
	}
	return Transaction{}, false
}

func (d *Dialect) transaction(m *Message) *Transaction {
	if _, _, reason := parseMTI(m.MTI); reason != "" {
		return nil
	}
	prefix := asked(m.MTI)
	for i := range d.transactions {
		if t := &d.transactions[i]; t.fits(m, prefix) {
			return t
		}
	}
	return nil
}

// business checks a message by the rules of its transaction.
func (d *Dialect) business(m *Message, function byte) error {
	t := d.transaction(m)
	if t == nil {
		return nil
	}
	if function == '1' || function == '3' {
		for _, mem := range t.Returns {
			if m.ResponseCode == "00" && !m.has(mem) {
				return d.at(mem, "is missing, mandatory in the approval of "+t.Name)
			}
		}
		return nil
	}
	for _, mem := range t.Needs {
		if !m.has(mem) {
			return d.at(mem, fmt.Sprintf("is missing, mandatory in %s: %s", m.MTI, t.Name))
		}
	}
	if m.Amount == nil {
		return nil
	}
	switch {
	case t.Amount == SomeAmount && m.Amount.Minor == 0:
		return d.at(MemberAmount, "is zero: "+t.Name+" has one")
	case t.Amount == NoAmount && m.Amount.Minor != 0:
		return d.at(MemberAmount, "is not zero: "+t.Name+" has none")
	}
	return nil
}

// functionCode is field 24 of 1993: what the message says itself, else what
// follows from its transaction. Answers say it for network management alone.
func (d *Dialect) functionCode(m *Message) ([]byte, string) {
	if d.members[MemberFunctionCode] == nil || m.Function != "" {
		return text(m.Function), ""
	}
	if IsResponse(m.MTI) && m.MTI[1] != '8' {
		return nil, ""
	}
	t := d.transaction(m)
	if t == nil || t.Function == "" {
		if m.NetworkCode != "" {
			return nil, "has no function code of ISO 8583:1993"
		}
		return nil, ""
	}
	return []byte(t.Function), ""
}

// setFunction is the inverse of functionCode, for a message that is whole but
// for it.
func (d *Dialect) setFunction(m *Message, code string) string {
	if m.MTI[1] == '8' {
		for _, t := range d.transactions {
			if t.Function == code && t.Network != "" && slices.Contains(t.Messages, asked(m.MTI)) {
				m.NetworkCode = t.Network
				return ""
			}
		}
		return "has a function code that the dialect does not know"
	}
	if implied, _ := d.functionCode(m); string(implied) != code {
		m.Function = code
	}
	return ""
}
