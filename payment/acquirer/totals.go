package acquirer

import (
	"fmt"
	"strconv"
)

// totalsElements is the number of elements of Totals, which come together.
const totalsElements = 10

// place is the number behind a member of Totals, and its digits.
func (t *Totals) place(mem Member) (*uint64, int) {
	switch mem {
	case MemberCreditsNumber:
		return &t.Credits.Count, 10
	case MemberCreditReversalsNumber:
		return &t.CreditReversals.Count, 10
	case MemberDebitsNumber:
		return &t.Debits.Count, 10
	case MemberDebitReversalsNumber:
		return &t.DebitReversals.Count, 10
	case MemberCreditsAmount:
		return &t.Credits.Minor, 16
	case MemberCreditReversalsAmount:
		return &t.CreditReversals.Minor, 16
	case MemberDebitsAmount:
		return &t.Debits.Minor, 16
	case MemberDebitReversalsAmount:
		return &t.DebitReversals.Minor, 16
	}
	return nil, 0
}

const maxTotal = 9_999_999_999_999_999

func (t *Totals) get(mem Member) ([]byte, string) {
	switch mem {
	case MemberSettlementCurrency:
		return currency(t.Currency)
	case MemberNetSettlement:
		sign, n := 'C', t.Net
		if n < 0 {
			sign, n = 'D', -n
		}
		if n < 0 || n > maxTotal {
			return nil, "has more than 16 digits"
		}
		return fmt.Appendf(nil, "%c%016d", sign, n), ""
	}
	p, digits := t.place(mem)
	if p == nil {
		return nil, "is unknown"
	}
	if *p >= uint64(pow10(digits)) {
		return nil, fmt.Sprintf("has more than %d digits", digits)
	}
	return number(*p, digits), ""
}

func (t *Totals) set(mem Member, v []byte) string {
	switch mem {
	case MemberSettlementCurrency:
		c, reason := parseCurrency(v)
		t.Currency = c
		return reason
	case MemberNetSettlement:
		n, err := strconv.ParseInt(string(v[1:]), 10, 64)
		if err != nil || v[0] != 'C' && v[0] != 'D' || v[0] == 'D' && n == 0 {
			return "is no signed amount"
		}
		if v[0] == 'D' {
			n = -n
		}
		t.Net = n
		return ""
	}
	p, _ := t.place(mem)
	if p == nil {
		return "is unknown"
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return "is no number"
	}
	*p = n
	return ""
}

// Balance returns the net of the totals, from the merchant's side: debits of
// cardholders less what was taken back, less credits of cardholders and what
// was taken back of them. A Net of another value is a difference.
func (t *Totals) Balance() int64 {
	return int64(t.Credits.Minor) - int64(t.CreditReversals.Minor) - int64(t.Debits.Minor) + int64(t.DebitReversals.Minor)
}
