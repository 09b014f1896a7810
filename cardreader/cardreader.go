// Package cardreader is the contract between payunit and whatever reaches a
// card: a PC/SC reader, a phone's NFC controller, a software card, a recorded
// session. It moves bytes (ISO/IEC 7816-3 and -4) and understands none of them;
// cardreader/emv does.
package cardreader

import (
	"context"
	"errors"
)

// Errors that a Reader or a Card returns, wrapped with what was being done.
// A status word other than 9000 is data and never one of them.
var (
	// ErrNoReader: the reader is not there, or is no longer.
	ErrNoReader = errors.New("cardreader: no such reader")
	// ErrCardRemoved: the card is gone. What it had answered to an earlier
	// command stands; whether it carried out the present one is unknown.
	ErrCardRemoved = errors.New("cardreader: card removed")
	// ErrCardMute: a card is present and does not answer.
	ErrCardMute = errors.New("cardreader: card does not answer")
	// ErrCollision: more than one card is in a contactless reader's field
	// (EMV Contactless Book D, 9.3). The cards have to be taken apart.
	ErrCollision = errors.New("cardreader: more than one card in the field")
	// ErrOther: while a contactless reader waited for a card, one was inserted
	// into the reader beside it, which has it. Only a Reader that watches both
	// can tell.
	ErrOther = errors.New("cardreader: a card was inserted instead")
	// ErrProtocol: the reader or the card broke its transmission protocol, or
	// the command can't be sent under it.
	ErrProtocol = errors.New("cardreader: transmission protocol")
	// ErrBusy: another program or another call holds the card.
	ErrBusy = errors.New("cardreader: card is in use")
	// ErrClosed: the Card was closed.
	ErrClosed = errors.New("cardreader: card is closed")
)

// Reader is a device that a card can be put into or held against. Name and
// Connect may be called from several goroutines; a reader that can serve only
// one Card at a time returns ErrBusy for the second.
type Reader interface {
	// Name tells readers of one machine apart, in words for people.
	Name() string
	// Connect waits for a card, powers it and returns it. It returns within
	// 100 ms of the end of ctx with an error that wraps ctx.Err(). Errors:
	// ErrNoReader, ErrCardMute, ErrProtocol, ErrBusy, and of contactless
	// readers that can tell, ErrCollision and ErrOther.
	Connect(ctx context.Context) (Card, error)
}

// Card is a powered card. Its methods are called from one goroutine at a time,
// but for Close, which may be called from any and releases a Transmit that is
// under way.
type Card interface {
	// ATR returns the answer to reset as the card sent it (ISO/IEC 7816-3,
	// 8.2), or the pseudo-ATR of a contactless reader (PC/SC part 3). The
	// caller may keep the slice.
	ATR() []byte
	// Transmit sends one command APDU and returns the response APDU, data and
	// two status bytes. It keeps neither slice. A status word is data, never
	// an error. It returns within 100 ms of the end of ctx with an error that
	// wraps ctx.Err(); the card is then in an unknown state and only Close
	// may follow. Errors: ErrCardRemoved, ErrCardMute, ErrProtocol, ErrClosed.
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
	// Close powers the card down. A second Close does nothing.
	Close() error
}

// Resetter is a Card that can be reset without being taken out.
type Resetter interface {
	// Reset makes a warm reset and returns the new ATR.
	Reset(ctx context.Context) ([]byte, error)
}

// RemovalWaiter is a Card that can wait until it is taken out.
type RemovalWaiter interface {
	// WaitRemoval returns nil when the card is gone.
	WaitRemoval(ctx context.Context) error
}

// Protocol is the transmission protocol of a card.
type Protocol uint8

// The protocols. The zero value is an unknown one, which is handled as T=0 is:
// 61xx and 6Cxx are followed whichever protocol is in use.
const (
	ProtocolUnknown Protocol = iota
	T0                       // ISO/IEC 7816-3, 10
	T1                       // ISO/IEC 7816-3, 11
	TCL                      // ISO/IEC 14443-4
)

// String returns the field's name for the protocol, "T=0".
func (p Protocol) String() string {
	switch p {
	case T0:
		return "T=0"
	case T1:
		return "T=1"
	case TCL:
		return "T=CL"
	}
	return "unknown"
}

// Protocoler is a Card that knows its transmission protocol.
type Protocoler interface{ Protocol() Protocol }

// Interface is the way in which a card is reached.
type Interface uint8

// The interfaces. The zero value is Contact.
const (
	Contact Interface = iota
	Contactless
)

// String returns "contact" or "contactless".
func (i Interface) String() string {
	if i == Contactless {
		return "contactless"
	}
	return "contact"
}

// Interfacer is a Card that knows how it is reached.
type Interfacer interface{ Interface() Interface }
