package oda

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Formats of Book 2, tables 35 to 38, and hash algorithms of table 47.
const (
	formatIssuerEC = 0x12
	formatICCEC    = 0x14
	formatXDA      = 0x15
	encodingBinary = 0x00
	hashSHA256     = 0x02
	hashSHA512     = 0x03
)

// ECIssuer is a recovered issuer public key of an elliptic curve.
type ECIssuer struct {
	Key    ECKey
	Serial [3]byte
	// Expiry is the last day, UTC.
	Expiry time.Time
}

// ECICC is a recovered card public key of an elliptic curve.
type ECICC struct {
	Key    ECKey
	Serial [6]byte
	// Expiry is the first moment at which it is no longer valid, UTC.
	Expiry time.Time
}

// RecoverECIssuer checks an issuer public key certificate, tag 90, and takes the
// key out of it (Book 2, 12.3):
//
//	format 12              1
//	encoding 00            1
//	issuer identifier      5   3 to 10 digits, padded with F
//	key's suite            1
//	expiry, YYYYMMDD       4
//	serial number          3
//	RID                    5
//	CA key index           1
//	key, x-coordinate      NFIELD
//	signature              NSIG of the CA key's suite
//
// Whether it is revoked is for the caller to ask, or for RecoverECIssuerFrom.
// Errors are *Failure.
func RecoverECIssuer(ca CAKey, cert []byte, pan secret.PAN, now time.Time) (ECIssuer, error) {
	bad := func(format string, a ...any) (ECIssuer, error) { return ECIssuer{}, failed(StepIssuer, format, a...) }
	const head = 21
	switch {
	case ca.Expired(now):
		return ECIssuer{}, failed(StepCA, "expired on %s", ca.Expiry.Format(time.DateOnly))
	case len(cert) == 0:
		return ECIssuer{}, &Failure{Step: StepIssuer, Reason: "absent", Err: ErrMissingData}
	case len(cert) < head:
		return bad("%d bytes are too few", len(cert))
	case cert[0] != formatIssuerEC:
		return bad("format is %02X, want %02X", cert[0], formatIssuerEC)
	case cert[1] != encodingBinary:
		return bad("encoding is %02X, want %02X", cert[1], encodingBinary)
	case !prefix(cert[2:7], pan, 3):
		return bad("issuer identifier does not match the PAN")
	}
	last, ok := dayOf(cert[8:12])
	switch {
	case !ok:
		return bad("expiration date is no YYYYMMDD")
	case !now.UTC().Before(last.AddDate(0, 0, 1)):
		return bad("expired after %s", last.Format(time.DateOnly))
	case RID(cert[15:20]) != ca.RID || cert[20] != ca.Index:
		return bad("made for another CA key")
	}
	key := ECKey{Suite: Suite(cert[7])}
	n, _ := key.Suite.Len()
	_, sig := ca.EC.Suite.Len()
	switch {
	case n == 0:
		return bad("algorithm suite %02X is not supported", cert[7])
	case len(cert) != head+n+sig:
		return bad("%d bytes, want %d", len(cert), head+n+sig)
	}
	if reason := ca.EC.verify(cert[:head+n], cert[head+n:]); reason != "" {
		return bad("%s", reason)
	}
	key.X = append([]byte(nil), cert[head:head+n]...)
	if _, _, ok := key.point(); !ok {
		return bad("the key in it is no point of its curve")
	}
	return ECIssuer{Key: key, Serial: [3]byte(cert[12:15]), Expiry: last}, nil
}

// RecoverECIssuerFrom looks the authority's key up, recovers the issuer's and
// asks whether it is revoked. Errors are *Failure and wrap ErrNoCAKey when there
// is no elliptic-curve key of that index, ErrMissingData when cert is empty,
// ErrRevoked.
func RecoverECIssuerFrom(keys Keys, rid RID, index byte, cert []byte, pan secret.PAN, now time.Time) (ECIssuer, error) {
	ca, ok := keys.CAKey(rid, index)
	if !ok || ca.EC.Suite == 0 {
		return ECIssuer{}, &Failure{Step: StepCA, Reason: fmt.Sprintf("the terminal has no elliptic-curve key %02X of RID %X", index, rid), Err: ErrNoCAKey}
	}
	issuer, err := RecoverECIssuer(ca, cert, pan, now)
	if err != nil {
		return ECIssuer{}, err
	}
	if keys.Revoked(rid, index, issuer.Serial) {
		return ECIssuer{}, &Failure{Step: StepIssuer, Reason: fmt.Sprintf("serial number %X is revoked", issuer.Serial), Err: ErrRevoked}
	}
	return issuer, nil
}

// RecoverECICC checks a card public key certificate, tag 9F46, and takes the key
// out of it (Book 2, 12.4). certified is what CertifiedCardData gave:
//
//	format 14              1
//	encoding 00            1
//	key's suite            1
//	expiry, YYYYMMDDHHMM   6
//	serial number          6
//	hash encoding 00       1
//	hash algorithm         1
//	hash of certified      NHASH
//	key, x-coordinate      NFIELD
//	signature              NSIG of the issuer key's suite
//
// Errors are *Failure.
func RecoverECICC(issuer ECKey, cert, certified []byte, now time.Time) (ECICC, error) {
	bad := func(format string, a ...any) (ECICC, error) { return ECICC{}, failed(StepICC, format, a...) }
	const head = 17
	switch {
	case len(cert) == 0:
		return ECICC{}, &Failure{Step: StepICC, Reason: "absent", Err: ErrMissingData}
	case len(cert) < head:
		return bad("%d bytes are too few", len(cert))
	case cert[0] != formatICCEC:
		return bad("format is %02X, want %02X", cert[0], formatICCEC)
	case cert[1] != encodingBinary:
		return bad("encoding is %02X, want %02X", cert[1], encodingBinary)
	case cert[15] != encodingBinary:
		return bad("hash encoding is %02X, want %02X", cert[15], encodingBinary)
	}
	expiry, ok := minuteOf(cert[3:9])
	switch {
	case !ok:
		return bad("expiration is no YYYYMMDDHHMM")
	case !now.Before(expiry):
		return bad("expired at %s", expiry.Format("2006-01-02 15:04"))
	}
	key := ECKey{Suite: Suite(cert[2])}
	n, _ := key.Suite.Len()
	if n == 0 {
		return bad("algorithm suite %02X is not supported", cert[2])
	}
	var sum []byte
	switch cert[16] {
	case hashSHA256:
		h := sha256.Sum256(certified)
		sum = h[:]
	case hashSHA512:
		h := sha512.Sum512(certified)
		sum = h[:]
	default:
		return bad("hash algorithm %02X is not supported", cert[16])
	}
	_, sig := issuer.Suite.Len()
	signed := head + len(sum) + n
	if len(cert) != signed+sig {
		return bad("%d bytes, want %d", len(cert), signed+sig)
	}
	if subtle.ConstantTimeCompare(sum, cert[head:head+len(sum)]) != 1 {
		return bad("hash of the card's data does not match")
	}
	if reason := issuer.verify(cert[:signed], cert[signed:]); reason != "" {
		return bad("%s", reason)
	}
	key.X = append([]byte(nil), cert[head+len(sum):signed]...)
	if _, _, ok := key.point(); !ok {
		return bad("the key in it is no point of its curve")
	}
	return ECICC{Key: key, Serial: [6]byte(cert[9:15]), Expiry: expiry}, nil
}

// CertifiedCardData assembles the issuer certified card data (Book 3, 10.3): the
// records as StaticData takes them, then AIP, application identifier and, when
// the card has one, PDOL, each with tag and length. Errors are *Failure.
func CertifiedCardData(records []Record, aip [2]byte, aid, pdol []byte) ([]byte, error) {
	out, err := StaticData(records, nil, aip)
	if err != nil {
		return nil, err
	}
	out = tlv.Append(out, tagAIP, aip[:])
	out = tlv.Append(out, tagAID, aid)
	if len(pdol) > 0 {
		out = tlv.Append(out, tagPDOL, pdol)
	}
	return out, nil
}

// XDAData concatenates what the signature of an XDA answer covers (Book 2, table
// 37): 15, the data of PDOL and CDOL1 or, the second time, that of CDOL2 alone,
// and the response's objects but for 9F4B, as they came.
func XDAData(response []byte, lists ...[]byte) []byte {
	out := []byte{formatXDA}
	for _, l := range lists {
		out = append(out, l...)
	}
	return append(out, response...)
}

// VerifyXDA checks the signed dynamic application data, tag 9F4B, of a GENERATE
// AC answer (Book 2, 12.5.3). data is what XDAData gave. Errors are *Failure.
func VerifyXDA(icc ECKey, sdad, data []byte) error {
	_, n := icc.Suite.Len()
	switch {
	case len(sdad) == 0:
		return &Failure{Step: StepDynamic, Reason: "absent", Err: ErrMissingData}
	case n == 0 || len(sdad) != 1+n:
		return failed(StepDynamic, "%d bytes, want %d", len(sdad), 1+n)
	case sdad[0] != formatXDA:
		return failed(StepDynamic, "format is %02X, want %02X", sdad[0], formatXDA)
	}
	if reason := icc.verify(data, sdad[1:]); reason != "" {
		return failed(StepDynamic, "%s", reason)
	}
	return nil
}

// dayOf reads YYYYMMDD, two digits a byte, UTC.
func dayOf(b []byte) (time.Time, bool) {
	t, err := time.Parse("20060102", fmt.Sprintf("%X", b))
	return t, err == nil
}

// minuteOf reads YYYYMMDDHHMM, two digits a byte, UTC.
func minuteOf(b []byte) (time.Time, bool) {
	t, err := time.Parse("200601021504", fmt.Sprintf("%X", b))
	return t, err == nil
}
