package acquirer

import "fmt"

// Table describes a dialect. NewDialect checks and copies it.
type Table struct {
	// Name is what LookupDialect and configurations call the dialect.
	Name string
	// Text says in a line what it is, for people.
	Text string
	// Version is the first digit of the message type on the wire: 0 for ISO
	// 8583:1987, 1 for 1993, 2 for 2003. Message.MTI always begins with 0.
	Version uint8
	// Digits is how digits are written (message type, and elements of class N
	// and Z that have no encoding of their own): ASCII or BCD.
	Digits Encoding
	// Lengths is how length prefixes are written: ASCII or BCD.
	Lengths Encoding
	// Bytes is how elements of class B are written: Raw or Hex.
	Bytes Encoding
	// Bitmap is how the bitmaps are written: Raw or Hex.
	Bitmap Encoding
	// BothBitmaps: the secondary bitmap is always there, and bit 1 does not
	// announce it. Some hosts do so; the standard does not.
	BothBitmaps bool
	// Odd is how a variable element of an odd number of digits fills its last
	// or first byte, with BCD. Fixed elements have a zero on the left.
	Odd Odd
	// TrackSeparator is the separator of a track written in ASCII, '=' (also
	// when zero) or 'D'. In BCD it is always the nibble D.
	TrackSeparator byte
	// RefuseExtra refuses elements that carry no member of Message; else they
	// are kept in Message.Extra. Elements that Elements does not list are
	// refused in any case: nobody knows where they end.
	RefuseExtra bool
	// Rules says which messages have to carry which elements; nil means the
	// rules of DefaultRules. An empty slice means none.
	Rules []Rule
	// Transactions say what else depends on the kind of transaction; nil means
	// those of DefaultTransactions. An empty slice means none.
	Transactions []Transaction
	// Codes are response codes that mean something else at the acquirer than in
	// DefaultCodes, or are not in it; nil means none.
	Codes []Response
	// Elements are the data elements, 2 to 128, in any order.
	Elements []Element
}

// Element is a data element of a dialect.
type Element struct {
	Number int
	Name   string
	Class  Class
	// Prefix is the number of digits of the length in front: 0 for an element
	// of fixed length, 1 to 3.
	Prefix int
	// Length is the length, or the greatest one, in digits, characters or
	// bytes by Class. The sign of an XN counts.
	Length int
	// Encoding overrides the table's Digits or Bytes; zero keeps it.
	Encoding Encoding
	// Member is the member of Message that the element carries.
	Member Member
}

// Class is the kind of characters of an element, in the standard's terms.
type Class uint8

// The classes.
const (
	N   Class = iota // n: digits
	AN               // an: letters and digits
	ANS              // ans: printable ASCII, 20 to 7E
	B                // b: bytes
	Z                // z: track 2 or 3: digits and separators
	XN               // x+n: a sign, C or D (or 0), and digits
)

// String returns the standard's abbreviation.
func (c Class) String() string {
	if s := [...]string{"n", "an", "ans", "b", "z", "x+n"}; int(c) < len(s) {
		return s[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Encoding is how an element is written.
type Encoding uint8

// The encodings. Hex is in capitals only, so that a message has one form.
const (
	Inherit Encoding = iota // what the table says
	ASCII                   // a byte a character
	BCD                     // two digits a byte
	Raw                     // bytes as they are
	Hex                     // two characters a byte
)

// Odd is the filling of an odd number of digits in BCD.
type Odd uint8

// The fillings.
const (
	LeftZero  Odd = iota // 0 in front
	RightZero            // 0 behind
	RightF               // F behind
)

// Member is a member of Message, or a part of one in the form in which an
// edition of the standard writes it.
type Member uint8

// The members. Each may stand in one element of a table at most.
const (
	NoMember                    Member = iota
	MemberPAN                          // n, variable
	MemberProcessingCode               // n 6
	MemberAmount                       // n 12; needs MemberCurrency
	MemberTransmissionTime             // n 10, MMDDhhmmss
	MemberSTAN                         // n 6
	MemberLocalTime                    // n 6, hhmmss; needs MemberLocalDate
	MemberLocalDate                    // n 4, MMDD
	MemberLocalDateTime                // n 12, YYMMDDhhmmss
	MemberExpiry                       // n 4
	MemberSettlementDate               // n 4
	MemberMerchantType                 // n 4
	MemberEntryMode                    // n 3
	MemberPointOfService               // an 12: EntryMode in the twelve positions of 1993
	MemberPSN                          // n 3
	MemberNetworkID                    // n 3
	MemberConditionCode                // n 2
	MemberAcquirerID                   // n ..11
	MemberTrack2                       // z ..37
	MemberRRN                          // an 12
	MemberAuthCode                     // an 6
	MemberResponseCode                 // an 2
	MemberActionCode                   // n 3: ResponseCode in the action codes of 1993
	MemberTerminalID                   // ans 8
	MemberMerchantID                   // ans 15
	MemberMerchantName                 // ans 40, fixed or variable
	MemberCurrency                     // n 3
	MemberSettlementCurrency           // n 3: Totals.Currency
	MemberPINBlock                     // b 8, or variable for 16
	MemberPINSecurity                  // b, variable: PINFormat and PINKSN
	MemberOther                        // ans, variable, 20 characters an amount
	MemberICC                          // b, variable
	MemberNetworkCode                  // n 3
	MemberFunctionCode                 // n 3 (1993): NetworkCode, Function, or what follows from the transaction
	MemberCreditsNumber                // n 10
	MemberCreditReversalsNumber        // n 10
	MemberDebitsNumber                 // n 10
	MemberDebitReversalsNumber         // n 10
	MemberCreditsAmount                // n 16
	MemberCreditReversalsAmount        // n 16
	MemberDebitsAmount                 // n 16
	MemberDebitReversalsAmount         // n 16
	MemberNetSettlement                // x+n 17
	MemberOriginal                     // n 42 (1987)
	MemberOriginalElements             // n ..35 (1993)
	MemberReplacement                  // ans 42 (1987)
	MemberOrder                        // ans ..64
	MemberReason                       // n 4
	MemberPrivate                      // b, variable: BER-TLV of MACKSN, and of what has no element of its own
	MemberMAC                          // b 8, in 64 and 128
	memberCount
)

// shape is what a member needs of its element.
type shape struct {
	class    Class
	fixed    int // exact length, 0 for a variable one
	min      int // least greatest length of a variable one
	variable bool
}

// shapes are checked by NewDialect, so that a wrong table is found at start.
var shapes = [memberCount]shape{
	MemberPAN:                   {class: N, variable: true, min: 19},
	MemberProcessingCode:        {class: N, fixed: 6},
	MemberAmount:                {class: N, fixed: 12},
	MemberTransmissionTime:      {class: N, fixed: 10},
	MemberSTAN:                  {class: N, fixed: 6},
	MemberLocalTime:             {class: N, fixed: 6},
	MemberLocalDate:             {class: N, fixed: 4},
	MemberLocalDateTime:         {class: N, fixed: 12},
	MemberExpiry:                {class: N, fixed: 4},
	MemberSettlementDate:        {class: N, fixed: 4},
	MemberMerchantType:          {class: N, fixed: 4},
	MemberEntryMode:             {class: N, fixed: 3},
	MemberPointOfService:        {class: AN, fixed: 12},
	MemberPSN:                   {class: N, fixed: 3},
	MemberNetworkID:             {class: N, fixed: 3},
	MemberConditionCode:         {class: N, fixed: 2},
	MemberAcquirerID:            {class: N, variable: true, min: 11},
	MemberTrack2:                {class: Z, variable: true, min: 37},
	MemberRRN:                   {class: AN, fixed: 12},
	MemberAuthCode:              {class: AN, fixed: 6},
	MemberResponseCode:          {class: AN, fixed: 2},
	MemberActionCode:            {class: N, fixed: 3},
	MemberTerminalID:            {class: ANS, fixed: 8},
	MemberMerchantID:            {class: ANS, fixed: 15},
	MemberMerchantName:          {class: ANS, fixed: 40},
	MemberCurrency:              {class: N, fixed: 3},
	MemberSettlementCurrency:    {class: N, fixed: 3},
	MemberPINBlock:              {class: B, fixed: 8},
	MemberPINSecurity:           {class: B, variable: true, min: 13},
	MemberOther:                 {class: ANS, variable: true, min: 20},
	MemberICC:                   {class: B, variable: true, min: 255},
	MemberNetworkCode:           {class: N, fixed: 3},
	MemberFunctionCode:          {class: N, fixed: 3},
	MemberCreditsNumber:         {class: N, fixed: 10},
	MemberCreditReversalsNumber: {class: N, fixed: 10},
	MemberDebitsNumber:          {class: N, fixed: 10},
	MemberDebitReversalsNumber:  {class: N, fixed: 10},
	MemberCreditsAmount:         {class: N, fixed: 16},
	MemberCreditReversalsAmount: {class: N, fixed: 16},
	MemberDebitsAmount:          {class: N, fixed: 16},
	MemberDebitReversalsAmount:  {class: N, fixed: 16},
	MemberNetSettlement:         {class: XN, fixed: 17},
	MemberOriginal:              {class: N, fixed: 42},
	MemberOriginalElements:      {class: N, variable: true, min: 35},
	MemberReplacement:           {class: ANS, fixed: 42},
	MemberOrder:                 {class: ANS, variable: true, min: 64},
	MemberReason:                {class: N, fixed: 4},
	MemberPrivate:               {class: B, variable: true, min: 64},
	MemberMAC:                   {class: B, fixed: 8},
}

// check says what is wrong with an element, "" when nothing is.
func (e *Element) check(t *Table) string {
	switch {
	case e.Number < 2 || e.Number > 128 || e.Number == 65 && !t.BothBitmaps:
		return "number out of range"
	case e.Class > XN:
		return "unknown class"
	case e.Prefix < 0 || e.Prefix > 3:
		return "length prefix of more than three digits"
	case e.Length < 1 || e.Length > 999 || e.Prefix > 0 && e.Length >= pow10(e.Prefix):
		return "length does not fit its prefix"
	case e.Encoding > Hex:
		return "unknown encoding"
	case e.Class == XN && e.Prefix != 0:
		return "an x+n has a fixed length"
	case e.Member >= memberCount:
		return "unknown member"
	}
	switch enc := t.encoding(e); e.Class {
	case B:
		if enc != Raw && enc != Hex {
			return "a b is written Raw or Hex"
		}
	case N, Z, XN:
		if enc != ASCII && enc != BCD {
			return "an " + e.Class.String() + " is written ASCII or BCD"
		}
	default:
		if enc != ASCII {
			return "an " + e.Class.String() + " is written ASCII"
		}
	}
	if e.Member == NoMember {
		return ""
	}
	s := shapes[e.Member]
	switch {
	case e.Class != s.class:
		return "its member needs class " + s.class.String()
	case s.fixed > 0 && e.Prefix == 0 && e.Length != s.fixed:
		return fmt.Sprintf("its member needs length %d", s.fixed)
	case s.fixed > 0 && e.Prefix > 0 && (e.Member != MemberMerchantName && e.Member != MemberPINBlock || e.Length < s.fixed):
		return fmt.Sprintf("its member needs fixed length %d", s.fixed)
	case s.variable && (e.Prefix == 0 || e.Length < s.min):
		return fmt.Sprintf("its member needs a variable length of at least %d", s.min)
	case (e.Member == MemberMAC) != (e.Number == 64 || e.Number == 128) && e.Member == MemberMAC:
		return "a MAC stands in 64 or 128"
	}
	return ""
}

// encoding resolves Inherit.
func (t *Table) encoding(e *Element) Encoding {
	if e.Encoding != Inherit {
		return e.Encoding
	}
	switch e.Class {
	case B:
		return t.Bytes
	case N, Z, XN:
		return t.Digits
	}
	return ASCII
}

// check says what is wrong with the table.
func (t *Table) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w %q: %s", ErrTable, t.Name, fmt.Sprintf(format, a...))
	}
	digits := func(e Encoding) bool { return e == ASCII || e == BCD }
	raw := func(e Encoding) bool { return e == Raw || e == Hex }
	switch {
	case t.Name == "":
		return bad("no name")
	case t.Version > 9:
		return bad("version %d", t.Version)
	case !digits(t.Digits) || !digits(t.Lengths):
		return bad("digits and lengths are written ASCII or BCD")
	case !raw(t.Bytes) || !raw(t.Bitmap):
		return bad("bytes and bitmaps are written Raw or Hex")
	case t.Odd > RightF:
		return bad("unknown filling")
	case t.TrackSeparator != 0 && t.TrackSeparator != '=' && t.TrackSeparator != 'D':
		return bad("track separator is = or D")
	}
	var numbers [129]bool
	var members [memberCount]bool
	for i := range t.Elements {
		e := &t.Elements[i]
		if reason := e.check(t); reason != "" {
			return bad("element %d: %s", e.Number, reason)
		}
		if numbers[e.Number] {
			return bad("element %d is listed twice", e.Number)
		}
		if members[e.Member] && e.Member != NoMember && e.Member != MemberMAC {
			return bad("element %d carries a member that another carries", e.Number)
		}
		numbers[e.Number], members[e.Member] = true, true
	}
	for _, pair := range [][2]Member{{MemberAmount, MemberCurrency}, {MemberLocalTime, MemberLocalDate}, {MemberReplacement, MemberAmount}} {
		if members[pair[0]] && !members[pair[1]] {
			return bad("a member lacks the one that it needs beside it")
		}
	}
	if members[MemberLocalTime] && members[MemberLocalDateTime] {
		return bad("two forms of the local time")
	}
	for _, r := range t.Rules {
		if err := r.check(); err != nil {
			return bad("%v", err)
		}
	}
	if err := checkCodes(t.Codes); err != nil {
		return bad("%v", err)
	}
	for _, x := range t.Transactions {
		if err := x.check(); err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}
