package issuer

import "testing"

// gave makes a card give another cryptogram than an ARQC, and say so.
func (d *desk) gave(kind byte) {
	d.alter = func(s *sayings) { s.cid, s.iad[4] = kind, s.iad[4]&0xCF|kind>>2 }
}

// TestOffline: what a card approved by itself is taken with its TC alone, and
// then whatever the balance is; a TC asks for nothing.
func TestOffline(t *testing.T) {
	d := newDesk(t, Config{Limit: 200}, line{balance: 100})
	offline := func(r Request) Request { r.Offline = true; return r }
	d.want("an ARQC", d.authorize(offline(d.request(50, ""))), CodeNotHonoured)
	d.gave(0x00)
	d.want("an AAC", d.authorize(offline(d.request(50, ""))), CodeNotHonoured)
	d.gave(0x40)
	d.want("a TC as a request", d.authorize(d.request(50, "")), CodeNotHonoured)
	forged := offline(d.request(50, ""))
	forged.ICC[len(forged.ICC)-1] ^= 1
	d.want("a forged TC", d.authorize(forged), CodeNotHonoured)
	r := offline(d.request(50, ""))
	d.want("a TC", d.authorize(r), CodeApproved)
	d.want("the same again", d.authorize(r), CodeNotHonoured)
}

// TestPartial: what the balance covers, where that will do.
func TestPartial(t *testing.T) {
	d := newDesk(t, Config{}, line{balance: 250})
	r := d.request(300, "")
	d.want("all or nothing", d.authorize(r), CodeFunds)
	r = d.request(300, "")
	r.Partial = true
	got := d.authorize(r)
	if got.Code != CodePartial || got.Part != eur(t, 250) || len(got.AuthCode) != 6 || got.Approved() {
		t.Errorf("%+v", got)
	}
	r = d.request(250, "")
	r.Partial = true
	if got = d.authorize(r); got.Code != CodeApproved || got.Part.Minor != 0 {
		t.Errorf("what is covered: %+v", got)
	}
	r = d.request(1, "")
	r.Partial = true
	d.want("nothing is left", d.authorize(r), CodeFunds)
}
