package tpm

import (
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/payunit/payunit/channel"
)

// Statement is the evidence's statement:
//
//	offset  size  field
//	0       1     version, 1
//	1       2     length a of the quote, big endian
//	3       a     the quote, a TPMS_ATTEST (TPM 2.0 Part 2, 10.12.8)
//	3+a     4     00 18 00 0B: ECDSA with SHA-256 (TPMT_SIGNATURE, 11.3.4)
//	              r and s of the signature, each a length (2 bytes) and at most
//	              32 bytes, big endian
//	              number k of registers (1 byte, up to 24)
//	              k values of the SHA-256 bank, 32 bytes each, in the order of
//	              their numbers
//	              number c of certificates (1 byte, up to 8)
//	              c certificates, the AK's first, each a length (2 bytes) and
//	              DER (RFC 5280)
type Statement struct {
	// Attest is the TPMS_ATTEST, as the TPM signed it.
	Attest []byte
	// R and S are the signature.
	R, S *big.Int
	// Values are those of the quoted registers, in the order of their numbers.
	Values []PCR
	// Certificates are DER, the AK's own first.
	Certificates [][]byte
}

const (
	statementVersion = 1
	maxRegisters     = 24
	maxCertificates  = 8
	scalarLen        = 32

	algSHA256 = 0x000B // TPM_ALG_SHA256
	algECDSA  = 0x0018 // TPM_ALG_ECDSA
)

// Append appends the statement's bytes. What does not fit the format is an
// error that wraps ErrConfig.
func (s *Statement) Append(dst []byte) ([]byte, error) {
	if len(s.Attest) > 0xFFFF || len(s.Values) > maxRegisters || len(s.Certificates) > maxCertificates || s.R == nil || s.S == nil {
		return nil, fmt.Errorf("%w: the statement has more, or less, than its format", ErrConfig)
	}
	dst = append(dst, statementVersion)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(s.Attest))), s.Attest...)
	dst = binary.BigEndian.AppendUint16(dst, algECDSA)
	dst = binary.BigEndian.AppendUint16(dst, algSHA256)
	for _, n := range []*big.Int{s.R, s.S} {
		b := n.Bytes()
		if n.Sign() < 0 || len(b) > scalarLen {
			return nil, fmt.Errorf("%w: the signature is not one on P-256", ErrConfig)
		}
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
	}
	dst = append(dst, byte(len(s.Values)))
	for _, v := range s.Values {
		dst = append(dst, v[:]...)
	}
	dst = append(dst, byte(len(s.Certificates)))
	for _, c := range s.Certificates {
		if len(c) > 0xFFFF {
			return nil, fmt.Errorf("%w: a certificate of %d bytes", ErrConfig, len(c))
		}
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(c))), c...)
	}
	return dst, nil
}

// cursor reads fields, and remembers that one was not there.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	f := c.b[:n]
	c.b = c.b[n:]
	return f
}

func (c *cursor) u8() int {
	f := c.take(1)
	if f == nil {
		return 0
	}
	return int(f[0])
}

func (c *cursor) u16() int {
	f := c.take(2)
	if f == nil {
		return 0
	}
	return int(binary.BigEndian.Uint16(f))
}

func (c *cursor) u32() uint32 {
	f := c.take(4)
	if f == nil {
		return 0
	}
	return binary.BigEndian.Uint32(f)
}

// sized reads a TPM2B: a length of two bytes and as many bytes.
func (c *cursor) sized() []byte { return c.take(c.u16()) }

func malformed(what string) error {
	return channel.RefuseEvidence(channel.ReasonFormat, "TPM statement: %s", what)
}

// ParseStatement reads a statement; what it returns points into b. The error is a
// *channel.EvidenceError.
func ParseStatement(b []byte) (*Statement, error) {
	c := &cursor{b: b}
	if c.u8() != statementVersion {
		return nil, malformed("unknown version")
	}
	s := &Statement{Attest: c.sized()}
	if c.u16() != algECDSA || c.u16() != algSHA256 {
		return nil, malformed("signature algorithm")
	}
	for _, n := range []**big.Int{&s.R, &s.S} {
		f := c.sized()
		if len(f) == 0 || len(f) > scalarLen || f[0] == 0 {
			return nil, malformed("signature")
		}
		*n = new(big.Int).SetBytes(f)
	}
	k := c.u8()
	if k > maxRegisters {
		return nil, malformed("number of registers")
	}
	for range k {
		var v PCR
		copy(v[:], c.take(len(v)))
		s.Values = append(s.Values, v)
	}
	k = c.u8()
	if k > maxCertificates {
		return nil, malformed("number of certificates")
	}
	for range k {
		s.Certificates = append(s.Certificates, c.sized())
	}
	if c.bad {
		return nil, malformed("cut off")
	}
	if len(c.b) != 0 {
		return nil, malformed("bytes after it")
	}
	return s, nil
}

// quote is what counts of a TPMS_ATTEST of a quote.
type quote struct {
	extraData []byte
	selected  []uint
	digest    []byte
}

const (
	generated   = 0xFF544347 // TPM_GENERATED_VALUE, Part 2, 6.2
	attestQuote = 0x8018     // TPM_ST_ATTEST_QUOTE, 6.9
	clockLen    = 8 + 4 + 4 + 1
	firmwareLen = 8
)

// parseQuote reads a TPMS_ATTEST with a TPMS_QUOTE_INFO over registers of the
// SHA-256 bank alone (Part 2, 10.12.8 and 10.12.1). That it begins as only a TPM
// writes it is why a restricted key's signature over it proves something.
func parseQuote(b []byte) (*quote, error) {
	c := &cursor{b: b}
	if c.u32() != generated {
		return nil, malformed("it was not made by a TPM")
	}
	if c.u16() != attestQuote {
		return nil, malformed("it is not a quote")
	}
	c.sized() // qualified name of the AK
	q := &quote{extraData: c.sized()}
	c.take(clockLen)
	c.take(firmwareLen)
	if c.u32() != 1 || c.u16() != algSHA256 {
		return nil, malformed("it quotes another bank than SHA-256, or not one alone")
	}
	n := c.u8()
	if n == 0 || n > maxRegisters/8 {
		return nil, malformed("selection of registers")
	}
	for i, bits := range c.take(n) {
		for bit := range uint(8) {
			if bits&(1<<bit) != 0 {
				q.selected = append(q.selected, uint(i)*8+bit)
			}
		}
	}
	q.digest = c.sized()
	if c.bad {
		return nil, malformed("the quote is cut off")
	}
	if len(c.b) != 0 {
		return nil, malformed("bytes after the quote")
	}
	return q, nil
}
