//go:build !release

package tpm

import "context"

// InsecureAnyPCRs accepts whatever a machine booted: evidence then proves which
// TPM it is, and nothing of what runs beside it.
// A build with the tag release does not have it.
type InsecureAnyPCRs struct{}

// Accept implements PCRPolicy.
func (InsecureAnyPCRs) Accept(context.Context, PCRs) error { return nil }
