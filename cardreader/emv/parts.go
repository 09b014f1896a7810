package emv

import (
	"context"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TerminalData returns the data objects that a terminal has for a transaction
// before a card is there, by tag. Errors wrap ErrConfig.
func TerminalData(t Terminal, tr Transaction) (map[tlv.Tag][]byte, error) {
	s := &Session{k: &Kernel{c: Config{Terminal: t}}, t: tr, fromTerminal: map[tlv.Tag][]byte{}}
	if err := s.terminalData(); err != nil {
		return nil, err
	}
	return s.fromTerminal, nil
}

// FileEntry is an entry of the application file locator: Count records of a file
// from the First on, of which the first Signed are under data authentication.
type FileEntry struct {
	SFI, First    byte
	Count, Signed int
}

// ParseAFL reads an application file locator, checking all of it (Book 3, 10.2).
// Errors are *CardError.
func ParseAFL(afl []byte) ([]FileEntry, error) {
	files, err := locate(afl)
	if err != nil {
		return nil, err
	}
	out := make([]FileEntry, len(files))
	for i, f := range files {
		out[i] = FileEntry{SFI: f.sfi, First: f.first, Count: f.count, Signed: f.signed}
	}
	return out, nil
}

// ParseCryptogramResponse reads both formats of the answer to GENERATE AC (Book
// 3, 6.5.5.4). signed is the template's value without the signature, as a
// combined signature hashes it. Errors are *CardError.
func ParseCryptogramResponse(b []byte) (objects map[tlv.Tag][]byte, signed []byte, err error) {
	return cryptogramResponse(StepGenerate, b)
}

// ParseLanguages reads a language preference (5F2D): up to four codes of ISO 639-1.
func ParseLanguages(b []byte) []string { return languages(b) }

// ParseDate reads a date coded YYMMDD (Book 4, 6.7.3).
func ParseDate(b []byte) (time.Time, error) { return dateOf(b) }

// RunScripts sends an issuer's scripts, templates 71 before 72, and returns the
// issuer script results, five bytes a script (Book 4, A5). The error is one of
// the card; the results up to it stand.
func RunScripts(ctx context.Context, c cardreader.Card, scripts []byte, observe func(Event), now func() time.Time) ([]byte, error) {
	s := &Session{k: &Kernel{c: Config{Observe: observe, Now: now}}, card: c}
	before, after := s.scripts(scripts)
	err := s.runScripts(ctx, append(before, after...), tags.TVRScriptFailedBefore)
	return s.scriptResults, err
}

// SendStep transmits a command as a step of a transaction and tells observe how
// it went. Errors: *CardError for an answer that is no response APDU, else the
// card's.
func SendStep(ctx context.Context, c cardreader.Card, step Step, name string, cmd apdu.Command, observe func(Event), now func() time.Time) (apdu.Response, error) {
	s := &Session{k: &Kernel{c: Config{Observe: observe, Now: now}}, card: c}
	return s.send(ctx, step, name, cmd)
}

// NewOnlineRequest makes the request of a session that is not this package's.
// fields returns data objects as BER-TLV in the order asked for.
func NewOnlineRequest(fields interface{ Field55(...tlv.Tag) []byte }, pan secret.PAN, psn, expiry string, track2 secret.Track2, cvm tags.CVMResultsValue) OnlineRequest {
	return OnlineRequest{s: fields, PAN: pan, PSN: psn, Expiry: expiry, Track2: track2, CVM: CVMethod{results: cvm}}
}

// CVMethodOf returns the method that CVM Results name.
func CVMethodOf(v tags.CVMResultsValue) CVMethod { return CVMethod{results: v} }

// Describe reads how an application is to be shown and ranked, from the
// proprietary template of its FCI. Its AID is not in there.
func Describe(display tags.AdditionalCapabilitiesValue, fci []byte) Candidate {
	s := &Session{k: &Kernel{c: Config{Terminal: Terminal{Additional: display}}}}
	a5, _, err := tlv.Child(fci, tags.FCIProprietaryTemplate)
	if err != nil {
		return Candidate{}
	}
	return s.described(a5)
}

// standIn is a session for one of its steps: a terminal with one application, a
// transaction, a card's data.
func standIn(t Terminal, a Application, tr Transaction, tvr tags.TVRValue, card func(tlv.Tag) []byte) *Session {
	s := &Session{
		k: &Kernel{c: Config{Terminal: t, Observe: func(Event) {}}}, app: &a, t: tr, tvr: tvr, fromCard: map[tlv.Tag][]byte{},
	}
	for _, tag := range []tlv.Tag{tags.CardVersionNumber, tags.AUC, tags.EffectiveDate, tags.ExpirationDate, tags.IssuerCountryCode,
		tags.ApplicationCurrencyCode, tags.IACDenial, tags.IACOnline, tags.IACDefault} {
		if v := card(tag); v != nil {
			s.fromCard[tag] = v
		}
	}
	return s
}

// Restrictions checks a card's version, usage control and dates (Book 3, 10.4).
// It returns the TVR with what it found, and that in words.
func Restrictions(ctx context.Context, t Terminal, a Application, tr Transaction, tvr tags.TVRValue, card func(tlv.Tag) []byte) (tags.TVRValue, []string, error) {
	s := standIn(t, a, tr, tvr, card)
	err := s.restrictions(ctx)
	return s.tvr, s.reasons, err
}

// ActionAnalysis decides what to ask of the card: apdu.RefAAC, RefARQC or RefTC
// (Book 3, 10.7), and says why in words where it denies.
func ActionAnalysis(t Terminal, a Application, tvr tags.TVRValue, card func(tlv.Tag) []byte) (request byte, reasons []string) {
	s := standIn(t, a, Transaction{}, tvr, card)
	request = s.wish()
	return request, s.reasons
}

// RuleApplies judges the condition of a cardholder verification rule (Book 3,
// C3).
func RuleApplies(t Terminal, tr Transaction, rule tags.CVMRule, list tags.CVMListValue, card func(tlv.Tag) []byte) bool {
	s := &Session{k: &Kernel{c: Config{Terminal: t}}, t: tr}
	if v := card(tags.ApplicationCurrencyCode); rule.Condition >= tags.CVMIfCurrencyUnderX && v != nil {
		s.fromCard = map[tlv.Tag][]byte{tags.ApplicationCurrencyCode: v}
	}
	return s.applies(rule, list)
}

// SupportsCVM reports whether a terminal's capabilities have a cardholder
// verification method (Book 4, 6.3.4).
func SupportsCVM(c tags.CapabilitiesValue, m tags.CVM) bool {
	s := &Session{k: &Kernel{c: Config{Terminal: Terminal{Capabilities: c}}}}
	return s.supports(m)
}
