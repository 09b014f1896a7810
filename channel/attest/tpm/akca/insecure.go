//go:build !release

package akca

import "crypto/ecdsa"

// InsecureAnyEK takes any endorsement key for one in a TPM: whoever makes a key can
// then have an AK certified, with no TPM behind it. It is for software TPMs, to
// which nobody gave a certificate.
// A build with the tag release does not have it.
func InsecureAnyEK([]byte, *ecdsa.PublicKey) error { return nil }
