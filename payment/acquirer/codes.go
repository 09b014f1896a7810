package acquirer

// ResponseClass is what a response code asks the terminal and its people to do.
type ResponseClass uint8

// The classes. The zero value is for codes that nobody knows: no approval.
const (
	ClassUnknown    ResponseClass = iota
	ClassApproved                 // the transaction stands
	ClassPartial                  // approved for less than asked
	ClassDeclined                 // no, and the same will be answered again
	ClassRetry                    // no, but another try, amount or card may do
	ClassPickUp                   // no, and the card is to be kept
	ClassPINWrong                 // the PIN is wrong, it may be entered again
	ClassPINBlocked               // PIN tries exceeded
	ClassLater                    // the issuer or a system is out of reach: try later
	ClassFormat                   // the message or the terminal's set-up is at fault
)

// String names the class.
func (c ResponseClass) String() string {
	if s := [...]string{"unknown", "approved", "partially approved", "declined", "declined, retry possible", "pick up card", "wrong PIN", "PIN blocked", "try later", "format error"}; int(c) < len(s) {
		return s[c]
	}
	return "unknown"
}

// Response is a response code in words.
type Response struct {
	Code  string // two characters, 1987
	Class ResponseClass
	// Cardholder may be shown to the cardholder: it never tells more than
	// the card's owner may learn at a till.
	Cardholder string
	// Merchant is for the merchant's side.
	Merchant string
	// Action is the action code of 1993, "" when it has none.
	Action string
}

// Approved reports whether the transaction stands as asked, or in part.
func (r Response) Approved() bool { return r.Class == ClassApproved || r.Class == ClassPartial }

// Texts for the cardholder.
const (
	sayApproved = "Approved"
	sayDeclined = "Declined"
	sayRetry    = "Please try again or use another card"
	sayContact  = "Declined - please contact your bank"
	sayLater    = "Service not available - please try again later"
	sayTerminal = "Not possible at this terminal"
)

// responses is the table of ISO 8583:1987 (field 39) with the action codes that
// ISO 8583:1993 has for the same.
var responses = [...]Response{
	{"00", ClassApproved, sayApproved, "approved", "000"},
	{"01", ClassDeclined, sayContact, "refer to card issuer", "107"},
	{"02", ClassDeclined, sayContact, "refer to card issuer, special conditions", "108"},
	{"03", ClassFormat, sayTerminal, "invalid merchant", "109"},
	{"04", ClassPickUp, sayContact, "pick up card", "200"},
	{"05", ClassDeclined, sayDeclined, "do not honour", "100"},
	{"06", ClassFormat, sayRetry, "error", ""},
	{"07", ClassPickUp, sayContact, "pick up card, special conditions", ""},
	{"08", ClassApproved, sayApproved, "approved, check identification", "001"},
	{"09", ClassLater, sayLater, "request in progress", "923"},
	{"10", ClassPartial, "Approved for a part of the amount", "approved for a partial amount", "002"},
	{"11", ClassApproved, sayApproved, "approved (VIP)", "003"},
	{"12", ClassFormat, sayTerminal, "invalid transaction", "902"},
	{"13", ClassFormat, sayTerminal, "invalid amount", "110"},
	{"14", ClassDeclined, sayDeclined, "invalid card number", "111"},
	{"15", ClassDeclined, sayDeclined, "no such issuer", ""},
	{"17", ClassDeclined, "Cancelled", "cancelled by the customer", ""},
	{"19", ClassRetry, sayRetry, "re-enter transaction", "903"},
	{"21", ClassDeclined, sayDeclined, "no action taken", ""},
	{"25", ClassFormat, sayTerminal, "no such original transaction", "914"},
	{"30", ClassFormat, sayTerminal, "format error", "904"},
	{"31", ClassFormat, sayTerminal, "bank not supported by the switch", "905"},
	{"33", ClassPickUp, sayContact, "expired card, pick up", "201"},
	{"34", ClassPickUp, sayContact, "suspected fraud, pick up", "202"},
	{"35", ClassPickUp, sayContact, "contact acquirer, pick up", "203"},
	{"36", ClassPickUp, sayContact, "restricted card, pick up", "204"},
	{"37", ClassPickUp, sayContact, "call acquirer security, pick up", "205"},
	{"38", ClassPickUp, sayContact, "PIN tries exceeded, pick up", "206"},
	{"39", ClassDeclined, sayDeclined, "no credit account", ""},
	{"40", ClassDeclined, sayTerminal, "function not supported", "115"},
	{"41", ClassPickUp, sayContact, "lost card, pick up", "208"},
	{"42", ClassDeclined, sayDeclined, "no universal account", ""},
	{"43", ClassPickUp, sayContact, "stolen card, pick up", "209"},
	{"51", ClassRetry, "Declined - not sufficient funds", "not sufficient funds", "116"},
	{"52", ClassDeclined, sayDeclined, "no cheque account", "114"},
	{"53", ClassDeclined, sayDeclined, "no savings account", ""},
	{"54", ClassDeclined, "Declined - card expired", "expired card", "101"},
	{"55", ClassPINWrong, "Wrong PIN", "wrong PIN", "117"},
	{"56", ClassDeclined, sayDeclined, "no card record", "118"},
	{"57", ClassDeclined, sayDeclined, "transaction not permitted to cardholder", "119"},
	{"58", ClassDeclined, sayTerminal, "transaction not permitted to terminal", "120"},
	{"59", ClassDeclined, sayDeclined, "suspected fraud", "102"},
	{"60", ClassDeclined, sayDeclined, "contact acquirer", "103"},
	{"61", ClassRetry, "Declined - over the amount limit", "exceeds amount limit", "121"},
	{"62", ClassDeclined, sayDeclined, "restricted card", "104"},
	{"63", ClassFormat, sayDeclined, "security violation", "122"},
	{"64", ClassFormat, sayDeclined, "original amount incorrect", ""},
	{"65", ClassRetry, "Declined - insert the card and enter the PIN, or try later", "exceeds frequency limit", "123"},
	{"66", ClassDeclined, sayDeclined, "call acquirer's security department", "105"},
	{"67", ClassPickUp, sayContact, "hard capture", "207"},
	{"68", ClassLater, sayLater, "response received too late", "911"},
	{"75", ClassPINBlocked, "PIN tries exceeded - please contact your bank", "PIN tries exceeded", "106"},
	{"76", ClassFormat, sayDeclined, "original not found", ""},
	{"77", ClassFormat, sayDeclined, "repeat or reversal does not agree with the original", ""},
	{"78", ClassFormat, sayDeclined, "no such account", ""},
	{"82", ClassDeclined, sayDeclined, "card verification or cryptogram failed", ""},
	{"85", ClassApproved, sayApproved, "no reason to decline (card verification)", ""},
	{"86", ClassLater, sayLater, "PIN can't be verified", ""},
	{"88", ClassFormat, sayDeclined, "cryptographic failure", ""},
	{"90", ClassLater, sayLater, "cut-over in progress", "906"},
	{"91", ClassLater, sayLater, "issuer or switch inoperative", "907"},
	{"92", ClassLater, sayLater, "no route to the issuer", "908"},
	{"93", ClassDeclined, sayDeclined, "violation of law", "124"},
	{"94", ClassFormat, sayDeclined, "duplicate transmission", "913"},
	{"95", ClassFormat, sayTerminal, "totals do not agree", "501"},
	{"96", ClassLater, sayLater, "system malfunction", "909"},
}

// LookupResponse finds a response code; false when it is in no table, and the
// Response then says so and is no approval.
func LookupResponse(code string) (Response, bool) {
	for _, r := range responses {
		if r.Code == code {
			return r, true
		}
	}
	return Response{Code: code, Class: ClassUnknown, Cardholder: sayDeclined, Merchant: "declined, unknown code"}, false
}

// ResponseText returns the merchant's text of a response code and whether it is
// an approval. An unknown code is none.
func ResponseText(code string) (text string, approved bool) {
	r, _ := LookupResponse(code)
	return r.Merchant, r.Approved()
}

// Action codes of 1993 for what 1987 answers with 00, by message class.
const (
	actionApproved   = "000"
	actionReversed   = "400"
	actionReconciled = "500"
	actionNetwork    = "800"
	actionAccepted   = "300"
)

func actionOK(mti string) string {
	switch mti[1] {
	case '3':
		return actionAccepted
	case '4':
		return actionReversed
	case '5':
		return actionReconciled
	case '8':
		return actionNetwork
	}
	return actionApproved
}

// actionCode writes a response code as 1993 does.
func actionCode(m *Message) ([]byte, string) {
	switch m.ResponseCode {
	case "":
		return nil, ""
	case "00":
		return []byte(actionOK(m.MTI)), ""
	}
	r, ok := LookupResponse(m.ResponseCode)
	if !ok || r.Action == "" {
		return nil, "has no action code of ISO 8583:1993"
	}
	return []byte(r.Action), ""
}

// responseOfAction is the inverse of actionCode.
func responseOfAction(mti, action string) (string, string) {
	if action == actionOK(mti) {
		return "00", ""
	}
	for _, r := range responses {
		if r.Action == action && r.Code != "00" {
			return r.Code, ""
		}
	}
	return "", "has an action code without a response code of ISO 8583:1987"
}
