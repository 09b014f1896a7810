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

// ApprovesARC reports whether an authorisation response code approves.
func ApprovesARC(arc string) bool { return approves(arc) }

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
