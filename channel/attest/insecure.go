//go:build !release

package attest

import (
	"context"

	"github.com/payunit/payunit/channel"
)

// InsecureAcceptAnything takes whatever evidence it is given for proof of
// nothing: whoever has a device's key may be anywhere. For tests, and for
// estates whose devices can't attest. All devices have one name.
// A build with the tag release does not have it.
type InsecureAcceptAnything struct{}

var _ channel.Verifier = InsecureAcceptAnything{}

// Verify implements channel.Verifier.
func (InsecureAcceptAnything) Verify(context.Context, []byte, channel.Evidence) (channel.Claims, error) {
	return channel.Claims{Assurance: channel.AssuranceUnknown, Device: "not-attested"}, nil
}
