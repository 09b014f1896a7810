package issuer

import (
	"testing"
	"time"
)

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

// TestExpiredSince: a payment that is told late is judged by the card's expiry at
// the time at which it was approved, where the card's own date agrees with that.
func TestExpiredSince(t *testing.T) {
	approved := now // 2026-11-24, as the card's date is
	for _, c := range []struct {
		name     string
		approved time.Time
		arrives  time.Time
		late     func(*Request)
		want     string
	}{
		{"offline, in time", approved, approved.AddDate(0, 0, 10), func(r *Request) { r.Offline = true }, CodeApproved},
		{"in the issuer's place", approved, approved.AddDate(0, 0, 10), func(r *Request) { r.StoodIn = true }, CodeApproved},
		{"asked", approved, approved.AddDate(0, 0, 10), func(*Request) {}, CodeExpired},
		{"offline, without a time", time.Time{}, approved.AddDate(0, 0, 10), func(r *Request) { r.Offline = true }, CodeExpired},
		{"offline, too late", approved, approved.AddDate(0, 0, 32), func(r *Request) { r.Offline = true }, CodeExpired},
		{"offline, another time than the card's", approved.AddDate(0, 0, 6), approved.AddDate(0, 0, 10), func(r *Request) { r.Offline = true }, CodeExpired},
		{"offline, in the future", approved.AddDate(0, 0, 1), approved.Add(-time.Hour), func(r *Request) { r.Offline = true }, CodeApproved},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{Now: func() time.Time { return c.arrives }}, line{expiry: "2611"})
			r := d.request(50, "")
			r.Expiry = "2611"
			c.late(&r)
			if r.Offline {
				d.gave(0x40)
				r = d.request(50, "")
				r.Expiry, r.Offline = "2611", true
			}
			r.Approved = c.approved
			d.want(c.name, d.authorize(r), c.want)
		})
	}
}
