package simcard_test

import (
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// gac sends a GENERATE AC and returns CID and IAD.
func (r *run) gac(reference byte, list tlv.Tag) (cid byte, iad []byte) {
	r.t.Helper()
	b := must(r.t, r.card, apdu.GenerateAC(reference, r.term.fill(r.t, r.records[list])))
	return parts(r.t, b)
}

// parts takes a response apart, in either format, and checks its shape.
func parts(t testing.TB, b []byte) (cid byte, iad []byte) {
	t.Helper()
	if v, ok := tlv.Find(b, 0x80); ok && b[0] == 0x80 {
		if len(v) != 1+2+8+7 {
			t.Fatalf("GENERATE AC: % X", b)
		}
		return v[0], v[11:]
	}
	c, _ := tlv.Find(b, 0x9F27)
	iad, _ = tlv.Find(b, 0x9F10)
	if len(c) != 1 || len(iad) != 7 {
		t.Fatalf("GENERATE AC: % X", b)
	}
	return c[0], iad
}

// What the card gives at the first GENERATE AC for what it was asked.
func TestFirstDecision(t *testing.T) {
	for _, tt := range []struct {
		name, profile string
		alter         func(*simcard.Profile, terminal)
		ask, want     byte
		cvr           string
	}{
		{"AAC for AAC", "default", nil, apdu.RefAAC, 0x00, "03800000"},
		{"TC for TC", "default", nil, apdu.RefTC, 0x40, "03900000"},
		{"ARQC for ARQC", "default", nil, apdu.RefARQC, 0x80, "03A00000"},
		{"12.34 over 10.00", "over-limit", nil, apdu.RefARQC, 0x00, "03800000"},
		{"10.00 over 10.00", "over-limit", func(_ *simcard.Profile, x terminal) { x[0x9F02] = "000000001000" }, apdu.RefARQC, 0x80, "03A00000"},
		{"10.01 over 10.00", "over-limit", func(_ *simcard.Profile, x terminal) { x[0x9F02] = "000000001001" }, apdu.RefARQC, 0x00, "03800000"},
		{"amount is no number", "over-limit", func(_ *simcard.Profile, x terminal) { x[0x9F02] = "00000000A000" }, apdu.RefARQC, 0x00, "03800000"},
		{"decline", "decline", nil, apdu.RefARQC, 0x00, "03800000"},
		{"blocked", "blocked-app", func(p *simcard.Profile, _ terminal) { p.Applications[0].Blocked = true }, apdu.RefTC, 0x00, "03800000"},
		{"PIN tries gone, TC", "pin-blocked", nil, apdu.RefTC, 0x80, "03A04000"},
		{"PIN tries gone, AAC", "pin-blocked", nil, apdu.RefAAC, 0x02, "03804000"},
		{"offline amount above the sum", "default", func(p *simcard.Profile, _ terminal) { p.Applications[0].OfflineLimit = 1233 }, apdu.RefTC, 0x80, "03A02000"},
		{"offline amount in another currency", "default", func(_ *simcard.Profile, x terminal) { x[0x5F2A] = "0840" }, apdu.RefTC, 0x80, "03A00000"},
		{"no offline transactions", "default", func(p *simcard.Profile, _ terminal) { p.Applications[0].LowerLimit = 0 }, apdu.RefTC, 0x80, "03A02000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, term := profile(t, tt.profile), sale()
			if tt.alter != nil {
				tt.alter(&p, term)
			}
			blocked := p.Applications[0].Blocked
			c := newCard(t, p, simcard.Options{})
			var r *run
			if blocked {
				if _, sw := send(t, c, apdu.Select(p.Applications[0].AID, false)); sw != 0x6283 {
					t.Fatal(sw)
				}
				r = &run{t: t, card: c, term: term, app: &p.Applications[0], records: map[tlv.Tag][]byte{}}
				r.initiate()
				r.read()
			} else {
				r = start(t, c, 0, term)
			}
			cid, iad := r.gac(tt.ask, 0x8C)
			if cid != tt.want {
				t.Errorf("CID %02X, want %02X", cid, tt.want)
			}
			if got := fmt.Sprintf("%X", iad[3:]); got != tt.cvr {
				t.Errorf("CVR %s, want %s", got, tt.cvr)
			}
		})
	}
}

// Offline transactions run out after the lower limit, unable to go online after
// the upper one; and a transaction that was left in the middle makes the card
// ask at the next.
func TestOfflineCounters(t *testing.T) {
	c := card(t, "default")
	term := sale()
	term[0x9F02] = "000000000100"
	for n := range 3 {
		if cid, _ := start(t, c, 0, term).gac(apdu.RefTC, 0x8C); cid != 0x40 {
			t.Fatalf("offline transaction %d: CID %02X", n+1, cid)
		}
	}
	r := start(t, c, 0, term)
	if cid, iad := r.gac(apdu.RefTC, 0x8C); cid != 0x80 || iad[5]&0x20 == 0 {
		t.Errorf("after three: CID %02X, IAD % X", cid, iad)
	}
	r.term[0x8A] = "5933" // Y3: unable to go online
	if cid, iad := r.gac(apdu.RefTC, 0x8D); cid != 0x40 || iad[4] != 0x61 {
		t.Errorf("unable to go online: CID %02X, IAD % X", cid, iad)
	}
	r = start(t, c, 0, term)
	if cid, iad := r.gac(apdu.RefTC, 0x8C); cid != 0x80 || iad[5]&0x80 == 0 {
		t.Errorf("after one left incomplete: CID %02X, IAD % X", cid, iad)
	}
	r.term[0x8A] = "5933"
	if cid, _ := r.gac(apdu.RefTC, 0x8D); cid != 0x40 {
		t.Errorf("fifth: CID %02X", cid)
	}
	r = start(t, c, 0, term)
	r.gac(apdu.RefARQC, 0x8C)
	r.term[0x8A] = "5933"
	if cid, iad := r.gac(apdu.RefTC, 0x8D); cid != 0x00 || iad[4]&0xC0 != 0 {
		t.Errorf("above the upper limit: CID %02X, IAD % X", cid, iad)
	}
}

func TestLog(t *testing.T) {
	c := card(t, "default")
	r := start(t, c, 0, sale())
	expect(t, c, apdu.ReadRecord(11, 1), 0x6A83)
	r.gac(apdu.RefAAC, 0x8C)
	first := must(t, c, apdu.ReadRecord(11, 1))
	format := must(t, c, apdu.GetData(0x9F4F))
	list, err := tlv.ParseDOL(format[3:])
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != list.Len() {
		t.Errorf("record of %d bytes, the format has %d", len(first), list.Len())
	}
	if want := "000004800000000000001234027609782511240" + "0"; fmt.Sprintf("%X", first[2:]) != want {
		t.Errorf("%X, want %s after the counter", first, want)
	}
	for range 12 {
		start(t, c, 0, sale()).gac(apdu.RefAAC, 0x8C)
	}
	if got := must(t, c, apdu.ReadRecord(11, 10)); string(got[:2]) == string(first[:2]) {
		t.Error("the oldest record is still there")
	}
	expect(t, c, apdu.ReadRecord(11, 11), 0x6A83)
}
