package noise

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
)

// ErrActivation: a text is no activation code, or was mistyped.
var ErrActivation = errors.New("noise: not an activation code")

const (
	activationIDLen     = 5
	activationSecretLen = 16
	activationSumLen    = 4
	activationLen       = activationIDLen + activationSecretLen + activationSumLen
	activationGroup     = 5
)

// Activation is the secret under which a device enrols once: an id of 40 bits
// that the server finds it by, and 128 random bits.
//
// Its text is 40 characters of base32 (RFC 4648) in groups of five: id (5
// bytes), secret (16 bytes), and the first 4 bytes of SHA-256 over both against
// mistyping.
type Activation struct {
	// ID is the base32 of the id, 8 characters. It is no secret.
	ID     string
	secret secret.Bytes
}

// NewActivation makes an activation.
func NewActivation(random io.Reader) (Activation, error) {
	b := make([]byte, activationIDLen+activationSecretLen)
	if _, err := io.ReadFull(random, b); err != nil {
		return Activation{}, fmt.Errorf("noise: randomness: %w", err)
	}
	return activation(b), nil
}

func activation(b []byte) Activation {
	return Activation{
		ID:     base32.StdEncoding.EncodeToString(b[:activationIDLen]),
		secret: secret.CopyBytes(b[activationIDLen : activationIDLen+activationSecretLen]),
	}
}

// ParseActivation reads an activation code; spaces and dashes between characters
// and lower case do not matter. Errors wrap ErrActivation.
func ParseActivation(code string) (Activation, error) {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(code)))
	b, err := base32.StdEncoding.DecodeString(code)
	if err != nil || len(b) != activationLen {
		return Activation{}, fmt.Errorf("%w: want 40 characters of A-Z and 2-7", ErrActivation)
	}
	defer clear(b)
	body := b[:activationLen-activationSumLen]
	sum := sha256.Sum256(body)
	if subtle.ConstantTimeCompare(sum[:activationSumLen], b[len(body):]) != 1 {
		return Activation{}, fmt.Errorf("%w: a character is mistyped", ErrActivation)
	}
	return activation(body), nil
}

// Code returns the text to hand to whoever installs the device. It is the
// secret itself.
func (a Activation) Code() (string, error) {
	id, err := base32.StdEncoding.DecodeString(a.ID)
	if err != nil || len(id) != activationIDLen || a.secret.Len() != activationSecretLen {
		return "", fmt.Errorf("%w: it is empty", ErrActivation)
	}
	body := append(id, a.secret.Reveal()...)
	sum := sha256.Sum256(body)
	text := base32.StdEncoding.EncodeToString(append(body, sum[:activationSumLen]...))
	var groups []string
	for i := 0; i < len(text); i += activationGroup {
		groups = append(groups, text[i:i+activationGroup])
	}
	return strings.Join(groups, "-"), nil
}

// PSK derives the 32-byte pre-shared key: HKDF-SHA256 (RFC 5869) of the secret,
// bound to the id. A server may store it in the secret's place.
func (a Activation) PSK() (secret.Bytes, error) {
	if a.secret.Len() != activationSecretLen || a.secret.Blank() {
		return secret.Bytes{}, fmt.Errorf("%w: it is empty, or was wiped", ErrActivation)
	}
	k, err := hkdf.Key(sha256.New, a.secret.Reveal(), nil, "payunit activation 1|"+a.ID, keyLen)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("noise: activation: %w", err)
	}
	return secret.NewBytes(k), nil
}

// Wipe zeroes the secret.
func (a Activation) Wipe() { a.secret.Wipe() }
