package contactless

import (
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// MessageID names a message to the cardholder (EMV Contactless Book A, table
// 9-3). The zero value is none.
type MessageID byte

// The messages.
const (
	MessageNone                MessageID = 0x00
	MessageApproved            MessageID = 0x03
	MessageNotAuthorised       MessageID = 0x07
	MessageEnterPIN            MessageID = 0x09
	MessageProcessingError     MessageID = 0x0F
	MessageRemoveCard          MessageID = 0x10
	MessageWelcome             MessageID = 0x14
	MessagePresentCard         MessageID = 0x15
	MessageProcessing          MessageID = 0x16
	MessageCardReadOK          MessageID = 0x17
	MessageInsertOrSwipe       MessageID = 0x18
	MessageOneCardOnly         MessageID = 0x19
	MessageApprovedSign        MessageID = 0x1A
	MessageAuthorising         MessageID = 0x1B
	MessageInsertSwipeOrTry    MessageID = 0x1C
	MessageInsertCard          MessageID = 0x1D
	MessageClear               MessageID = 0x1E
	MessageSeePhone            MessageID = 0x20
	MessagePresentCardAgain    MessageID = 0x21
	messageNotApplicable       MessageID = 0xFF
	uiRequestDataLen                     = 22
	maxHold                              = 999999 * time.Millisecond
	languagePreferenceFieldLen           = 8
)

// String returns the message in English.
func (m MessageID) String() string {
	switch m {
	case MessageNone:
		return "no message"
	case MessageApproved:
		return "Approved"
	case MessageNotAuthorised:
		return "Not authorised"
	case MessageEnterPIN:
		return "Please enter your PIN"
	case MessageProcessingError:
		return "Processing error"
	case MessageRemoveCard:
		return "Please remove card"
	case MessageWelcome:
		return "Welcome"
	case MessagePresentCard:
		return "Present card"
	case MessageProcessing:
		return "Processing"
	case MessageCardReadOK:
		return "Card read OK, please remove card"
	case MessageInsertOrSwipe:
		return "Please insert or swipe card"
	case MessageOneCardOnly:
		return "Please present one card only"
	case MessageApprovedSign:
		return "Approved, please sign"
	case MessageAuthorising:
		return "Authorising, please wait"
	case MessageInsertSwipeOrTry:
		return "Insert, swipe or try another card"
	case MessageInsertCard:
		return "Please insert card"
	case MessageClear:
		return "(display cleared)"
	case MessageSeePhone:
		return "See phone for instructions"
	case MessagePresentCardAgain:
		return "Present card again"
	}
	return fmt.Sprintf("message %02X", byte(m))
}

// Status is the state of the reader that a user interface shows by lights and
// sounds (Book A, 9.3 and table 9-2).
type Status byte

// The states.
const (
	StatusNotReady Status = iota
	StatusIdle
	StatusReadyToRead
	StatusProcessing
	StatusCardRead
	StatusProcessingError
)

// String returns the state in words.
func (s Status) String() string {
	switch s {
	case StatusNotReady:
		return "not ready"
	case StatusIdle:
		return "idle"
	case StatusReadyToRead:
		return "ready to read"
	case StatusProcessing:
		return "processing"
	case StatusCardRead:
		return "card read successfully"
	case StatusProcessingError:
		return "processing error"
	}
	return fmt.Sprintf("status %d", byte(s))
}

// Tone is the sound that goes with a state (Book A, 9.4.2).
type Tone byte

// The tones.
const (
	ToneNone Tone = iota
	// ToneSuccess is one beep of about 500 ms at about 1500 Hz.
	ToneSuccess
	// ToneAlert is two beeps of about 200 ms at about 750 Hz.
	ToneAlert
)

// Tone returns the sound of a state.
func (s Status) Tone() Tone {
	switch s {
	case StatusCardRead:
		return ToneSuccess
	case StatusProcessingError:
		return ToneAlert
	}
	return ToneNone
}

// Lights returns how many of the four lights burn in a state (Book A, 9.4.1,
// European design): one while the reader waits, all once the card is read, none
// after an error.
func (s Status) Lights() int {
	switch s {
	case StatusIdle, StatusReadyToRead, StatusProcessing:
		return 1
	case StatusCardRead:
		return 4
	}
	return 0
}

// Qualifier says what the value of a user interface request is.
type Qualifier byte

// The qualifiers.
const (
	ValueNone    Qualifier = 0x00
	ValueAmount  Qualifier = 0x10
	ValueBalance Qualifier = 0x20
)

// UIRequest is a user interface request (Book A, table 7-1).
type UIRequest struct {
	Message MessageID
	Status  Status
	// Hold is how long the message stays before another may replace it.
	Hold time.Duration
	// Languages are what the cardholder prefers (5F2D), ISO 639-1, best first.
	Languages []string
	// Qualifier says whether Value is an amount or a balance.
	Qualifier Qualifier
	Value     money.Amount
}

// Bytes returns the request in the coding of tag DF8116 (EMV Contactless Book
// C-2, A.1.194):
//
//	0    message identifier
//	1    status
//	2-4  hold time in ms, BCD
//	5-12 language preference, padded with 00
//	13   value qualifier
//	14-19 value, BCD
//	20-21 currency code, BCD
func (u UIRequest) Bytes() [uiRequestDataLen]byte {
	var b [uiRequestDataLen]byte
	b[0], b[1] = byte(u.Message), byte(u.Status)
	if u.Message == MessageNone {
		b[0] = byte(messageNotApplicable)
	}
	hold := min(max(u.Hold, 0), maxHold).Milliseconds()
	for i := 4; i >= 2; i-- {
		b[i] = byte(hold%10) | byte(hold/10%10)<<4
		hold /= 100
	}
	n := 5
	for _, l := range u.Languages {
		if len(l) == 2 && n+2 <= 5+languagePreferenceFieldLen {
			n += copy(b[n:], l)
		}
	}
	b[13] = byte(u.Qualifier)
	if u.Qualifier != ValueNone {
		if v, err := u.Value.BCD12(); err == nil {
			copy(b[14:20], v[:])
			c := u.Value.Currency.Numeric()
			b[20], b[21] = byte(c/100), byte(c/10%10)<<4|byte(c%10)
		}
	}
	return b
}

// String returns "none", "success" or "alert".
func (t Tone) String() string {
	switch t {
	case ToneSuccess:
		return "success"
	case ToneAlert:
		return "alert"
	}
	return "none"
}
