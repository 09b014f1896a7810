// Package usage holds a certificate chain to an extended key usage that crypto/x509
// does not know: an authority whose own certificate is limited to usages can't
// certify a key for another.
package usage

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Path returns the first path, from the key's own certificate to the root, whose
// key is meant for a usage and whose authorities may all certify keys for it; nil
// when there is none. The key has to say so itself; an authority that names no
// usage may certify for any (RFC 5280, 4.2.1.12, taken as limiting what is below, as
// crypto/x509 does for the usages that it knows).
func Path(paths [][]*x509.Certificate, oid asn1.ObjectIdentifier) []*x509.Certificate {
	for _, path := range paths {
		if len(path) == 0 || !named(path[0], oid) {
			continue
		}
		if !slices.ContainsFunc(path[1:], func(c *x509.Certificate) bool { return !allows(c, oid) }) {
			return path
		}
	}
	return nil
}

func named(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(c.UnknownExtKeyUsage, func(o asn1.ObjectIdentifier) bool { return o.Equal(oid) })
}

func allows(c *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	none := len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0
	return none || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) || named(c, oid)
}
