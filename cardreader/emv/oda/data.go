package oda

import (
	"crypto/sha1" // hash algorithm 01 of Book 2, B3.1
	"crypto/subtle"
)

// VerifySDA checks the signed static application data, tag 93 (Book 2, 5.4),
// and returns the data authentication code, tag 9F45. Errors are *Failure.
func VerifySDA(issuer PublicKey, ssad, staticData []byte) (dac [2]byte, err error) {
	b, err := recoverBlock(StepStatic, issuer, ssad, formatSDA)
	if err != nil {
		return dac, err
	}
	if err := checkHash(StepStatic, b, b[2], staticData); err != nil {
		return dac, err
	}
	return [2]byte(b[3:5]), nil
}

// VerifyDDA checks the signed dynamic application data, tag 9F4B, that answers
// INTERNAL AUTHENTICATE (Book 2, 6.5.2). data is the concatenated data that the
// command carried. It returns the ICC dynamic number, tag 9F4C. Errors are
// *Failure.
func VerifyDDA(icc PublicKey, sdad, data []byte) (number []byte, err error) {
	dynamic, err := dynamicData(icc, sdad, data)
	if err != nil {
		return nil, err
	}
	number, _, err = dynamicNumber(dynamic)
	return number, err
}

// Combined is what a combined signature holds.
type Combined struct {
	// Number is the ICC dynamic number, 2 to 8 bytes.
	Number []byte
	// CID and Cryptogram are the values that count: those outside the
	// signature are only claims.
	CID        byte
	Cryptogram [8]byte
	// Hash is the transaction data hash code.
	Hash [20]byte
	// More is what a contactless card signs beside (EMV Contactless Book C-2,
	// 6.4): the relay resistance data. It is empty by contact.
	More []byte
}

// VerifyCDA checks the combined signature, tag 9F4B, of a GENERATE AC response
// (Book 2, 6.6.2). unpredictable is tag 9F37; transaction is what
// TransactionData gave. Errors are *Failure.
func VerifyCDA(icc PublicKey, sdad, unpredictable, transaction []byte) (Combined, error) {
	dynamic, err := dynamicData(icc, sdad, unpredictable)
	if err != nil {
		return Combined{}, err
	}
	number, rest, err := dynamicNumber(dynamic)
	if err != nil {
		return Combined{}, err
	}
	if len(rest) < 1+8+hashLen {
		return Combined{}, failed(StepDynamic, "dynamic data is cut off after %d bytes", len(dynamic))
	}
	c := Combined{Number: number, CID: rest[0], Cryptogram: [8]byte(rest[1:9]), Hash: [20]byte(rest[9:29])}
	if len(rest) > 1+8+hashLen {
		c.More = rest[1+8+hashLen:]
	}
	want := sha1.Sum(transaction)
	if subtle.ConstantTimeCompare(c.Hash[:], want[:]) != 1 {
		return Combined{}, failed(StepDynamic, "transaction data hash does not match")
	}
	return c, nil
}

// TransactionData concatenates what the hash of a combined signature covers
// (Book 2, 6.6.1): the data of the PDOL, of CDOL1 and, at the second GENERATE
// AC, of CDOL2, then the response's objects but for 9F4B, as they came.
func TransactionData(pdol, cdol1, cdol2, response []byte) []byte {
	out := make([]byte, 0, len(pdol)+len(cdol1)+len(cdol2)+len(response))
	out = append(out, pdol...)
	out = append(out, cdol1...)
	out = append(out, cdol2...)
	return append(out, response...)
}

// dynamicData recovers and checks a dynamic signature and returns the ICC
// dynamic data in it.
func dynamicData(icc PublicKey, sdad, data []byte) ([]byte, error) {
	b, err := recoverBlock(StepDynamic, icc, sdad, formatDynamic)
	if err != nil {
		return nil, err
	}
	if err := checkHash(StepDynamic, b, b[2], data); err != nil {
		return nil, err
	}
	n := int(b[3])
	if 4+n+hashLen+1 > len(b) {
		return nil, failed(StepDynamic, "dynamic data of %d bytes does not fit", n)
	}
	return b[4 : 4+n], nil
}

func dynamicNumber(dynamic []byte) (number, rest []byte, err error) {
	if len(dynamic) == 0 {
		return nil, nil, failed(StepDynamic, "no dynamic data")
	}
	n := int(dynamic[0])
	if n < 2 || n > 8 || len(dynamic) < 1+n {
		return nil, nil, failed(StepDynamic, "ICC dynamic number of %d bytes", n)
	}
	return dynamic[1 : 1+n], dynamic[1+n:], nil
}

// checkHash checks the hash of a data signature: everything between header and
// hash, then more.
func checkHash(step string, b []byte, alg byte, more []byte) error {
	if alg != hashSHA1 {
		return failed(step, "hash algorithm %02X is not supported", alg)
	}
	end := len(b) - 1 - hashLen
	h := sha1.New()
	h.Write(b[1:end])
	h.Write(more)
	if subtle.ConstantTimeCompare(h.Sum(nil), b[end:end+hashLen]) != 1 {
		return failed(step, "hash does not match")
	}
	return nil
}
