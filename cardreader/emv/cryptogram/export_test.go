package cryptogram

import "github.com/payunit/payunit/cardreader/secret"

// Inner steps that published answers name.
var (
	Decimalise = decimalise
	PINBlock   = pinBlock
)

// ScriptKey is scriptKey without the rules.
func (s Scheme) ScriptKey(card secret.Bytes, c Script) (secret.Bytes, error) {
	k, _, err := s.scriptKey(card, c)
	return k, err
}

// Pad is what MAC does to its data.
func (p Padding) Pad(b []byte) []byte { return p.append(b) }
