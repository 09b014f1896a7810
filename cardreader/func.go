package cardreader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Transceive sends one command APDU to a card that a platform has connected and
// returns its response APDU, as IsoDep.transceive on Android and
// NFCISO7816Tag.sendCommand on iOS do. Where the platform tells a card that has
// left from other failures, the error wraps ErrCardRemoved.
type Transceive func(ctx context.Context, command []byte) (response []byte, err error)

// FuncConfig says what a platform knows of the card behind a Transceive.
type FuncConfig struct {
	// ATR is the answer to reset. Of a contactless card, which has none, it is
	// made of HistoricalBytes as PC/SC part 3, 3.1.3.2.3, has it.
	ATR []byte
	// HistoricalBytes are those of the ATS (type A) or the higher layer
	// response (type B), 15 at most; a contactless card's alone.
	HistoricalBytes []byte
	// Interface is how the card is reached.
	Interface Interface
	// Protocol is the transmission protocol; of a contactless card it is TCL.
	Protocol Protocol
	// MaxCommand is the longest command APDU that the platform sends, in bytes
	// (IsoDep.getMaxTransceiveLength); zero means no bound but the protocol's.
	MaxCommand int
	// MaxResponse is the longest response APDU to take, in bytes; zero means
	// 65,538, the longest of ISO/IEC 7816-4.
	MaxResponse int
	// Timeout bounds one command; zero means that the caller's context alone
	// does. A card that does not answer in time is ErrCardMute.
	Timeout time.Duration
	// Close lets go of the card, once; nil does nothing. It is waited for as a
	// command is, for a second when Timeout is zero.
	Close func() error
	// Reset makes a warm reset and returns the new ATR; nil where the platform
	// has none.
	Reset func(ctx context.Context) ([]byte, error)
}

const (
	longestResponse = 65538
	mostHistorical  = 15
	closeTime       = time.Second
)

// Func returns a Card that goes through a function: the session that an app was
// given by its platform. A call of the function that does not end with its
// context is left to itself, and only Close may follow. Errors: ErrProtocol for
// a configuration that no card can have.
func Func(t Transceive, c FuncConfig) (Card, error) {
	switch {
	case t == nil:
		return nil, errors.New("cardreader: the transceive function is nil and has no default")
	case len(c.HistoricalBytes) > mostHistorical:
		return nil, fmt.Errorf("%w: %d historical bytes, %d at most", ErrProtocol, len(c.HistoricalBytes), mostHistorical)
	case c.MaxCommand < 0, c.MaxCommand > 0 && c.MaxCommand < 5:
		return nil, fmt.Errorf("%w: commands of at most %d bytes are too short", ErrProtocol, c.MaxCommand)
	case c.MaxResponse < 0, c.MaxResponse == 1:
		return nil, fmt.Errorf("%w: responses of at most %d bytes are too short", ErrProtocol, c.MaxResponse)
	}
	f := &funcCard{t: t, c: c, atr: slices.Clone(c.ATR), quit: make(chan struct{})}
	if c.Interface == Contactless {
		f.c.Protocol = TCL
		if len(f.atr) == 0 {
			f.atr = pseudoATR(c.HistoricalBytes)
		}
	}
	if f.c.MaxResponse == 0 {
		f.c.MaxResponse = longestResponse
	}
	if c.Reset != nil {
		return &resettable{f}, nil
	}
	return f, nil
}

// pseudoATR is the answer to reset that a contactless reader makes up (PC/SC
// part 3, 3.1.3.2.3.1).
func pseudoATR(historical []byte) []byte {
	b := append([]byte{0x3B, 0x80 | byte(len(historical)), 0x80, 0x01}, historical...)
	var tck byte
	for _, x := range b[1:] {
		tck ^= x
	}
	return append(b, tck)
}

type funcCard struct {
	t Transceive
	c FuncConfig
	// quit is closed by Close.
	quit chan struct{}

	mu     sync.Mutex
	atr    []byte
	closed bool
	// lost is set when a call was left to itself.
	lost error
}

// resettable is a card whose platform can reset it.
type resettable struct{ *funcCard }

var (
	_ Card       = (*funcCard)(nil)
	_ Protocoler = (*funcCard)(nil)
	_ Interfacer = (*funcCard)(nil)
	_ Resetter   = (*resettable)(nil)
)

func (f *funcCard) ATR() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.atr)
}

func (f *funcCard) Protocol() Protocol   { return f.c.Protocol }
func (f *funcCard) Interface() Interface { return f.c.Interface }

func (f *funcCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	switch n := len(command); {
	case n < 4:
		return nil, fmt.Errorf("%w: command of %d bytes", ErrProtocol, n)
	case f.c.MaxCommand > 0 && n > f.c.MaxCommand:
		return nil, fmt.Errorf("%w: command of %d bytes, the platform sends %d at most", ErrProtocol, n, f.c.MaxCommand)
	}
	r, err := f.do(ctx, "transmitting", func(ctx context.Context) ([]byte, error) {
		return f.t(ctx, slices.Clone(command))
	})
	switch {
	case err != nil:
		return nil, err
	case len(r) < 2:
		// What a platform may give for a card that left in mid-command.
		return nil, fmt.Errorf("%w: response of %d bytes", f.missing(), len(r))
	case len(r) > f.c.MaxResponse:
		return nil, fmt.Errorf("%w: response of %d bytes, %d at most", ErrProtocol, len(r), f.c.MaxResponse)
	}
	return slices.Clone(r), nil
}

func (r *resettable) Reset(ctx context.Context) ([]byte, error) {
	b, err := r.do(ctx, "resetting", r.c.Reset)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.atr = slices.Clone(b)
	r.mu.Unlock()
	return slices.Clone(b), nil
}

// missing is what a failure that the platform does not explain comes to: a card
// that is held against a reader has left, one that is in a reader is mute.
func (f *funcCard) missing() error {
	if f.c.Interface == Contactless {
		return ErrCardRemoved
	}
	return ErrCardMute
}

// do calls the platform, and waits for it no longer than its context.
func (f *funcCard) do(ctx context.Context, op string, call func(context.Context) ([]byte, error)) ([]byte, error) {
	f.mu.Lock()
	closed, lost := f.closed, f.lost
	f.mu.Unlock()
	switch {
	case closed:
		return nil, fmt.Errorf("cardreader: %s: %w", op, ErrClosed)
	case lost != nil:
		return nil, lost
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cardreader: %s: %w", op, ctx.Err())
	}
	inner, cancel := ctx, context.CancelFunc(func() {})
	if f.c.Timeout > 0 {
		inner, cancel = context.WithTimeout(ctx, f.c.Timeout)
	}
	type result struct {
		b   []byte
		err error
	}
	answer := make(chan result, 1)
	go func() {
		defer cancel()
		b, err := call(inner)
		answer <- result{b, err}
	}()
	select {
	case r := <-answer:
		return r.b, f.explain(ctx, inner, op, r.err)
	case <-inner.Done():
	case <-f.quit:
		return nil, fmt.Errorf("cardreader: %s: %w", op, ErrClosed)
	}
	// Nobody knows what the card does with the command.
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = f.explain(ctx, inner, op, inner.Err())
	return nil, f.lost
}

// explain gives a platform's error the contract's kinds.
func (f *funcCard) explain(ctx, inner context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("cardreader: %s: %w", op, ctx.Err())
	case inner.Err() != nil:
		return fmt.Errorf("cardreader: %s: %w: no answer in %v", op, ErrCardMute, f.c.Timeout)
	}
	for _, known := range []error{ErrCardRemoved, ErrCardMute, ErrProtocol, ErrClosed, ErrNoReader, ErrBusy} {
		if errors.Is(err, known) {
			return fmt.Errorf("cardreader: %s: %w", op, err)
		}
	}
	return fmt.Errorf("cardreader: %s: %w: %w", op, f.missing(), err)
}

// Close waits for the platform no longer than for a command.
func (f *funcCard) Close() error {
	f.mu.Lock()
	closed := f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		return nil
	}
	close(f.quit)
	if f.c.Close == nil {
		return nil
	}
	bound := f.c.Timeout
	if bound == 0 {
		bound = closeTime
	}
	ended := make(chan error, 1)
	go func() { ended <- f.c.Close() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(bound):
		return fmt.Errorf("cardreader: closing: %w: no answer in %v", ErrCardMute, bound)
	}
}
