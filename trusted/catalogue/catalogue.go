// Package catalogue holds the words of a trusted user interface: each message of
// package trusted, and what a confirmation and a PIN entry say, in thirteen
// languages; how a language is chosen; and how each writes an amount. What comes
// from outside reaches a screen only as a parameter, cleaned.
package catalogue

import (
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/trusted"
)

// Errors that callers branch on.
var (
	// ErrLanguage: there is no such language in the catalogue.
	ErrLanguage = errors.New("catalogue: no such language")
	// ErrMessage: there are no words for a message. Nothing is ever shown by
	// its id.
	ErrMessage = errors.New("catalogue: no words for message")
)

// Default is the language of a terminal that names none.
const Default = "en"

// Messages of screens that wait for the cardholder. Parameters stand in braces
// in the words, and are named here where a message takes any.
const (
	Agree             trusted.Message = "agree"
	CashIncluded      trusted.Message = "cash-included" // Params: "amount"
	TipIncluded       trusted.Message = "tip-included"  // Params: "amount"
	ChooseApplication trusted.Message = "choose-application"
	EnterPIN          trusted.Message = "enter-pin"
	PINRetry          trusted.Message = "pin-retry"
	PINTriesLeft      trusted.Message = "pin-tries-left" // Params: "tries"
	PINLastTry        trusted.Message = "pin-last-try"
	PINLetters        trusted.Message = "pin-letters"
	PINDigits         trusted.Message = "pin-digits"
	CardNumber        trusted.Message = "card-number"
	CardExpiry        trusted.Message = "card-expiry"
	CardCode          trusted.Message = "card-code"
	WrongNumber       trusted.Message = "wrong-number"
	WrongExpiry       trusted.Message = "wrong-expiry"
	WrongCode         trusted.Message = "wrong-code"
	AddTip            trusted.Message = "add-tip" // Params: "amount"
	TipForms          trusted.Message = "tip-forms"
	WrongTip          trusted.Message = "wrong-tip"
	KeyYes            trusted.Message = "key-yes" // one letter
	KeyNo             trusted.Message = "key-no"  // one letter
	KeyOK             trusted.Message = "key-ok"
	KeyBack           trusted.Message = "key-back"
	KeyClear          trusted.Message = "key-clear"
	KeyCancel         trusted.Message = "key-cancel"
	KeySkip           trusted.Message = "key-skip"
	KeyAccessible     trusted.Message = "key-accessible"
)

// kind is the message of a kind of trade, which the server names.
func kind(k string) trusted.Message { return trusted.Message("kind-" + k) }

// words are the texts of one language, by message.
type words map[trusted.Message]string

// languages are in the order in which they are listed.
var languages = []struct {
	code  string
	words words
}{
	{"en", english}, {"de", german}, {"fr", french}, {"es", spanish}, {"it", italian}, {"pt", portuguese}, {"nl", dutch},
	{"pl", polish}, {"tr", turkish}, {"ar", arabic}, {"hi", hindi}, {"ja", japanese}, {"zh", chinese},
}

// Languages returns the codes of the languages (ISO 639-1).
func Languages() []string {
	out := make([]string, len(languages))
	for i, l := range languages {
		out[i] = l.code
	}
	return out
}

// Choose returns the language to speak: the first that the card prefers (tag
// 5F2D) and the catalogue has, else the terminal's, else Default (EMV 4.4 Book
// 4, 11.1). Codes are compared without regard to case.
func Choose(card []string, terminal string) string {
	for _, l := range append(append([]string(nil), card...), terminal) {
		if l = strings.ToLower(l); find(l) != nil {
			return l
		}
	}
	return Default
}

func find(language string) words {
	for _, l := range languages {
		if l.code == language {
			return l.words
		}
	}
	return nil
}

// Text returns the words of a message. Language empty means Default. Parameters
// are cleaned. Errors: ErrLanguage, ErrMessage.
func Text(n trusted.Notice) (string, error) {
	if n.Language == "" {
		n.Language = Default
	}
	w := find(n.Language)
	if w == nil {
		return "", fmt.Errorf("%w: %.8q", ErrLanguage, n.Language)
	}
	s, ok := w[n.Message]
	if !ok {
		return "", fmt.Errorf("%w: %.40q", ErrMessage, string(n.Message))
	}
	for _, p := range parameters(s) {
		s = strings.ReplaceAll(s, "{"+p+"}", Clean(n.Params[p]))
	}
	if reason := Clean(n.Params["reason"]); n.Message == trusted.MessageDeclined && reason != "" {
		s += ": " + reason
	}
	return s, nil
}

// Kind returns the word for a kind of trade, "sale" for one. Errors:
// ErrLanguage, ErrMessage.
func Kind(k, language string) (string, error) {
	return Text(trusted.Notice{Message: kind(k), Language: language})
}

// parameters are the names in braces in a text.
func parameters(s string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(s, "{")
		if !ok {
			return out
		}
		name, after, _ := strings.Cut(rest, "}")
		out, s = append(out, name), after
	}
}
