package host

import (
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/trade"
)

// FuzzFinancial has a terminal that was taken over send whatever its key can
// seal. There is no panic, the ledger stays sound, and nobody is charged
// anything but the order.
func FuzzFinancial(f *testing.F) {
	r := newRig(f)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	part := u.reversal(m)
	one := r.eur(1)
	part.Replacement = &one
	for _, s := range []*acquirer.Message{m, u.completion(m, "123456"), u.reversal(m), part, acquirer.NewNetworkManagement(acquirer.NetworkEcho, "000007", u.grant.TerminalID, testNow)} {
		b, err := r.s.c.Dialect.Pack(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	n := 0
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := r.s.c.Dialect.Unpack(b)
		if err != nil {
			return
		}
		m.TerminalID, m.MerchantID = u.grant.TerminalID, u.grant.MerchantID
		k, err := u.mac.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer k.Wipe()
		m.MACKSN = k.KSN()
		sealed, err := r.s.c.Dialect.Seal(m, k.MACRequest)
		if err != nil {
			return
		}
		out, err := u.post(sealed)
		if err != nil && code(err) == "" {
			t.Fatalf("an error that ends the session: %v", err)
		}
		if code(err) == trade.CodeInternal {
			t.Errorf("%s: %v", m.MTI, err)
		}
		if err == nil {
			if _, err := r.s.c.Dialect.Open(out, func(_ *acquirer.Message, data, mac []byte) error { return k.VerifyMACResponse(data, mac) }); err != nil {
				t.Errorf("the answer: %v", err)
			}
		}
		if n++; n%64 != 0 {
			return
		}
		ledgertest.Clean(t, r.l)
		err = r.l.View(t.Context(), func(tx ledger.Tx) error {
			return tx.EachBalance(func(account, _ string, minor int64) error {
				if account != issuerFunding && minor != 0 && minor != 1234 && minor != opening && minor != opening-1234 {
					t.Errorf("account %s has %d", account, minor)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

const issuerFunding = "issuer/funding"
