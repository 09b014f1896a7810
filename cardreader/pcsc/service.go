package pcsc

import "time"

// service is the PC/SC resource manager, as far as this package needs it. The
// one implementation is over scard, in a file of its own behind the build tag
// pcsc; tests have another.
type service interface {
	establish() (session, error)
}

// session is an SCARDCONTEXT. Its methods but cancel are called one at a time.
type session interface {
	// listReaders returns the names; none is no error.
	listReaders() ([]string, error)
	// statusChange waits until one of the states is another than known, at most
	// for a time, and updates them.
	statusChange(states []readerState, timeout time.Duration) error
	connect(reader string, share, protocols uint32) (handle, error)
	// cancel ends a statusChange that waits; one that begins later it does not.
	cancel() error
	release() error
}

// handle is an SCARDHANDLE.
type handle interface {
	protocol() uint32
	atr() ([]byte, error)
	transmit(command []byte) ([]byte, error)
	reconnect(share, protocols, disposition uint32) error
	begin() error
	// control passes a control code to the reader's driver.
	control(code uint32, in []byte) ([]byte, error)
	disconnect(disposition uint32) error
}

// readerState is an SCARD_READERSTATE.
type readerState struct {
	reader         string
	current, event uint32
	atr            []byte
}

// Values of the PC/SC specification, part 5, the same on every platform.
const (
	shareExclusive, shareShared = 1, 2

	protocolT0, protocolT1 = 1, 2

	leaveCard, resetCard, unpowerCard = 0, 1, 2

	stateUnaware     = 0x0000
	stateChanged     = 0x0002
	stateUnknown     = 0x0004
	stateUnavailable = 0x0008
	stateEmpty       = 0x0010
	statePresent     = 0x0020
	stateMute        = 0x0200
)

// pnp is the name under which the service tells of readers plugged and pulled.
const pnp = `\\?PnP?\Notification`
