package contactless_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// FuzzDirectory gives the entry point any answer to SELECT PPSE and to SELECT: it
// ends in an outcome.
func FuzzDirectory(f *testing.F) {
	f.Add(unhex(f, "6F2D840E325041592E5359532E4444463031A51BBF0C1861164F07A00000000310105004564953418701019F2A0103"), unhex(f, "6F1A8407A0000000031010A50F500456495341870101"+"9F38039F6604"))
	f.Add(unhex(f, "6F23840E325041592E5359532E4444463031A511BF0C0E610C4F07A0000000041010870101"), unhex(f, "6F098407A0000000041010"))
	f.Add([]byte{}, []byte{})
	f.Add(unhex(f, "6F81"), unhex(f, "6F00"))
	f.Fuzz(func(t *testing.T, ppse, app []byte) {
		p := shop(t, 1000, tags.TTQValue{0x26, 0x00, 0xC0, 0x00})
		c := &card{answer: func(b []byte) ([]byte, error) {
			switch name := selected(b); {
			case string(name) == "2PAY.SYS.DDF01":
				return append(append([]byte(nil), ppse...), 0x90, 0x00), nil
			case name != nil:
				return append(append([]byte(nil), app...), 0x90, 0x00), nil
			}
			return []byte{0x6D, 0x00}, nil
		}}
		settle(t, p, c)
	})
}

// FuzzOptions gives both kernels any answer to GET PROCESSING OPTIONS, READ RECORD
// and GENERATE AC.
func FuzzOptions(f *testing.F) {
	f.Add(true, unhex(f, "771C82022000940408010100"), unhex(f, "7003570161"), unhex(f, "8000"))
	f.Add(false, unhex(f, "770A82023980940408010100"), unhex(f, "70069F5103"), unhex(f, "770E9F2701809F360200019F2608"))
	f.Add(false, unhex(f, "8006398010010200"), unhex(f, "7000"), []byte{})
	f.Fuzz(func(t *testing.T, visa bool, options, record, cryptogram []byte) {
		p := shop(t, 1000, tags.TTQValue{0x26, 0x00, 0xC0, 0x00})
		aid, more := unhex(t, "A0000000041010"), []byte(nil)
		if visa {
			aid, more = unhex(t, "A0000000031010"), unhex(t, "9F38039F6604")
		}
		entry := append([]byte{0x4F, 0x07}, aid...)
		c := &card{answer: func(b []byte) ([]byte, error) {
			var body []byte
			switch name := selected(b); {
			case string(name) == "2PAY.SYS.DDF01":
				body = directory(entry)
			case name != nil:
				body = fci(name, []byte("FUZZ"), more)
			case b[1] == 0xA8:
				body = append(body, options...)
			case b[1] == 0xB2:
				body = append(body, record...)
			default:
				body = append(body, cryptogram...)
			}
			return append(body, 0x90, 0x00), nil
		}}
		settle(t, p, c)
	})
}

// settle runs a transaction, which never approves: nothing here is signed.
func settle(t *testing.T, p *taptest.Tap, c *card) {
	s, err := p.Reader(t).Pay(t.Context(), &field{connect: []func() (cardreader.Card, error){func() (cardreader.Card, error) { return c, nil }}}, p.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	if s.Final().Kind == contactless.Approved {
		t.Errorf("approved: %s", s.Final())
	}
	_ = s.Authorize().Field55()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
