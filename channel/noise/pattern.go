package noise

import (
	"fmt"
	"slices"
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

// isDH reports whether a token is a Diffie-Hellman operation.
func (t token) isDH() bool {
	return t == tokenEE || t == tokenES || t == tokenSE || t == tokenSS
}

// pattern is a handshake pattern: what is known beforehand, and the messages,
// the initiator's first.
type pattern struct {
	preInitiator, preResponder bool
	messages                   [][]token
}

// fundamental are the patterns of Noise, 7.4, 7.5 and 18.1: letters before "<"
// stand for pre-messages, i for the initiator's s and r for the responder's.
func fundamental(name string) string {
	switch name {
	case "N":
		return "r<e es"
	case "K":
		return "ir<e es ss"
	case "X":
		return "r<e es s ss"
	case "NN":
		return "<e|e ee"
	case "NK":
		return "r<e es|e ee"
	case "NX":
		return "<e|e ee s es"
	case "KN":
		return "i<e|e ee se"
	case "KK":
		return "ir<e es ss|e ee se"
	case "KX":
		return "i<e|e ee se s es"
	case "XN":
		return "<e|e ee|s se"
	case "XK":
		return "r<e es|e ee|s se"
	case "XX":
		return "<e|e ee s es|s se"
	case "IN":
		return "<e s|e ee se"
	case "IK":
		return "r<e es s ss|e ee se"
	case "IX":
		return "<e s|e ee se s es"
	}
	return deferred(name)
}

// deferred are the patterns of Noise, 7.5 and 18.1, which authenticate a
// message later than the fundamental ones.
func deferred(name string) string {
	switch name {
	case "NK1":
		return "r<e|e ee es"
	case "NX1":
		return "<e|e ee s|es"
	case "X1N":
		return "<e|e ee|s|se"
	case "X1K":
		return "r<e es|e ee|s|se"
	case "XK1":
		return "r<e|e ee es|s se"
	case "X1K1":
		return "r<e|e ee es|s|se"
	case "X1X":
		return "<e|e ee s es|s|se"
	case "XX1":
		return "<e|e ee s|es s se"
	case "X1X1":
		return "<e|e ee s|es s|se"
	case "K1N":
		return "i<e|e ee|se"
	case "K1K":
		return "ir<e es|e ee|se"
	case "KK1":
		return "ir<e|e ee se es"
	case "K1K1":
		return "ir<e|e ee es|se"
	case "K1X":
		return "i<e|e ee s es|se"
	case "KX1":
		return "i<e|e ee se s|es"
	case "K1X1":
		return "i<e|e ee s|se es"
	case "I1N":
		return "<e s|e ee|se"
	case "I1K":
		return "r<e es s|e ee|se"
	case "IK1":
		return "r<e s|e ee se es"
	case "I1K1":
		return "r<e s|e ee es|se"
	case "I1X":
		return "<e s|e ee s es|se"
	case "IX1":
		return "<e s|e ee se s|es"
	case "I1X1":
		return "<e s|e ee s|se es"
	}
	return ""
}

// protocol is a protocol name, understood.
type protocol struct {
	name    string
	pattern pattern
	suite   suite
}

// parseName reads a protocol name (Noise, 8), "Noise_XXpsk3_25519_AESGCM_SHA256".
// A KEM stands beside the DH after a plus sign, and goes with the modifier hfs.
func parseName(name string) (protocol, error) {
	parts := strings.Split(name, "_")
	if len(parts) != 5 || parts[0] != "Noise" {
		return protocol{}, fmt.Errorf("noise: protocol name %q", name)
	}
	dh, kem, hybrid := strings.Cut(parts[2], "+")
	s, err := newSuite(dh, parts[3], parts[4])
	if err != nil || hybrid && kem != "MLKEM768" {
		return protocol{}, fmt.Errorf("noise: suite of %q is not supported", name)
	}
	p, err := parsePattern(parts[1])
	if err != nil {
		return protocol{}, err
	}
	if hybrid != p.uses(tokenE1) {
		return protocol{}, fmt.Errorf("noise: %q: hfs and a KEM go together", name)
	}
	return protocol{name, p, s}, nil
}

func (p pattern) uses(t token) bool {
	return slices.ContainsFunc(p.messages, func(m []token) bool { return slices.Contains(m, t) })
}

// parsePattern reads a base pattern and its modifiers (Noise, 8.1): the first
// directly behind the pattern, the others after plus signs.
func parsePattern(name string) (pattern, error) {
	end := strings.IndexFunc(name, func(r rune) bool { return r >= 'a' && r <= 'z' })
	if end < 0 {
		end = len(name)
	}
	text := fundamental(name[:end])
	if text == "" {
		return pattern{}, fmt.Errorf("noise: pattern %q is not supported", name)
	}
	pre, messages, _ := strings.Cut(text, "<")
	p := pattern{preInitiator: strings.Contains(pre, "i"), preResponder: strings.Contains(pre, "r")}
	for m := range strings.SplitSeq(messages, "|") {
		var list []token
		for t := range strings.FieldsSeq(m) {
			list = append(list, token(t))
		}
		p.messages = append(p.messages, list)
	}
	if end == len(name) {
		return p, nil
	}
	seen := map[string]bool{}
	for m := range strings.SplitSeq(name[end:], "+") {
		if seen[m] || !p.modify(m) {
			return pattern{}, fmt.Errorf("noise: modifier %q of %q", m, name)
		}
		seen[m] = true
	}
	return p, nil
}

// modify applies a modifier; it reports whether there is such a one.
func (p *pattern) modify(m string) bool {
	if m == "hfs" {
		return p.hybrid()
	}
	digits, ok := strings.CutPrefix(m, "psk")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n > len(p.messages) || strconv.Itoa(n) != digits {
		return false
	}
	// psk0 stands at the start of the first message, pskN at the end of the
	// N-th (Noise, 9.4).
	if n == 0 {
		p.messages[0] = slices.Insert(p.messages[0], 0, tokenPSK)
	} else {
		p.messages[n-1] = append(p.messages[n-1], tokenPSK)
	}
	return true
}

// hybrid applies hfs: e1 follows the first e, or the DH operations that stand
// right behind it, and ekem1 follows the first ee.
func (p *pattern) hybrid() bool {
	if len(p.messages) < 2 {
		return false
	}
	at := slices.Index(p.messages[0], tokenE) + 1
	ee := slices.Index(p.messages[1], tokenEE) + 1
	if at == 0 || ee == 0 {
		return false
	}
	for at < len(p.messages[0]) && p.messages[0][at].isDH() {
		at++
	}
	p.messages[0] = slices.Insert(p.messages[0], at, tokenE1)
	p.messages[1] = slices.Insert(p.messages[1], ee, tokenEKEM1)
	return true
}
