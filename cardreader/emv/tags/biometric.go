package tags

import (
	"encoding/hex"
	"strings"

	"github.com/payunit/payunit/cardreader/tlv"
)

// Biometric templates, in which tags mean something else than elsewhere (EMV 4.4
// Book 3, Annex A).
const (
	biometricHeader       tlv.Tag = 0xA1
	biometricTryCounters  tlv.Tag = 0xBF4C
	biometricPreferred    tlv.Tag = 0xBF4D
	biometricVerification tlv.Tag = 0xBF4E
)

// inside returns what a tag is in a template that gives it a meaning of its own.
func inside(parent, t tlv.Tag) (Info, bool) {
	source, name, secrecy := FromCard, "", Public
	switch parent {
	case biometricHeader, biometricVerification:
		if parent == biometricVerification {
			source = FromTerminal
		}
		switch t {
		case 0x81:
			name = "Biometric Type"
		case 0x82:
			name = "Biometric Subtype"
		case 0x87:
			name = "Biometric Data Format Owner"
		case 0x88:
			name = "Biometric Data Format Type"
		case 0x90:
			name = "Biometric Solution ID"
		case 0xDF50:
			name, secrecy = "Enciphered Biometric Key Seed", Sensitive
		case 0xDF51:
			name, secrecy = "Enciphered Biometric Data", Sensitive
		case 0xDF52:
			name = "MAC of Enciphered Biometric Data"
		}
	case biometricTryCounters, biometricPreferred:
		if t >= 0xDF50 && t <= 0xDF54 {
			name = [...]string{"Facial", "Finger", "Iris", "Palm", "Voice"}[t-0xDF50]
			if parent == biometricTryCounters {
				name += " Try Counter"
			} else {
				name = "Preferred " + name + " Attempts"
			}
		}
	}
	if name == "" {
		return Info{}, false
	}
	return Info{Tag: t, Name: name, Format: tlv.FormatB, Source: source, Secrecy: secrecy, Book: annexA}, true
}

// explainInside is ExplainValue for an object in a template.
func explainInside(parent, t tlv.Tag, v []byte, reveal bool) Node {
	info, ok := inside(parent, t)
	if !ok {
		return ExplainValue(t, v, reveal)
	}
	n := Node{Tag: t.String(), Name: info.Name, Format: info.Format.String(), Source: info.Source.String(), Length: len(v)}
	if info.Secrecy != Public && !reveal {
		n.Value, n.Hidden = Mask(t, v), true
		return n
	}
	n.Value = strings.ToUpper(hex.EncodeToString(v))
	if t >= 0xDF50 && t <= 0xDF54 && len(v) == 1 && parent != biometricVerification {
		n.Meaning = []string{count(int(v[0]), "try", "tries")}
	}
	return n
}
