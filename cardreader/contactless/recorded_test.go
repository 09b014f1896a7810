package contactless_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
)

// TestRecordedCards taps the recorded contactless cards. They were recorded with
// another reader, so that what they answer does not fit in all: each has to come
// to an outcome, in few commands, and nothing is approved.
func TestRecordedCards(t *testing.T) {
	var list []struct {
		ID, Interface string
		Steps         []struct{ Cmd, Resp string }
	}
	if !vectors(t, "emv/transcripts.json", &list) {
		return
	}
	// The outcomes with the terminal of a shop that takes the domestic scheme too.
	want := map[string]string{
		"bertlv-contactless-msd": "End Application: emv: initiate application processing: tag 82: the card has no EMV mode, and magnetic stripe mode is not taken",
		"devnied-GeldKartePpse":  "End Application: card and reader have no application in common that can be used",
		"devnied-LockedCard":     "End Application: card and reader have no application in common that can be used",
		"devnied-MasterCardPpse": "End Application: emv: read application data: tag 70: READ RECORD 1 of file 2: not one record template",
		"devnied-VisaCardPpse":   "Declined: the card declined",
	}
	for _, x := range list {
		if _, ok := want[x.ID]; !ok {
			continue
		}
		t.Run(x.ID, func(t *testing.T) {
			p := shop(t, 1000, full)
			visa, err := c3.New(c3.Config{CAKeys: taptest.Keys(t)})
			if err != nil {
				t.Fatal(err)
			}
			mastercard, err := c2.New(c2.Config{CAKeys: taptest.Keys(t), TransactionLimit: taptest.Limit(10000), FloorLimit: taptest.Limit(0), CVMLimit: taptest.Limit(5000)})
			if err != nil {
				t.Fatal(err)
			}
			p.Combinations[0].Run, p.Combinations[1].Run = visa, mastercard
			cb := p.Combinations[0]
			cb.AID = unhex(t, "A0000000421010")
			p.Combinations = append(p.Combinations, cb)
			rec := &card{answer: func(command []byte) ([]byte, error) {
				// The same command; another reader's options; anything.
				for _, same := range []func(c []byte) bool{
					func(c []byte) bool { return bytes.Equal(c, command) },
					func(c []byte) bool { return len(c) > 1 && c[1] == command[1] && c[1] == apdu.INSGetProcessingOptions },
					func(c []byte) bool { return len(c) == 0 },
				} {
					for _, s := range x.Steps {
						if same(unhex(t, s.Cmd)) {
							// The masked track 2 is none: as much of it as a card has.
							return unhex(t, strings.ReplaceAll(s.Resp, "D15092FFFFFFFFFFFFFF", "D1509201000000000000")), nil
						}
					}
				}
				if x.ID == "bertlv-contactless-msd" && bytes.Contains(command, []byte("2PAY.SYS")) {
					// The recording begins after the directory.
					return unhex(t, "6F20840E325041592E5359532E4444463031A50EBF0C0B61094F07A00000000410109000"), nil
				}
				return []byte{0x6A, 0x82}, nil
			}}
			r := p.Reader(t)
			s, err := r.Pay(t.Context(), p.Field(&field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return rec, nil }}}), p.Transaction)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			if len(p.Commands) > 30 || s.Final().Kind == contactless.Approved {
				t.Errorf("%d commands, outcome %s", len(p.Commands), s.Final())
			}
			got := s.Final().Kind.String() + ": " + strings.Join(s.Outcome().Reasons, "; ")
			if got != want[x.ID] {
				t.Errorf("%s, want %s; %X", got, want[x.ID], p.Commands)
			}
		})
	}
}
