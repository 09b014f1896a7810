package apple

import (
	"encoding/binary"
	"errors"
)

// errCBOR: bytes are not of the part of CBOR (RFC 8949) that is read here.
var errCBOR = errors.New("not of its CBOR form")

// Major types of CBOR (RFC 8949, 3.1) that are read here.
const (
	majorUnsigned = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
)

// cbor reads items one after the other: integers, strings, arrays and maps, of
// definite length and in their shortest form (RFC 8949, 4.2.1). Nothing else
// comes in what App Attest makes. It remembers that an item was not what it had
// to be.
type cbor struct {
	b   []byte
	bad bool
}

// head reads an item's head: its argument.
func (c *cbor) head(major byte) uint64 {
	if c.bad || len(c.b) == 0 || c.b[0]>>5 != major {
		c.bad = true
		return 0
	}
	info := c.b[0] & 0x1F
	c.b = c.b[1:]
	if info < 24 {
		return uint64(info)
	}
	n := 1 << (info - 24)
	if info > 27 || len(c.b) < n {
		c.bad = true
		return 0
	}
	var v uint64
	for _, x := range c.b[:n] {
		v = v<<8 | uint64(x)
	}
	c.b = c.b[n:]
	if v < 24 || n > 1 && v < 1<<(4*n) {
		c.bad = true
	}
	return v
}

// string reads a byte or text string; the result points into the input.
func (c *cbor) string(major byte) []byte {
	n := c.head(major)
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

// int reads an integer.
func (c *cbor) int() int64 {
	if c.bad || len(c.b) == 0 {
		c.bad = true
		return 0
	}
	major := c.b[0] >> 5
	if major != majorUnsigned && major != majorNegative {
		c.bad = true
		return 0
	}
	v := c.head(major)
	if v > 1<<62 {
		c.bad = true
		return 0
	}
	if major == majorNegative {
		return -1 - int64(v)
	}
	return int64(v)
}

// key reads a map's key and says whether it is the one wanted.
func (c *cbor) key(want string) {
	if string(c.string(majorText)) != want {
		c.bad = true
	}
}

// end says whether all was read, and as it had to be.
func (c *cbor) end() bool { return !c.bad && len(c.b) == 0 }

// object is an attestation object (WebAuthn Level 2, 6.5.4) of the format
// "apple-appattest".
type object struct {
	certificates [][]byte
	receipt      []byte
	authData     []byte
}

const maxCertificates = 8

// parseObject reads an attestation object, of the members that App Attest writes,
// in its order.
func parseObject(b []byte) (*object, error) {
	c := &cbor{b: b}
	o := &object{}
	if c.head(majorMap) != 3 {
		return nil, errCBOR
	}
	c.key("fmt")
	c.key("apple-appattest")
	c.key("attStmt")
	if c.head(majorMap) != 2 {
		return nil, errCBOR
	}
	c.key("x5c")
	n := c.head(majorArray)
	if n == 0 || n > maxCertificates {
		return nil, errCBOR
	}
	for range n {
		o.certificates = append(o.certificates, c.string(majorBytes))
	}
	c.key("receipt")
	o.receipt = c.string(majorBytes)
	c.key("authData")
	o.authData = c.string(majorBytes)
	if !c.end() {
		return nil, errCBOR
	}
	return o, nil
}

// assertion is what DCAppAttestService.generateAssertion returns.
type assertion struct{ signature, authData []byte }

func parseAssertion(b []byte) (*assertion, error) {
	c := &cbor{b: b}
	if c.head(majorMap) != 2 {
		return nil, errCBOR
	}
	a := &assertion{}
	c.key("signature")
	a.signature = c.string(majorBytes)
	c.key("authenticatorData")
	a.authData = c.string(majorBytes)
	if !c.end() {
		return nil, errCBOR
	}
	return a, nil
}

// authData is authenticator data (WebAuthn Level 2, 6.1).
type authData struct {
	appHash [32]byte
	counter uint32
	// aaguid, credential and point are there in an attestation only: what made
	// the key, its id, and the key itself as an uncompressed point.
	aaguid     [16]byte
	credential []byte
	point      [65]byte
}

const (
	plainLen  = 32 + 1 + 4
	aaguidLen = 16
)

// parseAuthData reads authenticator data, with a key attested or without. The
// flags are not looked at: assertions of App Attest claim a key that they do not
// have.
func parseAuthData(b []byte, attested bool) (*authData, error) {
	if len(b) < plainLen || !attested && len(b) != plainLen {
		return nil, errors.New("authenticator data of a wrong length")
	}
	d := &authData{counter: binary.BigEndian.Uint32(b[33:])}
	copy(d.appHash[:], b)
	if !attested {
		return d, nil
	}
	b = b[plainLen:]
	if len(b) < aaguidLen+2 {
		return nil, errors.New("authenticator data is cut off")
	}
	b = b[copy(d.aaguid[:], b):]
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n {
		return nil, errors.New("authenticator data is cut off")
	}
	d.credential, b = b[:n], b[n:]
	// COSE_Key (RFC 9053, 7.1): EC2, ES256, P-256, x and y.
	c := &cbor{b: b}
	if c.head(majorMap) != 5 || c.int() != 1 || c.int() != 2 || c.int() != 3 || c.int() != -7 || c.int() != -1 || c.int() != 1 {
		return nil, errors.New("not a public key on P-256")
	}
	d.point[0] = 4
	for i, label := range []int64{-2, -3} {
		if c.int() != label || len(c.b) == 0 {
			return nil, errors.New("not a public key on P-256")
		}
		v := c.string(majorBytes)
		if len(v) != 32 {
			return nil, errors.New("not a public key on P-256")
		}
		copy(d.point[1+32*i:], v)
	}
	if !c.end() {
		return nil, errors.New("bytes after the public key")
	}
	return d, nil
}
