package acquirer

import (
	"fmt"
	"slices"
)

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
	// Cardholder may be shown to the cardholder, in their language: it never
	// tells more than the card's owner may learn at a till.
	Cardholder Phrase
	// Merchant is for the merchant's side, in English.
	Merchant string
	// Action is the action code of 1993, "" when it has none.
	Action string
	// Next is what is to be done; the zero value is what its class says.
	Next Next
}

// Next is what follows from a response code.
type Next uint8

// What is to be done.
const (
	NextByClass      Next = iota // what the class says
	NextNothing                  // the transaction is over
	NextSmaller                  // the rest of the amount is to be paid otherwise
	NextAnother                  // another try, amount or card
	NextEnterPIN                 // the PIN may be entered again
	NextKeepCard                 // keep the card, where that can be done in peace
	NextCallIssuer               // the issuer decides by telephone
	NextWait                     // try the same again later
	NextCallAcquirer             // the terminal, the merchant or the message is not set up right
)

// String says it in words.
func (n Next) String() string {
	if s := [...]string{"as the class says", "nothing", "pay the rest otherwise", "try another amount or card", "enter the PIN again", "keep the card", "call the issuer", "try again later", "call the acquirer"}; int(n) < len(s) {
		return s[n]
	}
	return "unknown"
}

// next is what a class asks for.
func (c ResponseClass) next() Next {
	switch c {
	case ClassPartial:
		return NextSmaller
	case ClassRetry:
		return NextAnother
	case ClassPickUp:
		return NextKeepCard
	case ClassPINWrong:
		return NextEnterPIN
	case ClassLater:
		return NextWait
	case ClassFormat:
		return NextCallAcquirer
	}
	return NextNothing
}

// Approved reports whether the transaction stands as asked, or in part.
func (r Response) Approved() bool { return r.Class == ClassApproved || r.Class == ClassPartial }

// responses is the table of ISO 8583:1987 (field 39) with the action codes that
// ISO 8583:1993 has for the same. The standards are not public; the table is what
// public renderings of them agree in:
//
//   - 00 to 68, 75 and 90 to 96: gettmc.com, "Credit card issuer response codes",
//     and the package iso_8583 of hex.pm, response_status.ex; 76 to 88 are for
//     private use in the standard, and here as Visa's and Mastercard's tables
//     agree (developer.dnapayments.com, "Response codes")
//   - action codes: help.sap.com, SAP POS, "Action codes", from the text of 1993,
//     and the package ut-codec of npm, iso1.json
var responses = [...]Response{
	{"00", ClassApproved, SayApproved, "approved", "000", NextByClass},
	{"01", ClassDeclined, SayContact, "refer to card issuer", "107", NextCallIssuer},
	{"02", ClassDeclined, SayContact, "refer to card issuer, special conditions", "108", NextCallIssuer},
	{"03", ClassFormat, SayTerminal, "invalid merchant", "109", NextByClass},
	{"04", ClassPickUp, SayContact, "pick up card", "200", NextByClass},
	{"05", ClassDeclined, SayDeclined, "do not honour", "100", NextByClass},
	{"06", ClassFormat, SayRetry, "error", "", NextByClass},
	{"07", ClassPickUp, SayContact, "pick up card, special conditions", "207", NextByClass},
	{"08", ClassApproved, SayApproved, "approved, check identification", "001", NextByClass},
	{"09", ClassLater, SayLater, "request in progress", "923", NextByClass},
	{"10", ClassPartial, SayPartial, "approved for a partial amount", "002", NextByClass},
	{"11", ClassApproved, SayApproved, "approved (VIP)", "003", NextByClass},
	{"12", ClassFormat, SayTerminal, "invalid transaction", "902", NextByClass},
	{"13", ClassFormat, SayTerminal, "invalid amount", "110", NextByClass},
	{"14", ClassDeclined, SayDeclined, "invalid card number", "111", NextByClass},
	{"15", ClassDeclined, SayDeclined, "no such issuer", "", NextByClass},
	{"16", ClassApproved, SayApproved, "approved, update track 3", "004", NextByClass},
	{"17", ClassDeclined, SayCancelled, "cancelled by the customer", "", NextByClass},
	{"18", ClassDeclined, SayDeclined, "customer dispute", "", NextByClass},
	{"19", ClassRetry, SayRetry, "re-enter transaction", "903", NextByClass},
	{"20", ClassFormat, SayRetry, "invalid response", "", NextByClass},
	{"21", ClassDeclined, SayDeclined, "no action taken", "", NextByClass},
	{"22", ClassLater, SayLater, "suspected malfunction", "", NextByClass},
	{"23", ClassFormat, SayTerminal, "unacceptable transaction fee", "113", NextByClass},
	{"25", ClassFormat, SayTerminal, "no such original transaction", "914", NextByClass},
	{"30", ClassFormat, SayTerminal, "format error", "904", NextByClass},
	{"31", ClassFormat, SayTerminal, "bank not supported by the switch", "905", NextByClass},
	{"33", ClassPickUp, SayContact, "expired card, pick up", "201", NextByClass},
	{"34", ClassPickUp, SayContact, "suspected fraud, pick up", "202", NextByClass},
	{"35", ClassPickUp, SayContact, "contact acquirer, pick up", "203", NextByClass},
	{"36", ClassPickUp, SayContact, "restricted card, pick up", "204", NextByClass},
	{"37", ClassPickUp, SayContact, "call acquirer security, pick up", "205", NextByClass},
	{"38", ClassPickUp, SayContact, "PIN tries exceeded, pick up", "206", NextByClass},
	{"39", ClassDeclined, SayDeclined, "no credit account", "", NextByClass},
	{"40", ClassDeclined, SayTerminal, "function not supported", "115", NextByClass},
	{"41", ClassPickUp, SayContact, "lost card, pick up", "208", NextByClass},
	{"42", ClassDeclined, SayDeclined, "no universal account", "", NextByClass},
	{"43", ClassPickUp, SayContact, "stolen card, pick up", "209", NextByClass},
	{"44", ClassDeclined, SayDeclined, "no investment account", "", NextByClass},
	{"51", ClassRetry, SayFunds, "not sufficient funds", "116", NextByClass},
	{"52", ClassDeclined, SayDeclined, "no cheque account", "114", NextByClass},
	{"53", ClassDeclined, SayDeclined, "no savings account", "", NextByClass},
	{"54", ClassDeclined, SayExpired, "expired card", "101", NextByClass},
	{"55", ClassPINWrong, SayWrongPIN, "wrong PIN", "117", NextByClass},
	{"56", ClassDeclined, SayDeclined, "no card record", "118", NextByClass},
	{"57", ClassDeclined, SayDeclined, "transaction not permitted to cardholder", "119", NextByClass},
	{"58", ClassDeclined, SayTerminal, "transaction not permitted to terminal", "120", NextByClass},
	{"59", ClassDeclined, SayDeclined, "suspected fraud", "102", NextByClass},
	{"60", ClassDeclined, SayDeclined, "contact acquirer", "103", NextByClass},
	{"61", ClassRetry, SayLimit, "exceeds amount limit", "121", NextByClass},
	{"62", ClassDeclined, SayDeclined, "restricted card", "104", NextByClass},
	{"63", ClassFormat, SayDeclined, "security violation", "122", NextByClass},
	{"64", ClassFormat, SayDeclined, "original amount incorrect", "", NextByClass},
	{"65", ClassRetry, SayInsert, "exceeds frequency limit", "123", NextByClass},
	{"66", ClassDeclined, SayDeclined, "call acquirer's security department", "105", NextByClass},
	{"67", ClassPickUp, SayContact, "hard capture", "", NextByClass},
	{"68", ClassLater, SayLater, "response received too late", "911", NextByClass},
	{"75", ClassPINBlocked, SayPINBlocked, "PIN tries exceeded", "106", NextByClass},
	{"76", ClassFormat, SayDeclined, "original not found", "", NextByClass},
	{"77", ClassFormat, SayDeclined, "repeat or reversal does not agree with the original", "", NextByClass},
	{"78", ClassFormat, SayDeclined, "no such account", "", NextByClass},
	{"82", ClassDeclined, SayDeclined, "card verification or cryptogram failed", "", NextByClass},
	{"85", ClassApproved, SayApproved, "no reason to decline (card verification)", "", NextByClass},
	{"86", ClassLater, SayLater, "PIN can't be verified", "", NextByClass},
	{"88", ClassFormat, SayDeclined, "cryptographic failure", "", NextByClass},
	{"90", ClassLater, SayLater, "cut-over in progress", "906", NextByClass},
	{"91", ClassLater, SayLater, "issuer or switch inoperative", "907", NextByClass},
	{"92", ClassLater, SayLater, "no route to the issuer", "908", NextByClass},
	{"93", ClassDeclined, SayDeclined, "violation of law", "124", NextByClass},
	{"94", ClassFormat, SayDeclined, "duplicate transmission", "913", NextByClass},
	{"95", ClassFormat, SayTerminal, "totals do not agree", "501", NextByClass},
	{"96", ClassLater, SayLater, "system malfunction", "909", NextByClass},
}

// LookupResponse finds a response code of the standard; false when it is in no
// table, and the Response then says so and is no approval. What it means at an
// acquirer with a table of its own, Dialect.Response says.
func LookupResponse(code string) (Response, bool) { return lookup(responses[:], code) }

func lookup(list []Response, code string) (Response, bool) {
	for _, r := range list {
		if r.Code == code {
			if r.Next == NextByClass {
				r.Next = r.Class.next()
			}
			return r, true
		}
	}
	return Response{Code: code, Class: ClassUnknown, Cardholder: SayDeclined, Merchant: "declined, unknown code", Next: NextNothing}, false
}

// DefaultCodes returns the response codes of ISO 8583:1987.
func DefaultCodes() []Response { return slices.Clone(responses[:]) }

// VisaCodes returns the response codes that Visa has beside the standard's, or
// with another meaning, as public tables of them say: checkout.com, "Visa response
// codes" (46, 78, R1, R3 and whether a retry can help), docs.antom.com, "ISO
// codes" (46), docs.paymentplatform.dev, "Response codes from credit card networks"
// (64, 70, 78), developer.moneris.com, "Response code tables" (Q1), and
// app.theneo.io, processor response codes of Elavon (R0, R1, R3). 1A and N7 are as
// in the lists of several gateways.
func VisaCodes() []Response {
	return []Response{
		{"1A", ClassRetry, SayInsert, "additional customer authentication required", "", NextAnother},
		{"46", ClassDeclined, SayContact, "closed account", "", NextNothing},
		{"64", ClassDeclined, SayDeclined, "does not fulfil anti-money-laundering requirements", "", NextNothing},
		{"70", ClassRetry, SayInsert, "PIN data required", "112", NextAnother},
		{"78", ClassDeclined, SayContact, "blocked: first use of a new card", "", NextCallIssuer},
		{"N7", ClassDeclined, SayDeclined, "card verification value (CVV2) does not match", "", NextNothing},
		{"Q1", ClassDeclined, SayDeclined, "card authentication failed", "", NextNothing},
		{"R0", ClassDeclined, SayDeclined, "stop payment order", "", NextNothing},
		{"R1", ClassDeclined, SayDeclined, "authorisation revoked by the cardholder", "", NextNothing},
		{"R3", ClassDeclined, SayDeclined, "all authorisations revoked by the cardholder", "", NextNothing},
	}
}

// MastercardCodes returns the response codes that Mastercard has beside the
// standard's, or with another meaning, as developer.dnapayments.com, "Response
// codes", Mastercard, has them; developer.mastercard.com, "Network response codes"
// of Mastercard Send, has DE 39 for several networks. 87 is an approval of the
// purchase without the cash: of a part, that is, where cash was asked for.
func MastercardCodes() []Response {
	return []Response{
		{"65", ClassRetry, SayInsert, "exceeds frequency limit, or the cardholder has to be authenticated", "123", NextAnother},
		{"70", ClassDeclined, SayContact, "contact the card's issuer", "", NextCallIssuer},
		{"71", ClassDeclined, SayContact, "PIN not changed", "", NextNothing},
		{"76", ClassDeclined, SayDeclined, "no such account to credit", "", NextNothing},
		{"77", ClassDeclined, SayDeclined, "no such account to debit", "", NextNothing},
		{"78", ClassDeclined, SayDeclined, "no such account", "", NextNothing},
		{"81", ClassDeclined, SayDeclined, "domestic debit transaction not allowed", "", NextNothing},
		{"83", ClassDeclined, SayDeclined, "fraud or security", "", NextNothing},
		{"84", ClassFormat, SayDeclined, "invalid authorisation life cycle", "", NextNothing},
		{"87", ClassPartial, SayPartial, "purchase amount only, no cash back", "", NextSmaller},
		{"89", ClassPINWrong, SayWrongPIN, "unacceptable PIN", "", NextEnterPIN},
	}
}

// Response says what a response code means in the dialect: by its table of
// codes, else by the standard's. False for a code that is in neither; it is no
// approval.
func (d *Dialect) Response(code string) (Response, bool) {
	if r, ok := lookup(d.t.Codes, code); ok {
		return r, true
	}
	return LookupResponse(code)
}

// WithCodes returns the same dialect with other meanings of response codes, as
// one acquirer has them; those that are not listed keep the standard's. Errors
// wrap ErrTable.
func (d *Dialect) WithCodes(codes []Response) (*Dialect, error) {
	if err := checkCodes(codes); err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrTable, d.t.Name, err)
	}
	c := *d
	c.t.Codes = slices.Clone(codes)
	return &c, nil
}

func checkCodes(codes []Response) error {
	for i, r := range codes {
		switch {
		case len(r.Code) != 2 || (&Element{Class: AN, Length: 2}).valid([]byte(r.Code)) != "":
			return fmt.Errorf("response code %q: want two letters or digits", r.Code)
		case slices.ContainsFunc(codes[:i], func(o Response) bool { return o.Code == r.Code }):
			return fmt.Errorf("response code %s is listed twice", r.Code)
		case r.Class == ClassUnknown || r.Class > ClassFormat:
			return fmt.Errorf("response code %s has no class", r.Code)
		case r.Merchant == "" || r.Cardholder == "" || r.Cardholder.In("en") == "":
			return fmt.Errorf("response code %s has no words", r.Code)
		case r.Action != "" && (len(r.Action) != 3 || !digitsOnly(r.Action)):
			return fmt.Errorf("response code %s: an action code has three digits", r.Code)
		case r.Next > NextCallAcquirer:
			return fmt.Errorf("response code %s: nobody knows what is to be done", r.Code)
		}
	}
	return nil
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
func (d *Dialect) actionCode(m *Message) ([]byte, string) {
	switch m.ResponseCode {
	case "":
		return nil, ""
	case "00":
		return []byte(actionOK(m.MTI)), ""
	}
	r, ok := d.Response(m.ResponseCode)
	if !ok || r.Action == "" {
		return nil, "has no action code of ISO 8583:1993"
	}
	return []byte(r.Action), ""
}

// responseOfAction is the inverse of actionCode.
func (d *Dialect) responseOfAction(mti, action string) (string, string) {
	if action == actionOK(mti) {
		return "00", ""
	}
	for _, r := range slices.Concat(d.t.Codes, responses[:]) {
		if r.Action == action && r.Code != "00" {
			return r.Code, ""
		}
	}
	return "", "has an action code without a response code of ISO 8583:1987"
}
