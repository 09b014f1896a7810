package oda

import (
	"crypto/sha1" // hash algorithm 01 of Book 2, B3.1
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
)

// Issuer is a recovered issuer public key.
type Issuer struct {
	Key PublicKey
	// Serial is the certificate's serial number, for revocation lists.
	Serial [3]byte
	// Expiry is the last moment of the certificate's last month, UTC.
	Expiry time.Time
}

// ICC is a recovered card public key.
type ICC struct {
	Key    PublicKey
	Serial [3]byte
	Expiry time.Time
}

// RecoverIssuer recovers and checks the issuer public key certificate (Book 2,
// 5.3 and 6.3): cert is tag 90, remainder 92, exponent 9F32. now is the date of
// the transaction. Whether the certificate is revoked is for the caller to ask,
// or for RecoverIssuerFrom. Errors are *Failure.
func RecoverIssuer(ca CAKey, cert, remainder, exponent []byte, pan secret.PAN, now time.Time) (Issuer, error) {
	if ca.Expired(now) {
		return Issuer{}, failed(StepCA, "expired on %s", ca.Expiry.Format(time.DateOnly))
	}
	c := certificate{step: StepIssuer, format: formatIssuer, identity: 4}
	c.belongs = func(field []byte) string {
		if !prefix(field, pan, 3) {
			return "issuer identifier does not match the PAN"
		}
		return ""
	}
	k, serial, expiry, err := c.recover(ca.PublicKey(), cert, remainder, exponent, nil, now)
	return Issuer{Key: k, Serial: serial, Expiry: expiry}, err
}

// Keys is what RecoverIssuerFrom asks: a *Store, or whoever keeps keys.
type Keys interface {
	CAKey(rid RID, index byte) (CAKey, bool)
	Revoked(rid RID, index byte, serial [3]byte) bool
}

var _ Keys = (*Store)(nil)

// RecoverIssuerFrom looks the authority's key up, recovers the issuer's and asks
// whether it is revoked. Errors are *Failure and wrap ErrMissingData when cert
// or exponent is empty, ErrNoCAKey or ErrRevoked where these are the cause.
func RecoverIssuerFrom(keys Keys, rid RID, index byte, cert, remainder, exponent []byte, pan secret.PAN, now time.Time) (Issuer, error) {
	if len(cert) == 0 {
		return Issuer{}, &Failure{Step: StepIssuer, Reason: "absent", Err: ErrMissingData}
	}
	ca, ok := keys.CAKey(rid, index)
	if !ok {
		return Issuer{}, &Failure{Step: StepCA, Reason: fmt.Sprintf("the terminal has no key %02X of RID %X", index, rid), Err: ErrNoCAKey}
	}
	issuer, err := RecoverIssuer(ca, cert, remainder, exponent, pan, now)
	if err != nil {
		return Issuer{}, err
	}
	if keys.Revoked(rid, index, issuer.Serial) {
		return Issuer{}, &Failure{Step: StepIssuer, Reason: fmt.Sprintf("serial number %X is revoked", issuer.Serial), Err: ErrRevoked}
	}
	return issuer, nil
}

// RecoverICC recovers and checks the card's public key certificate (Book 2,
// 6.4): cert is tag 9F46, remainder 9F48, exponent 9F47; staticData is what
// StaticData gave. Errors are *Failure.
func RecoverICC(issuer PublicKey, cert, remainder, exponent []byte, pan secret.PAN, staticData []byte, now time.Time) (ICC, error) {
	return recoverICC(StepICC, issuer, cert, remainder, exponent, pan, staticData, now)
}

// RecoverPINKey recovers and checks the card's PIN encipherment key (Book 2,
// 7.1): cert is tag 9F2D, remainder 9F2F, exponent 9F2E. Errors are *Failure.
func RecoverPINKey(issuer PublicKey, cert, remainder, exponent []byte, pan secret.PAN, now time.Time) (ICC, error) {
	return recoverICC(StepPIN, issuer, cert, remainder, exponent, pan, nil, now)
}

func recoverICC(step string, issuer PublicKey, cert, remainder, exponent []byte, pan secret.PAN, staticData []byte, now time.Time) (ICC, error) {
	c := certificate{step: step, format: formatICC, identity: 10}
	c.belongs = func(field []byte) string {
		if !prefix(field, pan, pan.Len()) {
			return "PAN in it is not the card's"
		}
		return ""
	}
	k, serial, expiry, err := c.recover(issuer, cert, remainder, exponent, staticData, now)
	return ICC{Key: k, Serial: serial, Expiry: expiry}, err
}

// certificate is what tells the two layouts apart (Book 2, tables 6, 14 and 23):
//
//	header 6A            1
//	format               1   02 or 04
//	identity             4   issuer identifier; 10 in the other: PAN
//	expiry, MMYY         2
//	serial number        3
//	hash algorithm       1
//	key algorithm        1
//	length of the key    1
//	length of exponent   1
//	leftmost part of key     padded with BB
//	hash                 20
//	trailer BC           1
type certificate struct {
	step     string
	format   byte
	identity int
	// belongs returns why the identity is not that of the card, "" when it is.
	belongs func(identity []byte) string
}

// recover carries out the checks in the order of Book 2, 5.3 and 6.4. more is
// what the hash covers besides certificate, remainder and exponent.
func (c certificate) recover(parent PublicKey, cert, remainder, exponent, more []byte, now time.Time) (k PublicKey, serial [3]byte, expiry time.Time, err error) {
	fail := func(format string, a ...any) (PublicKey, [3]byte, time.Time, error) {
		return PublicKey{}, [3]byte{}, time.Time{}, failed(c.step, format, a...)
	}
	if len(exponent) == 0 {
		return PublicKey{}, [3]byte{}, time.Time{}, &Failure{Step: c.step, Reason: "the key's exponent is absent", Err: ErrMissingData}
	}
	b, err := recoverBlock(c.step, parent, cert, c.format)
	if err != nil {
		return PublicKey{}, [3]byte{}, time.Time{}, err
	}
	at := 2 + c.identity // of the expiry
	if len(b) < at+9+hashLen+1 {
		return fail("%d bytes are too few", len(b))
	}
	hashAlg, keyAlg, keyLen, expLen := b[at+5], b[at+6], int(b[at+7]), int(b[at+8])
	digits, hash := b[at+9:len(b)-1-hashLen], b[len(b)-1-hashLen:len(b)-1]
	if hashAlg != hashSHA1 {
		return fail("hash algorithm %02X is not supported", hashAlg)
	}
	over := max(keyLen-len(digits), 0)
	if over > 0 && len(remainder) == 0 {
		return PublicKey{}, [3]byte{}, time.Time{}, &Failure{Step: c.step, Reason: "the key's remainder is absent", Err: ErrMissingData}
	}
	h := sha1.New()
	for _, part := range [][]byte{b[1 : len(b)-1-hashLen], remainder, exponent, more} {
		h.Write(part)
	}
	if subtle.ConstantTimeCompare(h.Sum(nil), hash) != 1 {
		return fail("hash does not match")
	}
	if why := c.belongs(b[2:at]); why != "" {
		return fail("%s", why)
	}
	expiry, ok := endOfMonth(b[at], b[at+1])
	if !ok {
		return fail("expiration date is no MMYY")
	}
	if now.After(expiry) {
		return fail("expired at the end of %s", expiry.Format("2006-01"))
	}
	if keyAlg != keyRSA {
		return fail("key algorithm %02X is not supported", keyAlg)
	}
	switch {
	case keyLen == 0:
		return fail("key without a length")
	case len(remainder) != over:
		return fail("remainder of %d bytes, want %d", len(remainder), over)
	case len(exponent) != expLen || expLen > 3:
		return fail("exponent of %d bytes, the certificate says %d", len(exponent), expLen)
	}
	k = PublicKey{
		Modulus:  append(append(make([]byte, 0, keyLen), digits[:keyLen-over]...), remainder...),
		Exponent: append([]byte(nil), exponent...),
	}
	return k, [3]byte(b[at+2 : at+5]), expiry, nil
}

// endOfMonth reads MMYY. Years below 50 are of this century (Book 4, 6.7.3).
func endOfMonth(mm, yy byte) (time.Time, bool) {
	m, ok1 := bcd(mm)
	y, ok2 := bcd(yy)
	if !ok1 || !ok2 || m < 1 || m > 12 {
		return time.Time{}, false
	}
	year := 2000 + y
	if y >= 50 {
		year -= 100
	}
	return time.Date(year, time.Month(m+1), 1, 0, 0, 0, 0, time.UTC).Add(-time.Nanosecond), true
}

func bcd(b byte) (int, bool) {
	return int(b>>4)*10 + int(b&0x0F), b>>4 <= 9 && b&0x0F <= 9
}

// prefix reports whether a field of digits, padded with F on the right, has at
// least so many digits and begins the PAN.
func prefix(field []byte, pan secret.PAN, least int) bool {
	digits := pan.Reveal()
	n := 0
	for i := range 2 * len(field) {
		nib := field[i/2] >> (4 * (1 - i%2)) & 0x0F
		if nib == 0x0F {
			// Nothing but padding may follow.
			for j := i; j < 2*len(field); j++ {
				if field[j/2]>>(4*(1-j%2))&0x0F != 0x0F {
					return false
				}
			}
			break
		}
		if n >= len(digits) || nib != digits[n]-'0' {
			return false
		}
		n++
	}
	return n >= least && n > 0
}
