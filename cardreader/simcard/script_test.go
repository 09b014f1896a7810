package simcard_test

import (
	"bytes"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestPutOfflineLimit: what offline payments may come to together is the issuer's
// to change, and the card's risk management goes by it, also after it was without
// power.
func TestPutOfflineLimit(t *testing.T) {
	p := profile(t, "offline-pin")
	i := newIssuer(t, &p.Applications[0])
	kept := &memory{}
	c := newCard(t, p, simcard.Options{State: kept})
	update := func(ins, p1, p2 byte, data []byte, want apdu.Status) {
		t.Helper()
		r := start(t, c, 0, sale())
		a := r.ask(apdu.RefARQC, 0x8C)
		r.finish(i.answerTo(a, "00", approve), "00", apdu.RefTC)
		expect(t, c, i.script(a, ins, p1, p2, data, 8), want)
	}
	update(apdu.INSPutData, 0x9F, 0x54, unhex(t, "000000000001"), 0x9000)
	c = newCard(t, p, simcard.Options{State: kept})
	r := start(t, c, 0, sale())
	if got := must(t, c, apdu.GetData(0x9F54)); !bytes.HasSuffix(got, unhex(t, "9F5406000000000001")) {
		t.Errorf("limit % X", got)
	}
	if a := r.ask(apdu.RefTC, 0x8C); a.cid != 0x80 {
		t.Errorf("over the new limit: %+v", a)
	}
	update(apdu.INSPutData, 0x9F, 0x54, unhex(t, "000000100000"), 0x9000)
	if a := start(t, c, 0, sale()).ask(apdu.RefTC, 0x8C); a.cid != 0x40 {
		t.Errorf("within the new limit: %+v", a)
	}
	update(apdu.INSPutData, 0x9F, 0x54, unhex(t, "00000010000A"), 0x6A80)
	update(apdu.INSPutData, 0x9F, 0x55, unhex(t, "000000100000"), 0x6A88)
	if a := start(t, c, 0, sale()).ask(apdu.RefARQC, 0x8C); a.iad[6]&0x08 != 0 {
		// 6A88 came before the command was authentic: no failure to remember.
		t.Errorf("results % X", a.iad)
	}
}

// TestUpdateRecord: the issuer's own file alone, and by the issuer alone.
func TestUpdateRecord(t *testing.T) {
	p := profile(t, "pin-unblock")
	i := newIssuer(t, &p.Applications[0])
	kept := &memory{}
	c := newCard(t, p, simcard.Options{State: kept})
	read := func(want string) {
		t.Helper()
		if got := must(t, c, apdu.ReadRecord(21, 1)); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("record % X, want %s", got, want)
		}
	}
	a := start(t, c, 0, sale()).ask(apdu.RefARQC, 0x8C)
	read("700100")
	const update = 0xDC
	expect(t, c, i.script(a, update, 1, 1<<3|4, []byte{1}, 8), 0x6982)  // the holder's file
	expect(t, c, i.script(a, update, 2, 21<<3|4, []byte{1}, 8), 0x6A83) // no such record
	expect(t, c, i.script(a, update, 1, 21<<3, []byte{1}, 8), 0x6A86)   // by no number
	expect(t, c, i.script(a, update, 1, 21<<3|4, nil, 8), 0x6A84)       // empty
	expect(t, c, i.script(a, update, 1, 21<<3|4, []byte{1, 2}, 8), 0x9000)
	read("0102")
	c = newCard(t, p, simcard.Options{State: kept})
	r := start(t, c, 0, sale())
	read("0102")
	a = r.ask(apdu.RefARQC, 0x8C)
	bad := i.script(a, update, 1, 21<<3|4, []byte{3}, 8)
	bad.Data[8] ^= 1
	expect(t, c, bad, 0x6988)
	// After a forged command nothing more is taken in this transaction.
	expect(t, c, i.script(a, update, 1, 21<<3|4, []byte{3}, 8), 0x6982)
	read("0102")
	other := newCard(t, profile(t, "default"), simcard.Options{})
	start(t, other, 0, sale()).ask(apdu.RefARQC, 0x8C)
	expect(t, other, i.script(a, update, 1, 21<<3|4, []byte{3}, 8), 0x6D00)
}
