package cassette

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/trusted"
)

// failure is an error as a cassette keeps it: the kind that callers branch on,
// and its words.
type failure struct {
	Is   string `json:"is,omitempty"`
	Text string `json:"text"`
}

const (
	// isCancelled: the payment was cancelled.
	isCancelled = "cancelled"
	// isCalledOff: the unit went on without this answer, as it does with the
	// ways that a card did not come.
	isCalledOff = "called-off"
	// isDeadline: a time was over, isLimit: it was that of the payment's phase.
	isDeadline = "deadline"
	isLimit    = "limit"
)

// kinds are the errors by which a unit decides what to do.
func kinds() []struct {
	name string
	err  error
} {
	return []struct {
		name string
		err  error
	}{
		{isCancelled, context.Canceled},
		{isCalledOff, context.Canceled},
		{isDeadline, context.DeadlineExceeded},
		{isLimit, context.DeadlineExceeded},
		{"card-removed", cardreader.ErrCardRemoved},
		{"card-mute", cardreader.ErrCardMute},
		{"card-collision", cardreader.ErrCollision},
		{"card-inserted", cardreader.ErrOther},
		{"no-reader", cardreader.ErrNoReader},
		{"reader-busy", cardreader.ErrBusy},
		{"card-protocol", cardreader.ErrProtocol},
		{"card-closed", cardreader.ErrClosed},
		{"track", magstripe.ErrTrack},
		{"not-found", trusted.ErrNotFound},
		{"tampered", trusted.ErrTampered},
		{"rollback", trusted.ErrRollback},
		{"in-use", trusted.ErrInUse},
		{"storage-full", trusted.ErrStorageFull},
		{"unsupported", errors.ErrUnsupported},
		{"ui-cancelled", trusted.ErrCancelled},
		{"pin-cancelled", pinpad.ErrCancelled},
		{"pin-bypassed", pinpad.ErrBypassed},
		{"pin-timeout", pinpad.ErrTimeout},
		{"pin-unavailable", pinpad.ErrUnavailable},
		{"eof", io.EOF},
		{"unexpected-eof", io.ErrUnexpectedEOF},
		{"closed-pipe", io.ErrClosedPipe},
		{"net-closed", net.ErrClosed},
		{"io-deadline", os.ErrDeadlineExceeded},
	}
}

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			f.Is = k.name
			break
		}
	}
	return f
}

// error returns the failure as an error of its kind.
func (f *failure) error() error {
	if f == nil {
		return nil
	}
	for _, k := range kinds() {
		if k.name == f.Is {
			return &played{f.Text, k.err}
		}
	}
	return &played{f.Text, nil}
}

// played is an error out of a cassette.
type played struct {
	text string
	kind error
}

func (p *played) Error() string { return p.text }
func (p *played) Unwrap() error { return p.kind }
