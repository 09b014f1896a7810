package payment

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// lost reports that a request went out and that the channel died before its
// answer came: what became of it is unknown, and the server can be asked. An
// answer that is none, and the caller's own cancellation, are not that.
func lost(ctx context.Context, err error) bool {
	var said *trade.Error
	var unsent *unsentError
	return err != nil && ctx.Err() == nil && !errors.As(err, &said) && !errors.As(err, &unsent) && !errors.Is(err, errReply)
}

// inquire asks, over a new channel, what became of a request whose answer was
// lost: by the request itself, marked as a repeat (0201, 0421), under the STAN and
// RRN that it had and a fresh message key. The server answers one that it knows
// with what it answered first, and takes one that never arrived for the first
// time: whatever reaches it in whatever order, there is one request. It asks
// once; what stays open is the journal's.
func (u *Unit) inquire(ctx context.Context, l *line, m *acquirer.Message, cause error) (*acquirer.Message, error) {
	u.tell(PhaseOnline, "the answer to the %s of reference %s was lost, ask over a new channel what became of it: %v", m.MTI, m.RRN, cause)
	mti, err := acquirer.RepeatMTI(m.MTI)
	if err != nil {
		return nil, fmt.Errorf("payment: asking again: %w", err)
	}
	m.MTI = mti
	out, err := u.seal(ctx, m)
	if err != nil {
		return nil, err
	}
	defer out.key.Wipe()
	resp, err := u.exchange(ctx, l, out, "repeat "+mti+" of a request whose answer was lost")
	if err != nil {
		return nil, fmt.Errorf("%w; before that: %w", err, cause)
	}
	return resp, nil
}
