package emv_test

import (
	"context"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ddaRun is a recorded DDA transaction, its kernel, and its RSA operations alone.
func ddaRun(tb testing.TB) (whole, rsa func()) {
	r := recordCard(tb, "default")
	objects := map[tlv.Tag][]byte{}
	for i, b := range r.answers {
		for _, t := range []tlv.Tag{tags.PAN, tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.IssuerRemainder, tags.IssuerExponent, tags.ICCCertificate, tags.ICCRemainder, tags.ICCExponent} {
			if v, ok := tlv.Find(b[:len(b)-2], t); ok && r.commands[i][1] == 0xB2 {
				objects[t] = v
			}
		}
		if r.commands[i][1] == 0x88 {
			objects[tags.SignedDynamicData], _ = tlv.Find(b[:len(b)-2], tags.ResponseFormat1)
			objects[tags.DDOL] = r.commands[i][5 : 5+r.commands[i][4]]
		}
	}
	store, modulus := caKeys(tb), testkeys.PKI().ICC.Modulus()
	pan, err := secret.PANFromCN(objects[tags.PAN])
	if err != nil {
		tb.Fatal(err)
	}
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	k := kernel(tb, h, func(c *emv.Config) { c.Rand, c.CAKeys = zeros{}, store })
	whole = func() {
		if _, err := play(k, &tape{r: r, at: -1}, r.auth); err != nil {
			tb.Fatal(err)
		}
	}
	rsa = func() {
		issuer, err := oda.RecoverIssuerFrom(store, oda.RID(bin(testAID)[:5]), objects[tags.CAPublicKeyIndex][0],
			objects[tags.IssuerCertificate], objects[tags.IssuerRemainder], objects[tags.IssuerExponent], pan, today())
		if err != nil {
			tb.Fatal(err)
		}
		// The hash over other static data does not match: the operation is
		// done all the same.
		_, _ = oda.RecoverICC(issuer.Key, objects[tags.ICCCertificate], objects[tags.ICCRemainder], objects[tags.ICCExponent], pan, nil, today())
		_, _ = oda.VerifyDDA(oda.PublicKey{Modulus: modulus, Exponent: objects[tags.ICCExponent]}, objects[tags.SignedDynamicData], objects[tags.DDOL])
	}
	return whole, rsa
}

// zeros is a source of numbers that costs nothing.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// BenchmarkTransaction is a whole DDA transaction against a recorded card, and
// its three RSA operations alone: the difference is the kernel.
func BenchmarkTransaction(b *testing.B) {
	whole, rsa := ddaRun(b)
	for name, f := range map[string]func(){"whole": whole, "rsa": rsa} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkLive is a whole DDA transaction with the software card, in which the
// kernel's RSA operations and the time the card takes are timed apart.
func BenchmarkLive(b *testing.B) {
	_, rsa := ddaRun(b)
	card := &stopwatch{Card: sim(b, "default", nil)}
	k := kernel(b, &holder{pin: simcard.TestPIN, entry: emv.PINEntered}, func(c *emv.Config) { c.Rand = zeros{} })
	var whole, operations time.Duration
	for b.Loop() {
		begin := time.Now()
		s, err := k.Start(b.Context(), card, emv.Transaction{Amount: eur(1234), Counter: 1})
		whole += time.Since(begin)
		if err != nil {
			b.Fatal(err)
		}
		a := s.Authorize()
		i := newIssuer(b, "default", s.Outcome().AID, a)
		auth := i.answer(i.verify(a.Field55()), "00")
		begin = time.Now()
		o, err := s.Complete(b.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: auth})
		whole += time.Since(begin)
		s.Close()
		if err != nil || o.Decision != emv.Approved || o.ODA.Method != emv.DDA || !o.ODA.OK {
			b.Fatalf("%+v, %v", o, err)
		}
		begin = time.Now()
		rsa()
		operations += time.Since(begin)
	}
	for unit, d := range map[string]time.Duration{"kernel-µs/op": whole - operations - card.took, "rsa-µs/op": operations, "card-µs/op": card.took} {
		b.ReportMetric(float64(d.Nanoseconds())/1e3/float64(b.N), unit)
	}
}

// stopwatch measures how long a card takes.
type stopwatch struct {
	cardreader.Card
	took time.Duration
}

func (w *stopwatch) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	begin := time.Now()
	defer func() { w.took += time.Since(begin) }()
	return w.Card.Transmit(ctx, command)
}

// TestAllocations bounds what the kernel allocates besides RSA.
func TestAllocations(t *testing.T) {
	whole, rsa := ddaRun(t)
	if n := testing.AllocsPerRun(50, whole) - testing.AllocsPerRun(50, rsa); n > 300 {
		t.Errorf("%.0f allocations besides RSA, want at most 300", n)
	}
}
