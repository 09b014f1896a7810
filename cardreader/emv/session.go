package emv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Decision is where a transaction stands.
type Decision uint8

// The decisions. The zero value declines.
const (
	Declined Decision = iota
	Approved
	Online
)

// String returns the decision in words.
func (d Decision) String() string {
	switch d {
	case Approved:
		return "approved"
	case Online:
		return "online"
	}
	return "declined"
}

// Session is one transaction after its first GENERATE AC. Its methods are
// called from one goroutine at a time.
type Session struct {
	k    *Kernel
	card cardreader.Card
	t    Transaction

	app  *Application
	cand Candidate
	aip  tags.AIPValue
	afl  []byte
	// fromCard and fromTerminal hold values by tag; a tag is in one of them
	// by the dictionary's source.
	fromCard     map[tlv.Tag][]byte
	fromTerminal map[tlv.Tag][]byte
	tvr          tags.TVRValue
	tsi          tags.TSIValue
	cvm          tags.CVMResultsValue
	pan          secret.PAN
	track2       secret.Track2

	// records are those that the AFL puts under data authentication.
	records   []oda.Record
	oda       ODA
	issuerKey *oda.Issuer
	iccKey    *oda.PublicKey
	cdaWanted bool
	xda       xda
	// refused is set once the card let an application in common not be used.
	refused bool
	// bypassed is set once the cardholder passed a PIN entry over.
	bypassed bool

	pdol, cdol1, cdol2 []byte
	request            byte
	cryptogram         tags.Cryptogram
	cid                tags.CIDValue
	decision           Decision
	completed          bool
	scriptResults      []byte
	reasons            []string
}

func (k *Kernel) session(c cardreader.Card, t Transaction) (*Session, error) {
	if t.Time.IsZero() {
		t.Time = k.c.Now()
	}
	s := &Session{k: k, card: c, t: t, fromTerminal: map[tlv.Tag][]byte{}}
	if err := s.terminalData(); err != nil {
		return nil, err
	}
	return s, nil
}

// restart forgets what an earlier application left.
func (s *Session) restart() error {
	s.wipe()
	s.oda, s.issuerKey, s.iccKey, s.cdaWanted, s.bypassed = ODA{}, nil, nil, false, false
	s.xda = xda{}
	s.fromCard = map[tlv.Tag][]byte{}
	s.reasons = nil
	delete(s.fromTerminal, tags.TerminalCAPublicKeyIndex)
	s.tvr, s.tsi, s.cvm = tags.TVRValue{}, tags.TSIValue{}, tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, 0}
	un := make([]byte, 4)
	if _, err := io.ReadFull(s.k.c.Rand, un); err != nil {
		return fmt.Errorf("emv: unpredictable number: %w", err)
	}
	s.fromTerminal[tags.UnpredictableNumber] = un
	return nil
}

// Close wipes the card's data. The Outcome stays, but for the cryptogram.
func (s *Session) Close() {
	s.wipe()
	s.completed = true
}

func (s *Session) wipe() {
	for _, v := range s.fromCard {
		clear(v)
	}
	for _, r := range s.records {
		clear(r.Data)
	}
	clear(s.pdol)
	clear(s.cdol1)
	clear(s.cdol2)
	s.pan.Wipe()
	s.track2.Wipe()
	s.pan, s.track2 = secret.PAN{}, secret.Track2{}
	s.fromCard, s.records, s.pdol, s.cdol1, s.cdol2 = nil, nil, nil, nil, nil
}

// Decision returns where the transaction stands.
func (s *Session) Decision() Decision { return s.decision }

// send transmits a command of a step and tells how long it took.
func (s *Session) send(ctx context.Context, step Step, name string, c apdu.Command) (apdu.Response, error) {
	began := s.k.c.Now()
	r, err := apdu.Send(ctx, s.card, c)
	switch {
	case errors.Is(err, apdu.ErrMalformed):
		return apdu.Response{}, &CardError{Step: step, Reason: name + ": no response APDU", Err: err}
	case err != nil:
		return apdu.Response{}, fmt.Errorf("emv: %s: %s: %w", step, name, err)
	}
	s.k.c.Observe(Event{Step: step, Text: name + ": " + r.SW.Meaning(), Took: s.k.c.Now().Sub(began)})
	return r, nil
}

func (s *Session) tell(step Step, format string, a ...any) {
	s.k.c.Observe(Event{Step: step, Text: fmt.Sprintf(format, a...)})
}

// because keeps a reason for the outcome and tells it.
func (s *Session) because(step Step, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	s.reasons = append(s.reasons, text)
	s.k.c.Observe(Event{Step: step, Text: text})
}

// get returns a card's value, nil when it is absent.
func (s *Session) get(t tlv.Tag) []byte { return s.fromCard[t] }

// date returns the transaction's date without its time.
func (s *Session) date() time.Time {
	y, m, d := s.t.Time.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Languages are what the cardholder prefers (5F2D), ISO 639-1, best first.
func (s *Session) Languages() []string { return append([]string(nil), s.cand.Languages...) }
