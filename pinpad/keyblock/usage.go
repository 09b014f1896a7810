package keyblock

import (
	"fmt"
	"strings"
)

// Operation is what a key is asked to do.
type Operation uint8

// The operations. The zero value is none, which no key may do.
const (
	EncryptPIN Operation = iota + 1
	DecryptPIN
	GenerateMAC
	VerifyMAC
	EncryptData
	DecryptData
	WrapKey
	UnwrapKey
	// DeriveInitialKey makes initial DUKPT keys of a base derivation key.
	DeriveInitialKey
	// LoadInitialKey makes the keys of a DUKPT device of its initial key.
	LoadInitialKey
	// DeriveCardKey makes a card's keys of an EMV master key.
	DeriveCardKey
	// GeneratePINReference and VerifyPINReference are for PVVs and offsets.
	GeneratePINReference
	VerifyPINReference
	// GenerateCVV and VerifyCVV are for card verification values.
	GenerateCVV
	VerifyCVV
	Sign
	VerifySignature

	operations
)

var operationNames = [operations]string{
	"nothing", "encrypt PIN", "decrypt PIN", "generate MAC", "verify MAC", "encrypt data", "decrypt data", "wrap key", "unwrap key", "derive initial key",
	"load initial key", "derive card key", "generate PIN reference", "verify PIN reference", "generate CVV", "verify CVV", "sign", "verify signature",
}

// String returns the operation's name.
func (o Operation) String() string {
	if o >= operations {
		o = 0
	}
	return operationNames[o]
}

// rule is what keys of a usage may be: their algorithms, and for each mode of use
// what it lets them do (X9.143, tables 2, 3 and 4). Mode N stands for all of it.
type rule struct {
	algorithms string
	modes      map[byte][]Operation
}

func (r rule) all() []Operation {
	var all []Operation
	for _, ops := range r.modes {
		all = append(all, ops...)
	}
	return all
}

// pair is the rule of keys that make something and undo or check it.
func pair(algorithms string, makes, checks byte, both byte, do, undo Operation) rule {
	return rule{algorithms, map[byte][]Operation{makes: {do}, checks: {undo}, both: {do, undo}}}
}

func derives(algorithms string, o Operation) rule {
	return rule{algorithms, map[byte][]Operation{'X': {o}}}
}

// ruleOf returns the rule of a usage. Usages that this package has no operation
// for have a rule without modes: their keys are carried and do nothing.
func ruleOf(usage string) (rule, bool) {
	switch usage {
	case "B0":
		return derives("TA", DeriveInitialKey), true
	case "B1":
		return derives("TA", LoadInitialKey), true
	case "C0":
		return pair("DTA", 'G', 'V', 'C', GenerateCVV, VerifyCVV), true
	case "D0":
		return pair("DTA", 'E', 'D', 'B', EncryptData, DecryptData), true
	case "E0", "E1", "E2", "E3", "E4", "E5", "E6":
		return derives("TA", DeriveCardKey), true
	case "K0", "K1", "K4":
		return pair("TA", 'E', 'D', 'B', WrapKey, UnwrapKey), true
	case "M0", "M1", "M3":
		return pair("DT", 'G', 'V', 'C', GenerateMAC, VerifyMAC), true
	case "M6":
		return pair("TA", 'G', 'V', 'C', GenerateMAC, VerifyMAC), true
	case "M7":
		return pair("H", 'G', 'V', 'C', GenerateMAC, VerifyMAC), true
	case "P0":
		return pair("TA", 'E', 'D', 'B', EncryptPIN, DecryptPIN), true
	case "S0":
		return rule{"RES", map[byte][]Operation{'S': {Sign}, 'V': {VerifySignature}, 'T': {Sign}}}, true
	case "V0", "V1", "V2":
		return pair("DTA", 'G', 'V', 'C', GeneratePINReference, VerifyPINReference), true
	case "B2", "B3", "D1", "D2", "D3", "E7", "I0", "K2", "K3", "M2", "M4", "M5", "M8", "P1", "S1", "S2", "V3", "V4", "V5":
		return rule{algorithms: "ADEHRST"}, true
	}
	return rule{}, false
}

// Allows returns nil when the header lets its key do something, else an error
// that wraps ErrUsage and says what the key is for.
func (h Header) Allows(o Operation) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: to %s, a key of usage %s, algorithm %c, mode %c: %s", ErrUsage, o, h.Usage, h.Algorithm, h.Mode, why)
	}
	r, ok := ruleOf(h.Usage)
	if !ok {
		return refuse("the usage is not known")
	}
	if strings.IndexByte(r.algorithms, h.Algorithm) < 0 {
		return refuse("the usage has no such algorithm")
	}
	ops := r.modes[h.Mode]
	if h.Mode == 'N' {
		ops = r.all()
	}
	for _, allowed := range ops {
		if o == allowed && o != 0 {
			return nil
		}
	}
	return refuse("usage and mode do not allow it")
}

// Coherent returns nil when usage, algorithm and mode go together, else an error
// that wraps ErrUsage. Blocks that are not coherent are read, because published
// ones exist, but their keys do nothing.
func (h Header) Coherent() error {
	r, ok := ruleOf(h.Usage)
	if h.Usage != "" && h.Usage[0] >= '0' && h.Usage[0] <= '9' {
		return nil // proprietary
	}
	_, mode := r.modes[h.Mode]
	if !ok || strings.IndexByte(r.algorithms, h.Algorithm) < 0 || len(r.modes) > 0 && !mode && h.Mode != 'N' {
		return fmt.Errorf("%w: usage %s, algorithm %c and mode %c do not go together", ErrUsage, h.Usage, h.Algorithm, h.Mode)
	}
	return nil
}
