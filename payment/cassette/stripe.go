package cassette

import (
	"context"

	"github.com/payunit/payunit/cardreader/magstripe"
)

const (
	portStripe = "stripe"
	opSwipe    = "swipe"
)

// Stripe returns a reader of magnetic stripes. What it records tells the tracks.
func (t *Tape) Stripe(r magstripe.Reader) magstripe.Reader { return &stripeReader{t, r} }

type stripeReader struct {
	t *Tape
	r magstripe.Reader
}

var _ magstripe.Reader = (*stripeReader)(nil)

// Name returns the reader's name, of a cassette its own.
func (r *stripeReader) Name() string {
	if r.r == nil {
		return "cassette"
	}
	return r.r.Name()
}

// tracks are a stripe as a reader gives it, from sentinel to check character: track
// 1, where there is one, and track 2.
type tracks struct {
	Tracks hexBytes `json:"tracks,omitempty"`
}

// Swipe implements magstripe.Reader.
func (r *stripeReader) Swipe(ctx context.Context) (s magstripe.Stripe, err error) {
	c := call{ctx: ctx, port: portStripe, op: opSwipe}
	a, err := do(r.t, c, func() (a tracks, err error) {
		if s, err = r.r.Swipe(ctx); err != nil {
			return a, err
		}
		// Both tracks are 119 characters at most: the buffer is not left behind.
		a.Tracks = make([]byte, 0, 128)
		if !s.Track1.IsZero() {
			a.Tracks = s.Track1.Append(a.Tracks)
		}
		a.Tracks = magstripe.AppendTrack2(a.Tracks, s.Track2)
		return a, nil
	})
	defer clear(a.Tracks)
	if r.t.playing == nil || err != nil {
		return s, err
	}
	if s, err = magstripe.Parse(a.Tracks); err != nil {
		return s, r.t.mismatch(c, 0, "the recorded answer is no stripe")
	}
	return s, nil
}
