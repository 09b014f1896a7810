package acquirer

// Processing codes (field 3) of the transactions: two digits of the type (ISO
// 8583:1987), two of the account that is debited, two of the one credited; 00
// is the default account.
const (
	ProcessingSale         = "000000"
	ProcessingCash         = "010000"
	ProcessingVoid         = "020000" // debit adjustment
	ProcessingCashback     = "090000"
	ProcessingRefund       = "200000"
	ProcessingBalance      = "310000"
	ProcessingVerification = "380000" // card verification, amount 0
)

// Network management codes (field 70) of a 08xx.
const (
	NetworkSignOn  = "001"
	NetworkSignOff = "002"
	NetworkKey     = "101" // key change
	NetworkCutover = "201"
	NetworkEcho    = "301"
)

// ProcessingText says in words what a processing code asks for.
func ProcessingText(code string) string {
	if len(code) < 2 {
		return ""
	}
	switch code[:2] {
	case "00":
		return "purchase"
	case "01":
		return "cash"
	case "02":
		return "void"
	case "09":
		return "purchase with cashback"
	case "20":
		return "refund"
	case "30", "31":
		return "balance inquiry"
	case "38":
		return "card verification"
	}
	return "transaction type " + code[:2]
}

// functionText says in words what a function code of 1993 is for.
func functionText(code string) string {
	switch code {
	case "100":
		return "original authorisation, amount accurate"
	case "101":
		return "original authorisation, amount estimated"
	case "106":
		return "supplementary authorisation"
	case "108":
		return "inquiry"
	case "200":
		return "original financial request or advice"
	case "201":
		return "previously approved authorisation, amount the same"
	case "202":
		return "previously approved authorisation, amount differs"
	case "301":
		return "add a record"
	case "400":
		return "full reversal"
	case "401":
		return "partial reversal"
	case "500":
		return "final reconciliation"
	case "801":
		return "sign-on"
	case "802":
		return "sign-off"
	case "811":
		return "key change"
	case "821":
		return "cut-over"
	case "831":
		return "echo test"
	}
	return ""
}

func networkText(code string) string {
	switch code {
	case NetworkSignOn:
		return "sign-on"
	case NetworkSignOff:
		return "sign-off"
	case NetworkKey:
		return "key change"
	case NetworkCutover:
		return "cut-over"
	case NetworkEcho:
		return "echo test"
	}
	return ""
}
