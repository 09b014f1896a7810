package simcard_test

import (
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// everything is a profile that has every instruction.
func everything(t testing.TB) simcard.Profile {
	p := profile(t, "default")
	p.Applications[0].CVMList = append(make([]byte, 8), 0x04, 0x03, 0x01, 0x03, 0x1F, 0x00)
	p.Applications[0].AIP[0] |= 0x01 // CDA
	return p
}

// The phases of a session, and how a terminal gets there.
var phases = []string{"nothing selected", "directory", "selected", "initiated", "online", "declined at once", "completed"}

func reach(t testing.TB, c *simcard.Card, phase int) {
	t.Helper()
	aid := c.Profile().Applications[0].AID
	cdol1 := sale().fill(t, c.Profile().Applications[0].CDOL1)
	cdol2 := sale().fill(t, c.Profile().Applications[0].CDOL2)
	c.Reset()
	switch phase {
	case 0:
		return
	case 1:
		must(t, c, apdu.Select([]byte("1PAY.SYS.DDF01"), false))
		return
	}
	must(t, c, apdu.Select(aid, false))
	if phase >= 3 {
		must(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}))
	}
	switch phase {
	case 4, 6:
		must(t, c, apdu.GenerateAC(apdu.RefARQC, cdol1))
	case 5:
		must(t, c, apdu.GenerateAC(apdu.RefAAC, cdol1))
	}
	if phase == 6 {
		must(t, c, apdu.GenerateAC(apdu.RefAAC, cdol2))
	}
}

// Every instruction in every phase: where it is out of place, the answer is
// 6985; where it is in place, it is anything else.
func TestOrder(t *testing.T) {
	p := everything(t)
	cdol1 := sale().fill(t, p.Applications[0].CDOL1)
	mac := make([]byte, 8)
	script := func(ins byte, data []byte) apdu.Command { return apdu.Command{CLA: 0x84, INS: ins, Data: data} }
	for _, tt := range []struct {
		name string
		cmd  apdu.Command
		in   string // a digit for each phase in which the command is in place
	}{
		{"SELECT", apdu.Select(p.Applications[0].AID, false), "0123456"},
		{"READ RECORD", apdu.ReadRecord(1, 1), "123456"},
		{"GET PROCESSING OPTIONS", apdu.GetProcessingOptions([]byte{0x83, 0x00}), "2"},
		{"GET DATA", apdu.GetData(0x9F36), "23456"},
		{"VERIFY plaintext", apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")), "3"},
		{"GET CHALLENGE", apdu.GetChallenge(), "3"},
		{"INTERNAL AUTHENTICATE", apdu.InternalAuthenticate([]byte{1, 2, 3, 4}), "3"},
		{"GENERATE AC", apdu.GenerateAC(apdu.RefAAC, cdol1), "34"}, // 4: another length, not another order
		{"EXTERNAL AUTHENTICATE", apdu.ExternalAuthenticate(mac), "4"},
		{"APPLICATION BLOCK", script(apdu.INSApplicationBlock, mac), "46"},
		{"APPLICATION UNBLOCK", script(apdu.INSApplicationUnblock, mac), "46"},
		{"CARD BLOCK", script(apdu.INSCardBlock, mac), "46"},
		{"PIN CHANGE/UNBLOCK", script(apdu.INSPINChangeUnblock, mac), "46"},
		{"PUT DATA", apdu.Command{CLA: 0x04, INS: apdu.INSPutData, P1: 0x9F, P2: 0x14, Data: append([]byte{1}, mac...)}, "46"},
	} {
		for phase, name := range phases {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				c := newCard(t, p, simcard.Options{})
				reach(t, c, phase)
				_, sw := send(t, c, tt.cmd)
				inPlace := false
				for _, d := range tt.in {
					inPlace = inPlace || int(d-'0') == phase
				}
				if inPlace == (sw == 0x6985) {
					t.Errorf("%04X, in place: %v", uint16(sw), inPlace)
				}
			})
		}
	}
}

func TestStatusWords(t *testing.T) {
	p := everything(t)
	const (
		none = iota
		pse
		app
		ready
		asked
	)
	for _, tt := range []struct {
		name  string
		phase int
		cmd   string
		want  apdu.Status
	}{
		{"class unknown", none, "90A40400", 0x6E00},
		{"class of a channel", none, "01A4040007A000000003101000", 0x6E00},
		{"secure messaging format 1", asked, "8C1E000008 0000000000000000", 0x6E00},
		{"class of another instruction", none, "80A4040007A000000003101000", 0x6E00},
		{"script without secure messaging", asked, "801E000008 0000000000000000", 0x6E00},
		{"instruction unknown", none, "00FA0000", 0x6D00},
		{"UPDATE RECORD", ready, "00DC010C0100", 0x6D00},
		{"GET RESPONSE under T=1", ready, "00C0000000", 0x6D00},
		{"three bytes", none, "00A404", 0x6700},
		{"nothing", none, "", 0x6700},
		{"Lc longer than the data", none, "00A4040007A00000000310", 0x6700},
		{"bytes after Le", none, "00A4040007A00000000310100000", 0x6700},
		{"extended length", none, "00A4040000 0007 A0000000031010 0000", 0x6700},
		{"SELECT without Le", none, "00A4040007A0000000031010", 0x6700},
		{"SELECT with Le 10", none, "00A4040007A000000003101010", 0x6700},
		{"SELECT without data", none, "00A4040000", 0x6700},
		{"SELECT of four bytes", none, "00A4040004A000000000", 0x6700},
		{"SELECT by file", none, "00A40000023F0000", 0x6A86},
		{"SELECT last", none, "00A4040107A000000003101000", 0x6A86},
		{"SELECT unknown", none, "00A4040007A000000003201000", 0x6A82},
		{"SELECT longer than the AID", none, "00A4040008A00000000310100100", 0x6A82},
		{"SELECT next first", none, "00A4040205A00000000300", 0x6A82},
		{"SELECT next after the last", app, "00A4040207A000000003101000", 0x6A82},
		{"READ RECORD directory", pse, "00B2010C00", 0x9000},
		{"READ RECORD directory, past the end", pse, "00B2020C00", 0x6A83},
		{"READ RECORD directory, another file", pse, "00B2011400", 0x6A82},
		{"READ RECORD 0", ready, "00B2000C00", 0x6A86},
		{"READ RECORD of SFI 0", ready, "00B2010400", 0x6A86},
		{"READ RECORD of SFI 31", ready, "00B201FC00", 0x6A86},
		{"READ RECORD by name", ready, "00B2010A00", 0x6A86},
		{"READ RECORD past the end", ready, "00B2630C00", 0x6A83},
		{"READ RECORD of no file", ready, "00B2012C00", 0x6A82},
		{"READ RECORD with data", ready, "00B2010C010000", 0x6700},
		{"READ RECORD without Le", ready, "00B2010C", 0x6700},
		{"READ RECORD, Le too small", ready, "00B2021C01", 0x6C09},
		{"READ RECORD, Le exact", ready, "00B2021C09", 0x9000},
		{"GPO P1", app, "80A8010002830000", 0x6A86},
		{"GPO without Le", app, "80A80000028300", 0x6700},
		{"GPO without template", app, "80A80000010000", 0x6A80},
		{"GPO, another template", app, "80A8000002800000", 0x6A80},
		{"GPO, length beyond the data", app, "80A8000002830100", 0x6A80},
		{"GPO, two templates", app, "80A80000048300830000", 0x6A80},
		{"GPO, padding before", app, "80A800000300830000", 0x6A80},
		{"GPO, data not asked for", app, "80A80000038301FF00", 0x6700},
		{"GET DATA ATC", ready, "80CA9F3600", 0x9000},
		{"GET DATA last online ATC", ready, "80CA9F1300", 0x9000},
		{"GET DATA tries", ready, "80CA9F1700", 0x9000},
		{"GET DATA log format", ready, "80CA9F4F00", 0x9000},
		{"GET DATA, Le too small", ready, "80CA9F3602", 0x6C05},
		{"GET DATA of a PAN", ready, "80CA005A00", 0x6A88},
		{"GET DATA with data", ready, "80CA9F36010000", 0x6700},
		{"VERIFY P1", ready, "0020018008241234FFFFFFFFFF", 0x6A86},
		{"VERIFY P2", ready, "0020000008241234FFFFFFFFFF", 0x6A86},
		{"VERIFY of seven bytes", ready, "0020008007241234FFFFFFFF", 0x6700},
		{"VERIFY with Le", ready, "0020008008241234FFFFFFFFFF00", 0x6700},
		{"VERIFY wrong PIN", ready, "0020008008244321FFFFFFFFFF", 0x63C2},
		{"VERIFY wrong length digit", ready, "0020008008251234FFFFFFFFFF", 0x63C2},
		{"VERIFY wrong fill", ready, "00200080082412340000000000", 0x63C2},
		{"VERIFY right PIN", ready, "0020008008241234FFFFFFFFFF", 0x9000},
		{"GET CHALLENGE", ready, "0084000000", 0x9000},
		{"GET CHALLENGE of eight", ready, "0084000008", 0x9000},
		{"GET CHALLENGE of four", ready, "0084000004", 0x6700},
		{"GET CHALLENGE P2", ready, "0084000100", 0x6A86},
		{"INTERNAL AUTHENTICATE", ready, "0088000004A1B2C3D400", 0x9000},
		{"INTERNAL AUTHENTICATE P1", ready, "0088010004A1B2C3D400", 0x6A86},
		{"INTERNAL AUTHENTICATE of three", ready, "0088000003A1B2C300", 0x6700},
		{"INTERNAL AUTHENTICATE without Le", ready, "0088000004A1B2C3D4", 0x6700},
		{"GENERATE AC, short data", ready, "80AE800001 00 00", 0x6700},
		{"GENERATE AC, reserved type", ready, "80AEC00001 00 00", 0x6A86},
		{"GENERATE AC, reserved bit", ready, "80AE810001 00 00", 0x6A86},
		{"GENERATE AC, P2", ready, "80AE800101 00 00", 0x6A86},
		{"second GENERATE AC for an ARQC", asked, "80AE800001 00 00", 0x6A86},
		{"EXTERNAL AUTHENTICATE of seven", asked, "0082000007 00000000000000", 0x6700},
		{"EXTERNAL AUTHENTICATE of seventeen", asked, "0082000011 0000000000000000000000000000000000", 0x6700},
		{"EXTERNAL AUTHENTICATE with Le", asked, "0082000008 0000000000000000 00", 0x6700},
		{"EXTERNAL AUTHENTICATE P1", asked, "0082010008 0000000000000000", 0x6A86},
		{"EXTERNAL AUTHENTICATE, wrong", asked, "0082000008 0000000000000000", 0x6300},
		{"APPLICATION BLOCK, no MAC", asked, "841E0000", 0x6700},
		{"APPLICATION BLOCK, MAC of three", asked, "841E000003 000000", 0x6700},
		{"APPLICATION BLOCK, MAC of nine", asked, "841E000009 000000000000000000", 0x6700},
		{"APPLICATION BLOCK, wrong MAC", asked, "841E000008 0000000000000000", 0x6988},
		{"APPLICATION BLOCK P1", asked, "841E010008 0000000000000000", 0x6A86},
		{"CARD BLOCK, wrong MAC", asked, "8416000008 0000000000000000", 0x6988},
		{"PIN UNBLOCK, wrong MAC", asked, "8424000008 0000000000000000", 0x6988},
		{"PIN CHANGE P2", asked, "8424000308 0000000000000000", 0x6A86},
		{"PUT DATA of EMV's own class", asked, "84DA9F1409 000000000000000000", 0x6E00},
		{"PUT DATA of another tag", asked, "04DA9F3609 000000000000000000", 0x6A88},
		{"PUT DATA, wrong MAC", asked, "04DA9F1409 000000000000000000", 0x6988},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, p, simcard.Options{})
			reach(t, c, tt.phase)
			r := c.Process(unhex(t, tt.cmd))
			sw := apdu.Status(r[len(r)-2])<<8 | apdu.Status(r[len(r)-1])
			if sw != tt.want {
				t.Errorf("%04X, want %04X", uint16(sw), uint16(tt.want))
			}
			if sw != apdu.StatusOK && len(r) != 2 {
				t.Errorf("% X carries data", r)
			}
		})
	}
}

// What a card can't do, it has no instruction for.
func TestMissingInstructions(t *testing.T) {
	for _, tt := range []struct {
		profile string
		cmd     apdu.Command
	}{
		{"sda", apdu.InternalAuthenticate([]byte{1, 2, 3, 4})},
		{"default", apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF"))},
		{"default", apdu.GetChallenge()},
		{"offline-pin", apdu.GetChallenge()},
		{"cdol2", apdu.ExternalAuthenticate(make([]byte, 10))},
	} {
		c := card(t, tt.profile)
		reach(t, c, 3)
		expect(t, c, tt.cmd, 0x6D00)
	}
}

func TestOnlyOnce(t *testing.T) {
	c := newCard(t, everything(t), simcard.Options{})
	reach(t, c, 3)
	must(t, c, apdu.InternalAuthenticate([]byte{1, 2, 3, 4}))
	expect(t, c, apdu.InternalAuthenticate([]byte{1, 2, 3, 4}), 0x6985)
	reach(t, c, 4)
	expect(t, c, apdu.ExternalAuthenticate(make([]byte, 8)), 0x6300)
	expect(t, c, apdu.ExternalAuthenticate(make([]byte, 8)), 0x6985)
	reach(t, c, 4)
	block := apdu.Command{CLA: 0x84, INS: apdu.INSApplicationBlock, Data: make([]byte, 8)}
	expect(t, c, block, 0x6988)
	expect(t, c, block, 0x6982) // no second guess at a MAC
}

func TestPartialSelection(t *testing.T) {
	p := profile(t, "multi-app")
	p.Applications[1].AID = append(append([]byte(nil), p.Applications[0].AID...), 0x02)
	c := newCard(t, p, simcard.Options{})
	rid := p.Applications[0].AID[:5]
	name := func(b []byte) string {
		v, _ := tlv.Find(b, 0x84)
		return fmt.Sprintf("%X", v)
	}
	if got := name(must(t, c, apdu.Select(rid, false))); got != "A0000000031010" {
		t.Errorf("first: %s", got)
	}
	if got := name(must(t, c, apdu.Select(rid, true))); got != "A000000003101002" {
		t.Errorf("next: %s", got)
	}
	expect(t, c, apdu.Select(rid, true), 0x6A82)
	expect(t, c, apdu.Select(p.Applications[0].AID, true), 0x6A82) // another name
	if got := name(must(t, c, apdu.Select(p.Applications[1].AID, false))); got != "A000000003101002" {
		t.Errorf("whole name: %s", got)
	}
	expect(t, c, apdu.Select([]byte("1PAY.SYS.DDF01"), false), 0x6A82)
}

func TestBlocked(t *testing.T) {
	c := card(t, "blocked-card")
	expect(t, c, apdu.Select([]byte("1PAY.SYS.DDF01"), false), 0x6A81)
	expect(t, c, apdu.Select(c.Profile().Applications[0].AID, false), 0x6A81)

	c = card(t, "blocked-app")
	fci, sw := send(t, c, apdu.Select(c.Profile().Applications[0].AID, false))
	if sw != 0x6283 || len(fci) == 0 {
		t.Errorf("SELECT of a blocked application: %v and %d bytes", sw, len(fci))
	}
	// It goes on, and gives nothing but an AAC (Book 3, 6.5.1.2).
	must(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}))
	b := must(t, c, apdu.GenerateAC(apdu.RefTC, sale().fill(t, c.Profile().Applications[0].CDOL1)))
	if b[0] != 0x80 || b[2] != 0x00 {
		t.Errorf("GENERATE AC of a blocked application: % X", b)
	}

	c = card(t, "refused-app")
	must(t, c, apdu.Select(c.Profile().Applications[0].AID, false))
	expect(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}), 0x6985)
	must(t, c, apdu.Select(c.Profile().Applications[1].AID, false))
	must(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}))
}

// T=0: procedure bytes on the wire, the same answers behind them.
func TestT0(t *testing.T) {
	c := card(t, "t0")
	steps := []struct{ cmd, want string }{
		{"00A4040007A0000000031010", "612B"},
		{"00C000002C", "6C2B"}, // more than there is
		{"00C0000100", "6A86"},
		{"80C000002B", "6E00"},
		{"80A80000028300", "6110"}, // another command drops the answer
		{"00C0000004", "800E3C00 610C"},
		{"00C000000C", "0801020010010201180103009000"},
		{"00C0000000", "6985"}, // nothing left
		{"80CA9F1700", "6A88"},
		{"80CA9F4F00", "6C18"},
		{"00B2010C01", "6C25"},
		{"00B2010C", "6C25"},
	}
	for i, s := range steps {
		got := c.Process(unhex(t, s.cmd))
		if want := unhex(t, s.want); string(got) != string(want) {
			t.Errorf("step %d, %s: %X, want %X", i+1, s.cmd, got, want)
		}
	}
	// 6283 survives GET RESPONSE.
	p := profile(t, "t0")
	p.Applications[0].Blocked = true
	c = newCard(t, p, simcard.Options{})
	if _, sw := send(t, c, apdu.Select(p.Applications[0].AID, false)); sw != 0x6283 {
		t.Errorf("SELECT of a blocked application: %v", sw)
	}
}
