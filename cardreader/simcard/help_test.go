package simcard_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// pki is shared: making it is cheap, but not free.
var pki = testkeys.PKI()

// stream is a Rand of fixed bytes, so that a failing test fails again.
type stream struct{ x uint32 }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.x = s.x*1664525 + 1013904223
		b[i] = byte(s.x >> 24)
	}
	return len(b), nil
}

func profile(t testing.TB, name string) simcard.Profile {
	t.Helper()
	p, err := simcard.LookupProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newCard(t testing.TB, p simcard.Profile, o simcard.Options) *simcard.Card {
	t.Helper()
	o.PKI = pki
	if o.Rand == nil {
		o.Rand = &stream{1}
	}
	c, err := simcard.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func card(t testing.TB, name string) *simcard.Card {
	t.Helper()
	return newCard(t, profile(t, name), simcard.Options{})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send sends one command. Under T=0 it does what a reader's driver does.
func send(t testing.TB, c *simcard.Card, cmd apdu.Command) ([]byte, apdu.Status) {
	t.Helper()
	b, err := cmd.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for range 8 {
		r := c.Process(b)
		if len(r) < 2 {
			t.Fatalf("response % X", r)
		}
		body, sw := r[:len(r)-2], apdu.Status(r[len(r)-2])<<8|apdu.Status(r[len(r)-1])
		data = append(data, body...)
		switch {
		case sw.SW1() == 0x61:
			b = []byte{0x00, 0xC0, 0x00, 0x00, sw.SW2()}
		case sw.SW1() == 0x6C && c.Profile().Protocol == cardreader.T0:
			b = []byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, sw.SW2()}
		default:
			return data, sw
		}
	}
	t.Fatal("61xx or 6Cxx without end")
	return nil, 0
}

// must sends a command that has to be answered with 9000.
func must(t testing.TB, c *simcard.Card, cmd apdu.Command) []byte {
	t.Helper()
	data, sw := send(t, c, cmd)
	if !sw.OK() {
		t.Fatalf("INS %02X: %v", cmd.INS, sw)
	}
	return data
}

// expect sends a command that has to be answered with sw.
func expect(t testing.TB, c *simcard.Card, cmd apdu.Command, want apdu.Status) {
	t.Helper()
	if _, sw := send(t, c, cmd); sw != want {
		t.Errorf("%02X %02X %02X %02X: %04X, want %04X", cmd.CLA, cmd.INS, cmd.P1, cmd.P2, uint16(sw), uint16(want))
	}
}

// terminal is the terminal's data objects of a test transaction, by tag.
type terminal map[tlv.Tag]string

func sale() terminal {
	return terminal{
		0x9F02: "000000001234", 0x9F03: "000000000000", 0x9F1A: "0276", 0x95: "0000048000", 0x5F2A: "0978",
		0x9A: "251124", 0x9C: "00", 0x9F37: "A1B2C3D4", 0x9F66: "36000000", 0x9F35: "22", 0x8A: "3030",
	}
}

// fill answers a DOL.
func (term terminal) fill(t testing.TB, dol []byte) []byte {
	t.Helper()
	d, err := tlv.ParseDOL(dol)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, e := range d {
		v := unhex(t, term[e.Tag])
		if len(v) == 0 {
			v = make([]byte, e.Len)
		}
		if len(v) != e.Len {
			t.Fatalf("DOL asks for %d bytes of %v, the test has %d", e.Len, e.Tag, len(v))
		}
		out = append(out, v...)
	}
	return out
}

// run is one transaction as a terminal sees it.
type run struct {
	t    testing.TB
	card *simcard.Card
	term terminal
	app  *simcard.Application

	fci, aip, afl []byte
	records       map[tlv.Tag][]byte // every object of every record
	static        []byte             // what offline data authentication covers
	pdolData      []byte
}

// start powers the card, selects application n, and reads it.
func start(t testing.TB, c *simcard.Card, n int, term terminal) *run {
	t.Helper()
	p := c.Profile()
	r := &run{t: t, card: c, term: term, app: &p.Applications[n], records: map[tlv.Tag][]byte{}}
	c.Reset()
	r.fci = must(t, c, apdu.Select(r.app.AID, false))
	r.initiate()
	r.read()
	return r
}

func (r *run) initiate() {
	r.t.Helper()
	pdol, _ := tlv.Find(r.fci, 0x9F38)
	if len(pdol) > 0 {
		r.pdolData = r.term.fill(r.t, pdol)
	}
	b := must(r.t, r.card, apdu.GetProcessingOptions(tlv.Append(nil, 0x83, r.pdolData)))
	if v, ok := tlv.Find(b, 0x80); ok && b[0] == 0x80 {
		r.aip, r.afl = v[:2], v[2:]
		return
	}
	r.aip, _ = tlv.Find(b, 0x82)
	r.afl, _ = tlv.Find(b, 0x94)
	if len(r.aip) != 2 || len(r.afl) == 0 {
		r.t.Fatalf("GET PROCESSING OPTIONS answered % X", b)
	}
}

func (r *run) read() {
	r.t.Helper()
	for e := r.afl; len(e) >= 4; e = e[4:] {
		signed := int(e[3])
		for n := e[1]; n <= e[2]; n++ {
			b := must(r.t, r.card, apdu.ReadRecord(e[0]>>3, n))
			body, ok := tlv.Find(b, 0x70)
			if !ok || tlv.Validate(b) != nil {
				r.t.Fatalf("record %d of file %d: % X", n, e[0]>>3, b)
			}
			if signed > 0 {
				r.static = append(r.static, body...)
				signed--
			}
			for o, err := range tlv.All(body) {
				if err != nil {
					r.t.Fatal(err)
				}
				if _, twice := r.records[o.Tag]; twice {
					r.t.Errorf("%v is in two records", o.Tag)
				}
				r.records[o.Tag] = bytes.Clone(o.Value)
			}
		}
	}
	if bytes.Equal(r.records[0x9F4A], []byte{0x82}) {
		r.static = append(r.static, r.aip...)
	}
}
