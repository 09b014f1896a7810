package mobile

// The interfaces that the app implements. An error that a method of theirs
// returns, an exception in Java, fails the step that needed it and is told in
// words; its text must hold no secret.

// Relay is the app's way to the payment server. All that passes is encrypted
// and authenticated end to end.
type Relay interface {
	// Open makes a new connection.
	Open() (Connection, error)
}

// Connection is one connection of a Relay. Read and Write may run at once;
// Close ends both.
type Connection interface {
	// Read waits for bytes and returns at least one and max at most, or none
	// at the end of the connection.
	Read(max int32) ([]byte, error)
	// Write sends all of b.
	Write(b []byte) error
	Close() error
}

// Transceiver is the session with one card that the platform has connected:
// IsoDep on Android, NFCISO7816Tag on iOS, a reader's channel.
type Transceiver interface {
	// Transceive sends a command APDU and returns the response APDU, or no
	// bytes when the card has left.
	Transceive(command []byte) ([]byte, error)
	Close() error
}

// Screen is the trusted user interface. The words of each message id, in each
// language, are the app's: the ids are those of package trusted.
type Screen interface {
	// Notify shows a message and returns at once.
	Notify(n *Notice) error
	// Confirm shows a trade and waits: true agrees.
	Confirm(c *Confirmation) (bool, error)
	// Choose shows the applications of a card and waits for one; it returns
	// its index, or a negative number for none.
	Choose(labels *StringList) (int32, error)
	// Dismiss takes off the screen what is waited for: its answer is not
	// wanted any more, whatever it may be.
	Dismiss()
}

// Keypad is the screen and touch side of the PIN pad. The layout is trusted: it
// is to be drawn by what no other app can see, and forgotten.
type Keypad interface {
	// Open draws the prompt and the keypad; layout holds the digit of each of
	// its ten cells, cell 0 at the top left, row by row, cell 9 below.
	Open(p *Prompt, layout []byte) error
	// Next waits for a key: a cell, 0 to 9, one of the Key constants, or, on the
	// accessible keypad, KeyTouch plus the cell that a finger came onto.
	Next() (int32, error)
	// Mask shows that n digits have been entered.
	Mask(n int32) error
	// Close wipes the keypad off the screen and ends a Next that waits.
	Close() error
}

// The keys of a Keypad that are no cells.
const (
	KeyBackspace int32 = 10
	KeyClear     int32 = 11
	KeyEnter     int32 = 12
	KeyCancel    int32 = 13
	KeyBypass    int32 = 14
	// KeyAccessible changes to the accessible keypad, whose digits lie as on a
	// telephone, where Prompt.AllowAccessible says that the server lets it.
	KeyAccessible int32 = 15
	KeyTouch      int32 = 32
)

// Tones sounds on the accessible keypad. No digit is ever spoken.
type Tones interface {
	// Tone plays one of the Tone constants.
	Tone(tone int32) error
}

// The tones (package softpad says why there are no more).
const (
	ToneCentre  int32 = 1 // the finger came onto the 5
	ToneCell    int32 = 2 // the finger came onto another digit
	ToneTaken   int32 = 3 // a digit was taken, whichever
	ToneDeleted int32 = 4
	ToneRefused int32 = 5 // the key does nothing now
	ToneDone    int32 = 6
)

// Observer is told what happens, in words without secrets and in order, while Pay
// or Recover runs. One that hangs holds up nobody, and is told no more. It must not
// call the unit.
type Observer interface {
	OnEvent(e *Event)
}

// Storage keeps sealed records and counters (package trusted). When a change
// returns, it is durable; when it fails, or the process dies, the old state or
// the new stands.
type Storage interface {
	// Get returns a record, or nil when there is none.
	Get(name string) (*Bytes, error)
	Put(name string, value []byte) error
	// Delete removes a record; one that is not there is no error.
	Delete(name string) error
	// List returns the names with a prefix, in any order.
	List(prefix string) (*StringList, error)
	// Next adds one to a counter, which starts at zero, and returns it.
	Next(counter string) (int64, error)
}

// Keys holds private keys, named and made on first use, and lets out operations
// only (package trusted).
type Keys interface {
	// PublicKey returns the X25519 public key, 32 bytes.
	PublicKey(name string) ([]byte, error)
	// ECDH returns the X25519 shared secret with a peer's public key, 32
	// bytes.
	ECDH(name string, peer []byte) ([]byte, error)
	// VerificationKey returns the Ed25519 public key, 32 bytes.
	VerificationKey(name string) ([]byte, error)
	// Sign returns an Ed25519 signature, 64 bytes.
	Sign(name string, message []byte) ([]byte, error)
}
