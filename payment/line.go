package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/trade"
)

// line is the way to the server during one call of Pay or Recover: a channel
// that is brought up when it is first needed, and anew after it died.
type line struct {
	u       *Unit
	session Session
	// waited is the time spent on channels and replies.
	waited time.Duration
}

func (u *Unit) newLine() *line { return &line{u: u} }

// open brings the channel up unless it is.
func (l *line) open(ctx context.Context) error {
	if l.session != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.u.c.Limits.Connect)
	defer cancel()
	l.u.tell(PhaseConnect, "open a secure channel to the server through the app's relay")
	began := l.u.c.Now()
	s, err := l.u.c.Device.Open(ctx)
	took := l.u.c.Now().Sub(began)
	l.waited += took
	if err != nil {
		return fmt.Errorf("%w: opening the channel: %w", ErrServer, err)
	}
	l.session = s
	l.u.c.Observe(Event{Phase: PhaseConnect, Step: "handshake", Text: "the server proved its key, the unit proved its own: channel up", Took: took})
	return nil
}

// call sends one request. After an error other than a *trade.Error the channel
// is gone, and the next call brings a new one up.
func (l *line) call(ctx context.Context, kind trade.Kind, body []byte) (trade.Envelope, error) {
	if err := l.open(ctx); err != nil {
		return trade.Envelope{}, &unsentError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, l.u.c.Limits.Reply)
	defer cancel()
	began := l.u.c.Now()
	e, err := l.session.Call(ctx, kind, body)
	l.waited += l.u.c.Now().Sub(began)
	var said *trade.Error
	if err != nil && !errors.As(err, &said) {
		l.close()
	}
	return e, err
}

func (l *line) close() {
	if l.session == nil {
		return
	}
	if err := l.session.Close(); err != nil {
		l.u.tell(PhaseConnect, "closing the channel: %v", err)
	}
	l.session = nil
}

// unsentError marks a request that certainly did not leave.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// serverError puts a failure before the request into the unit's terms.
func serverError(doing string, err error) error {
	var said *trade.Error
	if errors.As(err, &said) && said.Code == trade.CodeUnknownOrder {
		return fmt.Errorf("%w: %w", ErrOrder, err)
	}
	if errors.Is(err, ErrServer) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrServer, doing, err)
}
