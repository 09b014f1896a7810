package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/trade"
)

// line is the way to the server during one call of Pay or Recover: a channel
// that is brought up when it is first needed, and anew after it died.
type line struct {
	u       *Unit
	session Session
	// payment is what evidence inside the channel is for; empty when nothing
	// is paid. proven is the last moment that it was given for in session.
	payment string
	proven  attest.Moment
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
	l.session, l.proven = s, ""
	l.u.c.Observe(Event{Phase: PhaseConnect, Step: "handshake", Text: "the server proved its key, the unit proved its own: channel up", Took: took})
	return nil
}

// prover is a Session that can give evidence of the device inside the channel.
type prover interface {
	Attest(ctx context.Context, m attest.Moment, payment string) error
}

// prove gives the server evidence of the device for a moment of the payment,
// unless it has that over this channel. A channel that died meanwhile is replaced
// once.
func (l *line) prove(ctx context.Context, m attest.Moment) error {
	for again := true; ; again = false {
		if err := l.open(ctx); err != nil {
			return err
		}
		if l.proven == m {
			return nil
		}
		err := l.attest(ctx, m)
		var said *trade.Error
		if err == nil || errors.As(err, &said) || l.session != nil || !again || ctx.Err() != nil {
			return err
		}
	}
}

// spoken is a moment in a sentence.
func spoken(m attest.Moment) string {
	if m == attest.BeforePIN {
		return "PIN"
	}
	return string(m)
}

// attest gives evidence once.
func (l *line) attest(ctx context.Context, m attest.Moment) error {
	p, ok := l.session.(prover)
	if !ok {
		return fmt.Errorf("%w: it wants evidence of the device, and the session can't give any", ErrServer)
	}
	ctx, cancel := context.WithTimeout(ctx, l.u.c.Limits.Reply)
	defer cancel()
	began := l.u.c.Now()
	err := p.Attest(ctx, m, l.payment)
	took := l.u.c.Now().Sub(began)
	l.waited += took
	if err != nil {
		var said *trade.Error
		if !errors.As(err, &said) {
			l.close()
		}
		if refusesDevice(err) {
			err = errors.Join(err, l.u.disproved(ctx))
		}
		return fmt.Errorf("%w: evidence of the device, before the %s: %w", ErrServer, spoken(m), err)
	}
	l.proven = m
	l.u.c.Observe(Event{Phase: PhaseConnect, Step: "attestation", Text: "the device proved itself again, before the " + spoken(m), Took: took})
	return nil
}

// call sends one request. After an error other than a *trade.Error the channel
// is gone, and the next call brings a new one up. A request that the server
// wants evidence for first, since the channel is a new one or people took their
// time, is sent again after it: nothing was done about it.
func (l *line) call(ctx context.Context, kind trade.Kind, body []byte) (trade.Envelope, error) {
	e, err := l.callOnce(ctx, kind, body)
	var ended interface{ Unsent() bool }
	if errors.As(err, &ended) && ended.Unsent() && ctx.Err() == nil {
		// The channel had reached its limit: a new one takes the request.
		e, err = l.callOnce(ctx, kind, body)
	}
	var said *trade.Error
	if !errors.As(err, &said) || said.Code != trade.CodeAttest || l.payment == "" {
		return e, err
	}
	if err := l.attest(ctx, attest.Moment(said.Reason)); err != nil {
		return trade.Envelope{}, &unsentError{err}
	}
	return l.callOnce(ctx, kind, body)
}

func (l *line) callOnce(ctx context.Context, kind trade.Kind, body []byte) (trade.Envelope, error) {
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
