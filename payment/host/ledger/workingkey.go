package ledger

import (
	"fmt"
	"time"
)

// WorkingKey is a key that two servers agreed upon for the messages between them.
type WorkingKey struct {
	// Zone is the line that it is for, Usage what it is used for.
	Zone, Usage string
	// Number rises with each new key of the zone and usage.
	Number uint64
	// Block is the key, as a key block under the zone's master key, which is not
	// in the ledger.
	Block string
	// Created is when it took effect. Until is zero for the key in use; for the
	// one before it, the time until which messages under it are still taken.
	Created, Until time.Time
}

// Check says whether k can be written. Errors wrap ErrInvalid.
func (k *WorkingKey) Check() error {
	if k.Zone == "" || k.Usage == "" || k.Number == 0 || k.Block == "" {
		return fmt.Errorf("%w: working key without zone, usage, number or content", ErrInvalid)
	}
	return nil
}
