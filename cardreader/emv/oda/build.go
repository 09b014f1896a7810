package oda

import (
	"bytes"
	"crypto/sha1" // hash algorithm 01 of Book 2, B3.1
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// ErrBuild: fields don't fit the block that they are to be signed in.
var ErrBuild = errors.New("oda: can't be signed")

// What follows builds the blocks that the functions above take apart, as long as
// the signer's modulus, 6A to BC. The signer raises a block to its private
// exponent; nothing here has a private key.

// IssuerCertificate is the content of tag 90.
type IssuerCertificate struct {
	// Identifier is the first 3 to 8 digits of the PANs, in ASCII.
	Identifier string
	Expiry     [2]byte // MMYY, two digits a byte
	Serial     [3]byte
	Key        PublicKey
}

// BuildIssuerCertificate lays out a certificate for a CA key of signer bytes, and
// returns the remainder of the issuer's key, tag 92, which is empty when the key
// fits. Errors wrap ErrBuild.
func BuildIssuerCertificate(c IssuerCertificate, signer int) (block, remainder []byte, err error) {
	if len(c.Identifier) < 3 || len(c.Identifier) > 8 {
		return nil, nil, fmt.Errorf("%w: issuer identifier of %d digits", ErrBuild, len(c.Identifier))
	}
	return buildCertificate(formatIssuer, 4, []byte(c.Identifier), c.Expiry, c.Serial, c.Key, signer, nil)
}

// ICCCertificate is the content of tag 9F46 or 9F2D.
type ICCCertificate struct {
	PAN    secret.PAN
	Expiry [2]byte // MMYY, two digits a byte
	Serial [3]byte
	Key    PublicKey
}

// BuildICCCertificate lays out a certificate for an issuer key of signer bytes,
// over static data as well, and returns the remainder, tag 9F48. Errors wrap
// ErrBuild.
func BuildICCCertificate(c ICCCertificate, signer int, static []byte) (block, remainder []byte, err error) {
	return buildCertificate(formatICC, 10, c.PAN.Reveal(), c.Expiry, c.Serial, c.Key, signer, static)
}

// BuildPINCertificate is BuildICCCertificate for the PIN encipherment key, tags
// 9F2D and 9F2F: it covers no static data.
func BuildPINCertificate(c ICCCertificate, signer int) (block, remainder []byte, err error) {
	return BuildICCCertificate(c, signer, nil)
}

func buildCertificate(format byte, identity int, digits []byte, expiry [2]byte, serial [3]byte, k PublicKey, signer int, more []byte) (block, remainder []byte, err error) {
	room := signer - (2 + identity + 9 + hashLen + 1)
	if room < 0 || k.Len() == 0 || k.Len() > signer || k.Len() > 255 || len(k.Exponent) < 1 || len(k.Exponent) > 3 {
		return nil, nil, fmt.Errorf("%w: key of %d bytes with an exponent of %d under one of %d", ErrBuild, k.Len(), len(k.Exponent), signer)
	}
	id, err := packDigits(digits, identity)
	if err != nil {
		return nil, nil, err
	}
	body := append([]byte{format}, id...)
	body = append(append(body, expiry[:]...), serial[:]...)
	body = append(body, hashSHA1, keyRSA, byte(k.Len()), byte(len(k.Exponent)))
	fits := min(room, k.Len())
	body = append(body, k.Modulus[:fits]...)
	body = append(body, bytes.Repeat([]byte{padding}, room-fits)...)
	remainder = append([]byte(nil), k.Modulus[fits:]...)
	block, err = closeBlock(body, signer, remainder, k.Exponent, more)
	return block, remainder, err
}

// packDigits packs ASCII digits two a byte, F on the right.
func packDigits(digits []byte, n int) ([]byte, error) {
	if len(digits) == 0 || len(digits) > 2*n {
		return nil, fmt.Errorf("%w: %d digits in %d bytes", ErrBuild, len(digits), n)
	}
	out := bytes.Repeat([]byte{0xFF}, n)
	for i, c := range digits {
		if c < '0' || c > '9' {
			return nil, fmt.Errorf("%w: position %d is no digit", ErrBuild, i)
		}
		shift := 4 * (1 - i%2)
		out[i/2] = out[i/2]&^(0x0F<<shift) | (c-'0')<<shift
	}
	return out, nil
}

// BuildSDA lays out signed static application data, tag 93, for an issuer key of
// signer bytes. Errors wrap ErrBuild.
func BuildSDA(dac [2]byte, static []byte, signer int) ([]byte, error) {
	body := append([]byte{formatSDA, hashSHA1}, dac[:]...)
	return closePadded(body, signer, static)
}

// BuildDDA lays out signed dynamic application data, tag 9F4B, for a card key of
// signer bytes: number is the ICC dynamic number, 2 to 8 bytes, and data what
// INTERNAL AUTHENTICATE carried. Errors wrap ErrBuild.
func BuildDDA(number, data []byte, signer int) ([]byte, error) {
	return buildDynamic(number, nil, data, signer)
}

// BuildCDA lays out a combined signature: transaction is what TransactionData
// gave. Errors wrap ErrBuild.
func BuildCDA(number []byte, cid byte, ac [8]byte, transaction []byte, unpredictable []byte, signer int) ([]byte, error) {
	hash := sha1.Sum(transaction)
	rest := append(append([]byte{cid}, ac[:]...), hash[:]...)
	return buildDynamic(number, rest, unpredictable, signer)
}

func buildDynamic(number, rest, data []byte, signer int) ([]byte, error) {
	if len(number) < 2 || len(number) > 8 {
		return nil, fmt.Errorf("%w: ICC dynamic number of %d bytes", ErrBuild, len(number))
	}
	body := []byte{formatDynamic, hashSHA1, byte(1 + len(number) + len(rest)), byte(len(number))}
	return closePadded(append(append(body, number...), rest...), signer, data)
}

// closePadded fills a body up with BB and closes it.
func closePadded(body []byte, signer int, hashed ...[]byte) ([]byte, error) {
	room := signer - 2 - hashLen - len(body)
	if room < 0 {
		return nil, fmt.Errorf("%w: %d bytes in a key of %d", ErrBuild, len(body), signer)
	}
	return closeBlock(append(body, bytes.Repeat([]byte{padding}, room)...), signer, hashed...)
}

// closeBlock puts header, hash and trailer around a body (Book 2, A2.1).
func closeBlock(body []byte, signer int, hashed ...[]byte) ([]byte, error) {
	if len(body) != signer-2-hashLen {
		return nil, fmt.Errorf("%w: %d bytes in a key of %d", ErrBuild, len(body), signer)
	}
	h := sha1.New()
	h.Write(body)
	for _, b := range hashed {
		h.Write(b)
	}
	out := append(append(make([]byte, 0, signer), header), body...)
	return append(h.Sum(out), trailer), nil
}
