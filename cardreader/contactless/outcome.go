package contactless

import (
	"fmt"
	"time"
)

// Kind is what an outcome says (EMV Contactless Book A, 6.2).
type Kind byte

// The outcomes. The zero value ends the application.
const (
	EndApplication Kind = iota
	SelectNext
	TryAgain
	Approved
	Declined
	OnlineRequest
	TryAnotherInterface
)

// String returns the book's name for the outcome.
func (k Kind) String() string {
	switch k {
	case EndApplication:
		return "End Application"
	case SelectNext:
		return "Select Next"
	case TryAgain:
		return "Try Again"
	case Approved:
		return "Approved"
	case Declined:
		return "Declined"
	case OnlineRequest:
		return "Online Request"
	case TryAnotherInterface:
		return "Try Another Interface"
	}
	return fmt.Sprintf("outcome %d", byte(k))
}

// Start is where the entry point is (re)activated (Book A, table 6-2; Book B,
// 2.2). The zero value is N/A.
type Start byte

// The starts.
const (
	StartNone Start = iota
	StartA          // pre-processing
	StartB          // protocol activation
	StartC          // combination selection
	StartD          // kernel activation
)

// String returns "A" to "D", or "N/A".
func (s Start) String() string {
	if s >= StartA && s <= StartD {
		return string('A' + rune(s-StartA))
	}
	return "N/A"
}

// OnlineResponse says which answer of the issuer restarts the transaction (Book
// A, table 6-2). The zero value is N/A: none does.
type OnlineResponse byte

// The answers.
const (
	OnlineResponseNone OnlineResponse = iota
	// OnlineResponseEMV is one with issuer authentication data or scripts.
	OnlineResponseEMV
	// OnlineResponseAny is any.
	OnlineResponseAny
)

// CVM is the cardholder verification that a kernel chose (Book A, table 6-2).
// The zero value is N/A.
type CVM byte

// The methods.
const (
	CVMNone CVM = iota
	CVMNoCVM
	CVMSignature
	CVMOnlinePIN
	CVMConfirmationCode
)

// String returns the book's name for the method.
func (c CVM) String() string {
	switch c {
	case CVMNoCVM:
		return "No CVM"
	case CVMSignature:
		return "Obtain Signature"
	case CVMOnlinePIN:
		return "Online PIN"
	case CVMConfirmationCode:
		return "Confirmation Code Verified"
	}
	return "N/A"
}

// Alternate is the interface to be tried instead. The zero value is N/A.
type Alternate byte

// The interfaces.
const (
	AlternateNone Alternate = iota
	AlternateContact
	AlternateMagStripe
)

// String returns the book's name for the interface.
func (a Alternate) String() string {
	switch a {
	case AlternateContact:
		return "contact chip"
	case AlternateMagStripe:
		return "magnetic stripe"
	}
	return "N/A"
}

// FieldOff is the field off request: for how long the field goes off after the
// outcome. The zero value is N/A, which leaves it on.
type FieldOff struct {
	Requested bool
	Hold      time.Duration
}

// Outcome is what a kernel or the entry point ends with (Book A, 6.2 and table
// 6-2).
type Outcome struct {
	Kind           Kind
	Start          Start
	OnlineResponse OnlineResponse
	CVM            CVM
	// UI and UIRestart are the user interface requests on outcome and on
	// restart, nil when there is none.
	UI, UIRestart *UIRequest
	// Data is what was read and made: the data record and the discretionary
	// data. Nil when there is none.
	Data      *Data
	Alternate Alternate
	Receipt   bool
	FieldOff  FieldOff
	// Removal is how long the cardholder has to take the card away before he
	// is asked to; zero does not wait.
	Removal time.Duration
	// ScriptResults are five bytes for each script of an issuer's answer that
	// was brought to the card (EMV 4.4 Book 4, A5).
	ScriptResults []byte
	// Overrules lets a Declined after the issuer's answer overrule its
	// approval.
	Overrules bool
	// Risks say in words what the protocol left to the issuer, or to nobody.
	Risks []string
	// Reasons say in words what went against the transaction, without card
	// data.
	Reasons []string
}

// String returns the outcome's kind and its parameters, without card data.
func (o Outcome) String() string {
	s := o.Kind.String()
	if o.Start != StartNone {
		s += ", start " + o.Start.String()
	}
	if o.CVM != CVMNone {
		s += ", " + o.CVM.String()
	}
	if o.Alternate != AlternateNone {
		s += ", by " + o.Alternate.String()
	}
	if o.UI != nil {
		s += fmt.Sprintf(", %q", o.UI.Message)
	}
	return s
}

// parameterSetLen is the length of tag DF8129.
const parameterSetLen = 8

// Bytes returns the outcome in the coding of the Outcome Parameter Set, tag
// DF8129 (EMV Contactless Book C-2, A.1.118), which has no code for an alternate
// interface and none for an online response of any kind:
//
//	0  outcome in the high half byte: 1 approved to 7 try again
//	1  start: 0 A to 3 D, F N/A
//	2  online response data: 0 EMV data, F N/A
//	3  CVM: 0 none, 1 signature, 2 online PIN, 3 confirmation code, F N/A
//	4  80 UI on outcome, 40 UI on restart, 20 data record, 10 discretionary
//	   data, 08 receipt
//	5  alternate interface: F N/A
//	6  field off request in units of 100 ms, FF N/A
//	7  removal time-out in units of 100 ms
func (o Outcome) Bytes() [parameterSetLen]byte {
	b := [parameterSetLen]byte{0xF0, 0xF0, 0xF0, 0xF0, 0x00, 0xF0, 0xFF, 0x00}
	b[0] = map[Kind]byte{Approved: 0x10, Declined: 0x20, OnlineRequest: 0x30, EndApplication: 0x40, SelectNext: 0x50, TryAnotherInterface: 0x60, TryAgain: 0x70}[o.Kind]
	if o.Start != StartNone {
		b[1] = byte(o.Start-StartA) << 4
	}
	if o.OnlineResponse == OnlineResponseEMV {
		b[2] = 0x00
	}
	switch o.CVM {
	case CVMNoCVM:
		b[3] = 0x00
	case CVMSignature:
		b[3] = 0x10
	case CVMOnlinePIN:
		b[3] = 0x20
	case CVMConfirmationCode:
		b[3] = 0x30
	}
	set := func(bit byte, on bool) {
		if on {
			b[4] |= bit
		}
	}
	set(0x80, o.UI != nil)
	set(0x40, o.UIRestart != nil)
	set(0x20, o.Data.HasRecord())
	set(0x10, o.Data.HasDiscretionary())
	set(0x08, o.Receipt)
	if o.FieldOff.Requested {
		b[6] = byte(min(o.FieldOff.Hold/(100*time.Millisecond), 0xFE))
	}
	b[7] = byte(min(o.Removal/(100*time.Millisecond), 0xFF))
	return b
}
