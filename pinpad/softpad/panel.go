package softpad

import (
	"context"

	"github.com/payunit/payunit/pinpad"
)

// Key is what a cardholder did: pressed a cell, 0 to 9, or one of the keys below,
// or let a finger move onto a cell.
type Key uint8

// The keys that are no cells.
const (
	KeyBackspace Key = iota + Cells
	KeyClear
	KeyEnter
	KeyCancel
	KeyBypass
	// KeyAccessible changes to the accessible keypad, where the prompt allows it.
	KeyAccessible

	// KeyTouch plus a cell: the finger lies on the cell and has not pressed it.
	// It counts on the accessible keypad, and means a tone.
	KeyTouch Key = 32
)

// Panel is the screen and touch side of the pad, a part of the trusted UI.
type Panel interface {
	// Open draws the prompt and the keypad. The amount stays on display until
	// Close.
	Open(ctx context.Context, p pinpad.Prompt, l Layout) (Entry, error)
}

// Entry is one PIN entry on a Panel.
type Entry interface {
	// Next waits for a key. It returns within 100 ms of the end of ctx.
	Next(ctx context.Context) (Key, error)
	// Mask shows that n digits have been entered.
	Mask(n int) error
	// Close wipes the keypad off the screen.
	Close() error
}

// Toner is an Entry that can sound, for the accessible keypad. No digit is ever
// spoken.
type Toner interface {
	Tone(t Tone) error
}

// Tone is a sound of the accessible keypad. A tone tells where on the keypad the
// finger is as the nib on the 5 of a keypad of buttons does, and not more: all
// digits but that have one tone, and a digit that is taken has the same tone
// whichever it is, so that nobody hears a PIN.
type Tone uint8

// The tones.
const (
	// ToneCentre: the finger came onto the middle cell, the 5.
	ToneCentre Tone = iota + 1
	// ToneCell: it came onto another cell.
	ToneCell
	// ToneTaken: a digit was taken.
	ToneTaken
	// ToneDeleted: a digit, or all of them, were taken back.
	ToneDeleted
	// ToneRefused: the key does nothing now.
	ToneRefused
	// ToneDone: the entry is over.
	ToneDone
)
