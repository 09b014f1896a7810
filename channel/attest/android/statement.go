package android

import (
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/channel"
)

// Statement is the evidence's statement:
//
//	offset  size  field
//	0       1     version, 1
//	1       2     length s of the signature, big endian
//	3       s     ECDSA with SHA-256 over "payunit android attestation 1" and the
//	              challenge, DER (RFC 3279, 2.2.3), by the attested key
//	3+s     1     number c of certificates, 1 to 8
//	              c certificates, the key's first, each a length (2 bytes) and
//	              DER (RFC 5280), as KeyStore.getCertificateChain gives them
type Statement struct {
	Signature    []byte
	Certificates [][]byte
}

const (
	statementVersion = 1
	maxCertificates  = 8
)

// Append appends the statement's bytes. What does not fit the format is an
// error that wraps ErrConfig.
func (s *Statement) Append(dst []byte) ([]byte, error) {
	if len(s.Signature) > 0xFFFF || len(s.Certificates) == 0 || len(s.Certificates) > maxCertificates {
		return nil, fmt.Errorf("%w: the statement has more, or less, than its format", ErrConfig)
	}
	dst = append(dst, statementVersion)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(s.Signature))), s.Signature...)
	dst = append(dst, byte(len(s.Certificates)))
	for _, c := range s.Certificates {
		if len(c) > 0xFFFF {
			return nil, fmt.Errorf("%w: a certificate of %d bytes", ErrConfig, len(c))
		}
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(c))), c...)
	}
	return dst, nil
}

// ParseStatement reads a statement; what it returns points into b. The error is a
// *channel.EvidenceError.
func ParseStatement(b []byte) (*Statement, error) {
	bad := func(what string) (*Statement, error) {
		return nil, channel.RefuseEvidence(channel.ReasonFormat, "android statement: %s", what)
	}
	if len(b) == 0 || b[0] != statementVersion {
		return bad("unknown version")
	}
	b = b[1:]
	sized := func() (f []byte, ok bool) {
		if len(b) < 2 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, false
		}
		f, b = b[2:2+n], b[2+n:]
		return f, true
	}
	s := &Statement{}
	var ok bool
	if s.Signature, ok = sized(); !ok || len(b) == 0 {
		return bad("cut off")
	}
	k := int(b[0])
	if b = b[1:]; k == 0 || k > maxCertificates {
		return bad("number of certificates")
	}
	for range k {
		c, ok := sized()
		if !ok {
			return bad("cut off")
		}
		s.Certificates = append(s.Certificates, c)
	}
	if len(b) != 0 {
		return bad("bytes after it")
	}
	return s, nil
}
