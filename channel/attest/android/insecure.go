//go:build !release

package android

import (
	"context"
	"math/big"
)

// InsecureNoRevocations takes every certificate for good: keys that leaked from
// devices, and there are many, attest whatever their finder likes.
// A build with the tag release does not have it.
type InsecureNoRevocations struct{}

// Revoked implements Revocations.
func (InsecureNoRevocations) Revoked(context.Context, *big.Int) (bool, error) { return false, nil }
