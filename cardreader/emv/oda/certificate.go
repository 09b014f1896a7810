package oda

import (
	"crypto/sha1" // hash algorithm 01 of Book 2, B3.1
	"crypto/subtle"
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

// fixed lengths of the two certificates besides the key's bytes.
const (
	issuerFixed = 36
	iccFixed    = 42
)

// RecoverIssuer recovers and checks the issuer public key certificate (Book 2,
// 5.3 and 6.3): cert is tag 90, remainder 92, exponent 9F32. now is the date of
// the transaction. Errors are *Failure.
func RecoverIssuer(ca CAKey, cert, remainder, exponent []byte, pan secret.PAN, now time.Time) (Issuer, error) {
	if ca.Expired(now) {
		return Issuer{}, failed(StepCA, "expired on %s", ca.Expiry.Format(time.DateOnly))
	}
	b, err := recoverBlock(StepIssuer, ca.PublicKey(), cert, formatIssuer)
	if err != nil {
		return Issuer{}, err
	}
	if !identifies(b[2:6], pan) {
		return Issuer{}, failed(StepIssuer, "issuer identifier does not match the PAN")
	}
	k, expiry, err := keyOf(StepIssuer, b, 6, issuerFixed, remainder, exponent, nil, now)
	if err != nil {
		return Issuer{}, err
	}
	return Issuer{Key: k, Serial: [3]byte(b[8:11]), Expiry: expiry}, nil
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
	b, err := recoverBlock(step, issuer, cert, formatICC)
	if err != nil {
		return ICC{}, err
	}
	if !isPAN(b[2:12], pan) {
		return ICC{}, failed(step, "PAN in it is not the card's")
	}
	k, expiry, err := keyOf(step, b, 12, iccFixed, remainder, exponent, staticData, now)
	if err != nil {
		return ICC{}, err
	}
	return ICC{Key: k, Serial: [3]byte(b[14:17]), Expiry: expiry}, nil
}

// keyOf checks the part that both certificates share: expiry (2), serial (3),
// hash and key algorithm, lengths, key, hash. at is the offset of the expiry.
func keyOf(step string, b []byte, at, fixed int, remainder, exponent, more []byte, now time.Time) (PublicKey, time.Time, error) {
	none := time.Time{}
	if len(b) < fixed {
		return PublicKey{}, none, failed(step, "%d bytes are too few", len(b))
	}
	expiry, ok := endOfMonth(b[at], b[at+1])
	if !ok {
		return PublicKey{}, none, failed(step, "expiration date is no MMYY")
	}
	hashAlg, keyAlg, keyLen, expLen := b[at+5], b[at+6], int(b[at+7]), int(b[at+8])
	digits := b[at+9 : len(b)-1-hashLen]
	hash := b[len(b)-1-hashLen : len(b)-1]
	if hashAlg != hashSHA1 {
		return PublicKey{}, none, failed(step, "hash algorithm %02X is not supported", hashAlg)
	}
	h := sha1.New()
	for _, part := range [][]byte{b[1 : len(b)-1-hashLen], remainder, exponent, more} {
		h.Write(part)
	}
	if subtle.ConstantTimeCompare(h.Sum(nil), hash) != 1 {
		return PublicKey{}, none, failed(step, "hash does not match")
	}
	if now.After(expiry) {
		return PublicKey{}, none, failed(step, "expired at the end of %s", expiry.Format("2006-01"))
	}
	if keyAlg != keyRSA {
		return PublicKey{}, none, failed(step, "key algorithm %02X is not supported", keyAlg)
	}
	over := max(keyLen-len(digits), 0)
	switch {
	case keyLen == 0 || keyLen > maxModulus:
		return PublicKey{}, none, failed(step, "key length of %d bytes", keyLen)
	case len(remainder) != over:
		return PublicKey{}, none, failed(step, "remainder of %d bytes, want %d", len(remainder), over)
	case len(exponent) != expLen || expLen == 0 || expLen > 3:
		return PublicKey{}, none, failed(step, "exponent of %d bytes, the certificate says %d", len(exponent), expLen)
	}
	modulus := append(append(make([]byte, 0, keyLen), digits[:keyLen-over]...), remainder...)
	return PublicKey{Modulus: modulus, Exponent: append([]byte(nil), exponent...)}, expiry, nil
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

// identifies reports whether an issuer identifier, 3 to 8 digits padded with F
// on the right, begins the PAN.
func identifies(id []byte, pan secret.PAN) bool {
	return prefix(id, pan, 3)
}

// isPAN reports whether a field holds exactly the PAN, padded with F.
func isPAN(field []byte, pan secret.PAN) bool {
	return prefix(field, pan, pan.Len())
}

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
