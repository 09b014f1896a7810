package noise

import (
	"fmt"
	"strconv"
	"strings"
)

// token is one token of a message pattern (Noise, 7.1; e1 and ekem1 of the
// hybrid forward secrecy extension).
type token string

const (
	tokenE     token = "e"
	tokenS     token = "s"
	tokenEE    token = "ee"
	tokenES    token = "es"
	tokenSE    token = "se"
	tokenSS    token = "ss"
	tokenPSK   token = "psk"
	tokenE1    token = "e1"
	tokenEKEM1 token = "ekem1"
)

// pattern is a handshake pattern: what is known beforehand, and the messages,
// the initiator's first.
type pattern struct {
	preInitiator, preResponder bool
	messages                   [][]token
}

// fundamental are the patterns of Noise, 7.4, 7.5 and 18.1. "<" before the
// first message lists pre-messages: i for the initiator's s, r for the
// responder's.
func fundamental(name string) (string, bool) {
	table := map[string]string{
		"N": "r<e es", "K": "ir<e es ss", "X": "r<e es s ss",
		"NN": "<e|e ee", "KN": "i<e|e ee se", "NK": "r<e es|e ee", "KK": "ir<e es ss|e ee se",
		"NX": "<e|e ee s es", "KX": "i<e|e ee se s es", "XN": "<e|e ee|s se", "IN": "<e s|e ee se",
		"XK": "r<e es|e ee|s se", "IK": "r<e es s ss|e ee se", "XX": "<e|e ee s es|s se", "IX": "<e s|e ee se s es",
		"NK1": "r<e|e ee es", "NX1": "<e|e ee s|es", "X1N": "<e|e ee|s|se", "X1K": "r<e es|e ee|s|se",
		"XK1": "r<e|e ee es|s se", "X1K1": "r<e|e ee es|s|se", "X1X": "<e|e ee s es|s|se", "XX1": "<e|e ee s|es s se",
		"X1X1": "<e|e ee s|es s|se", "K1N": "i<e|e ee|se", "K1K": "ir<e es|e ee|se", "KK1": "ir<e|e ee se es",
		"K1K1": "ir<e|e ee es|se", "K1X": "i<e|e ee s es|se", "KX1": "i<e|e ee se s|es", "K1X1": "i<e|e ee s|se es",
		"I1N": "<e s|e ee|se", "I1K": "r<e es s|e ee|se", "IK1": "r<e s|e ee se es", "I1K1": "r<e s|e ee es|se",
		"I1X": "<e s|e ee s es|se", "IX1": "<e s|e ee se s|es", "I1X1": "<e s|e ee s|se es",
		// Hybrid forward secrecy.
		"XXhfs": "<e e1|e ee ekem1 s es|s se", "XKhfs": "r<e es e1|e ee ekem1|s se",
	}
	s, ok := table[name]
	return s, ok
}

// parseName reads a protocol name (Noise, 8): "Noise_XXpsk3_25519_AESGCM_SHA256".
func parseName(name string) (pattern, suite, error) {
	parts := strings.Split(name, "_")
	if len(parts) != 5 || parts[0] != "Noise" {
		return pattern{}, suite{}, fmt.Errorf("noise: protocol name %q", name)
	}
	s := suite{parts[3], parts[4]}
	hybrid := parts[2] == "25519+MLKEM768"
	if !s.valid() || parts[2] != "25519" && !hybrid {
		return pattern{}, suite{}, fmt.Errorf("noise: suite of %q is not supported", name)
	}
	p, err := parsePattern(parts[1])
	if err != nil {
		return pattern{}, suite{}, err
	}
	if hybrid != p.uses(tokenE1) {
		return pattern{}, suite{}, fmt.Errorf("noise: %q: hfs and the KEM go together", name)
	}
	return p, s, nil
}

func (p pattern) uses(t token) bool {
	for _, m := range p.messages {
		for _, x := range m {
			if x == t {
				return true
			}
		}
	}
	return false
}

func parsePattern(name string) (pattern, error) {
	base, mods, _ := strings.Cut(name, "psk")
	text, ok := fundamental(base)
	if !ok {
		return pattern{}, fmt.Errorf("noise: pattern %q is not supported", name)
	}
	pre, messages, _ := strings.Cut(text, "<")
	p := pattern{preInitiator: strings.Contains(pre, "i"), preResponder: strings.Contains(pre, "r")}
	for m := range strings.SplitSeq(messages, "|") {
		var list []token
		for _, t := range strings.Fields(m) {
			list = append(list, token(t))
		}
		p.messages = append(p.messages, list)
	}
	if base == name {
		return p, nil
	}
	for m := range strings.SplitSeq("psk"+mods, "+") {
		n, err := strconv.Atoi(strings.TrimPrefix(m, "psk"))
		if err != nil || !strings.HasPrefix(m, "psk") || n < 0 || n > len(p.messages) {
			return pattern{}, fmt.Errorf("noise: modifier %q of %q", m, name)
		}
		// psk0 stands at the start of the first message, pskN at the end of
		// the N-th (Noise, 9.4).
		if n == 0 {
			p.messages[0] = append([]token{tokenPSK}, p.messages[0]...)
		} else {
			p.messages[n-1] = append(p.messages[n-1], tokenPSK)
		}
	}
	return p, nil
}
