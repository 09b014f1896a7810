package simcard_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// issuer is the other holder of the card's keys.
type issuer struct {
	t            testing.TB
	ac, smi, smc secret.Bytes // the card's master keys
	app          *simcard.Application
}

func newIssuer(t testing.TB, a *simcard.Application) *issuer {
	t.Helper()
	d := cryptogram.DerivationA
	if a.Derivation == "B" {
		d = cryptogram.DerivationB
	}
	pan, err := secret.NewPAN([]byte(a.PAN))
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, app: a}
	for to, from := range map[*secret.Bytes]secret.Bytes{&i.ac: pki.AC, &i.smi: pki.SMI, &i.smc: pki.SMC} {
		if *to, err = cryptogram.MasterKey(d, from, pan, a.PSN); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func (i *issuer) session(atc uint16) secret.Bytes {
	i.t.Helper()
	k, err := i.ac, error(nil)
	switch i.app.Session {
	case "csk":
		k, err = cryptogram.SessionCSK(i.ac, [8]byte{byte(atc >> 8), byte(atc)})
	case "emv2000":
		k, err = cryptogram.SessionEMV2000(i.ac, atc, cryptogram.Tree{Branch: 2, Height: 16})
	}
	if err != nil {
		i.t.Fatal(err)
	}
	return k
}

// expected is the cryptogram that belongs to what the terminal sent.
func (i *issuer) expected(r *run, a answer) [8]byte {
	i.t.Helper()
	var in []byte
	for _, tag := range []tlv.Tag{0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37} {
		in = append(in, unhex(i.t, r.term[tag])...)
	}
	in = append(in, r.aip...)
	in = append(in, byte(a.atc>>8), byte(a.atc))
	pad := cryptogram.Pad80
	if i.app.CVN == 0x0A {
		in, pad = append(in, a.iad[3:]...), cryptogram.PadZeros
	} else {
		in = append(in, a.iad...)
	}
	ac, err := cryptogram.AC(i.session(a.atc), in, pad)
	if err != nil {
		i.t.Fatal(err)
	}
	return ac
}

// answerTo makes the issuer authentication data for a cryptogram.
func (i *issuer) answerTo(a answer, arc string, csu [4]byte) []byte {
	i.t.Helper()
	if i.app.CVN == 0x0A {
		arpc, err := cryptogram.ARPC1(i.session(a.atc), a.ac, [2]byte([]byte(arc)))
		if err != nil {
			i.t.Fatal(err)
		}
		return append(arpc[:], arc...)
	}
	arpc, err := cryptogram.ARPC2(i.session(a.atc), a.ac, csu, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	return append(arpc[:], csu[:]...)
}

// script protects a script command.
func (i *issuer) script(a answer, ins, p1, p2 byte, data []byte, macLen int) apdu.Command {
	i.t.Helper()
	k, err := cryptogram.SessionVisa(i.smi, a.atc)
	if err != nil {
		i.t.Fatal(err)
	}
	cla := byte(0x84)
	if ins == apdu.INSPutData || ins == 0xDC {
		cla = 0x04
	}
	in := []byte{cla, ins, p1, p2, byte(len(data) + macLen), byte(a.atc >> 8), byte(a.atc)}
	in = append(append(in, a.ac[:]...), data...)
	mac, err := cryptogram.MAC(k, in, cryptogram.Pad80)
	if err != nil {
		i.t.Fatal(err)
	}
	return apdu.Command{CLA: cla, INS: ins, P1: p1, P2: p2, Data: append(bytes.Clone(data), mac[:macLen]...)}
}

// answer is a response to GENERATE AC, taken apart.
type answer struct {
	cid byte
	atc uint16
	ac  [8]byte
	iad []byte
}

// ask sends a GENERATE AC and takes the response apart.
func (r *run) ask(reference byte, list tlv.Tag) answer {
	r.t.Helper()
	b := must(r.t, r.card, apdu.GenerateAC(reference, r.term.fill(r.t, r.records[list])))
	if v, ok := tlv.Find(b, 0x80); ok && b[0] == 0x80 {
		return answer{v[0], uint16(v[1])<<8 | uint16(v[2]), [8]byte(v[3:11]), v[11:]}
	}
	var a answer
	for o, err := range tlv.All(b[2:]) {
		if err != nil {
			r.t.Fatal(err)
		}
		switch o.Tag {
		case 0x9F27:
			a.cid = o.Value[0]
		case 0x9F36:
			a.atc = uint16(o.Value[0])<<8 | uint16(o.Value[1])
		case 0x9F26:
			a.ac = [8]byte(o.Value)
		case 0x9F10:
			a.iad = o.Value
		}
	}
	return a
}

var approve = [4]byte{0x00, 0x80, 0x00, 0x00}

// finish brings the issuer's answer to the card and asks for the second
// cryptogram.
func (r *run) finish(data []byte, arc string, want byte) answer {
	r.t.Helper()
	r.term[0x8A] = fmt.Sprintf("%X", arc)
	if r.aip[0]&0x04 != 0 {
		if len(data) > 0 {
			send(r.t, r.card, apdu.ExternalAuthenticate(data))
		}
	} else {
		r.term[0x91] = fmt.Sprintf("%X", data)
	}
	return r.ask(want, 0x8D)
}

// One whole online transaction with each profile that gets so far: select, read,
// ARQC checked by the issuer, ARPC, TC checked by the issuer.
func TestOnlineTransactions(t *testing.T) {
	for _, p := range simcard.AllProfiles() {
		for n := range p.Applications {
			a := &p.Applications[n]
			if p.Blocked || a.Blocked || a.RefuseGPO || a.DeclineFirst || p.Name == "over-limit" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", p.Name, n+1), func(t *testing.T) {
				i := newIssuer(t, a)
				r := start(t, newCard(t, p, simcard.Options{}), n, sale())
				first := r.ask(apdu.RefARQC, 0x8C)
				if first.cid != 0x80 || first.ac != i.expected(r, first) {
					t.Fatalf("first: %+v, want an ARQC of %X", first, i.expected(r, first))
				}
				second := r.finish(i.answerTo(first, "00", approve), "00", apdu.RefTC)
				want, cvr := byte(0x40), byte(0x60)
				if a.DeclineSecond {
					want, cvr = 0x00, 0x20
				}
				if second.cid != want || second.ac != i.expected(r, second) {
					t.Errorf("second: %+v, want a %02X of %X", second, want, i.expected(r, second))
				}
				if second.iad[4] != cvr {
					t.Errorf("CVR % X, want %02X in its second byte", second.iad[3:], cvr)
				}
				if second.atc != first.atc || second.ac == first.ac {
					t.Error("counter moved, or the cryptogram did not")
				}
				// The transaction leaves no trace in the next one's CVR.
				if next := start(t, r.card, n, sale()).ask(apdu.RefARQC, 0x8C); next.iad[5]&^0x40 != 0 || next.atc != first.atc+1 {
					t.Errorf("next: %+v", next)
				}
			})
		}
	}
}

// Each bit of the issuer's answer, and each way in which the answer does not
// fit: never a TC.
func TestIssuerAuthentication(t *testing.T) {
	for _, name := range []string{"default", "cdol2", "sda", "long-pan"} {
		t.Run(name, func(t *testing.T) {
			p := profile(t, name)
			i := newIssuer(t, &p.Applications[0])
			c := newCard(t, p, simcard.Options{})
			try := func(what string, arc string, alter func(first answer, data []byte) []byte, want byte) answer {
				t.Helper()
				r := start(t, c, 0, sale())
				first := r.ask(apdu.RefARQC, 0x8C)
				second := r.finish(alter(first, i.answerTo(first, "00", approve)), arc, apdu.RefTC)
				if second.cid != want || second.ac != i.expected(r, second) {
					t.Errorf("%s: %+v, want CID %02X", what, second, want)
				}
				return second
			}
			same := func(_ answer, d []byte) []byte { return d }
			try("as it is", "00", same, 0x40)
			bits := 8 * len(i.answerTo(answer{}, "00", approve))
			for bit := range bits {
				second := try(fmt.Sprintf("bit %d", bit), "00", func(_ answer, d []byte) []byte {
					d[bit/8] ^= 0x80 >> (bit % 8)
					return d
				}, 0x03)
				if second.iad[4]&0x08 == 0 {
					t.Errorf("bit %d: the CVR does not tell of the failure", bit)
				}
			}
			if name == "cdol2" {
				// The terminal's list has zeros where there is no answer.
				try("none", "00", func(answer, []byte) []byte { return nil }, 0x00)
				try("another response code", "10", same, 0x03)
			} else {
				try("none", "00", func(answer, []byte) []byte { return nil }, 0x00)
			}
			try("declined by the issuer", "00", func(a answer, _ []byte) []byte { return i.answerTo(a, "05", [4]byte{}) },
				map[bool]byte{true: 0x03, false: 0x00}[name == "cdol2"])
			try("of another cryptogram", "00", func(a answer, _ []byte) []byte {
				a.ac[7] ^= 1
				return i.answerTo(a, "00", approve)
			}, 0x03)
		})
	}
}

// The failure of issuer authentication stays in the card until a transaction
// that succeeds, also when the terminal leaves the second GENERATE AC out.
func TestFailureIsRemembered(t *testing.T) {
	p := profile(t, "default")
	i := newIssuer(t, &p.Applications[0])
	c := newCard(t, p, simcard.Options{})
	r := start(t, c, 0, sale())
	r.ask(apdu.RefARQC, 0x8C)
	expect(t, c, apdu.ExternalAuthenticate(make([]byte, 8)), 0x6300)
	r = start(t, c, 0, sale())
	first := r.ask(apdu.RefTC, 0x8C)
	if first.cid != 0x80 || first.iad[5]&0x88 != 0x88 {
		t.Errorf("after the failure: %+v", first)
	}
	r.finish(i.answerTo(first, "00", approve), "00", apdu.RefTC)
	if a := start(t, c, 0, sale()).ask(apdu.RefTC, 0x8C); a.cid != 0x40 || a.iad[5] != 0 {
		t.Errorf("after the success: %+v", a)
	}
}

// A terminal that may approve without issuer authentication, if the card's
// issuer allows it.
func TestAuthOptional(t *testing.T) {
	p := profile(t, "default")
	p.Applications[0].AuthOptional = true
	r := start(t, newCard(t, p, simcard.Options{}), 0, sale())
	r.ask(apdu.RefARQC, 0x8C)
	if a := r.finish(nil, "00", apdu.RefTC); a.cid != 0x40 {
		t.Errorf("%+v", a)
	}
	if a := start(t, r.card, 0, sale()).ask(apdu.RefARQC, 0x8C); a.iad[5]&0x04 == 0 {
		t.Errorf("the CVR does not tell that issuer authentication was missing: %+v", a)
	}
}

// The card status update of ARPC method 2.
func TestCardStatusUpdate(t *testing.T) {
	p := profile(t, "offline-pin")
	i := newIssuer(t, &p.Applications[0])
	store := &memory{}
	c := newCard(t, p, simcard.Options{State: store})
	update := func(csu [4]byte) {
		t.Helper()
		r := start(t, c, 0, sale())
		first := r.ask(apdu.RefARQC, 0x8C)
		r.finish(i.answerTo(first, "00", csu), "00", apdu.RefTC)
	}
	reach(t, c, 3)
	expect(t, c, apdu.Verify(apdu.VerifyPlaintext, unhex(t, "249999FFFFFFFFFF")), 0x63C2)
	update([4]byte{0x01, 0x90, 0, 0})
	reach(t, c, 2)
	if got := must(t, c, apdu.GetData(0x9F17)); got[3] != 1 {
		t.Errorf("%d tries, want 1", got[3])
	}
	update([4]byte{0x0F, 0x90, 0, 0})
	reach(t, c, 2)
	if got := must(t, c, apdu.GetData(0x9F17)); got[3] != 3 {
		t.Errorf("%d tries, want the limit of 3", got[3])
	}
	update([4]byte{0, 0x88, 0, 0})
	if a := start(t, c, 0, sale()).ask(apdu.RefTC, 0x8C); a.cid != 0x80 {
		t.Errorf("told to go online at the next: %+v", a)
	}
	update([4]byte{0, 0xA0, 0, 0})
	expect(t, c, apdu.Select(p.Applications[0].AID, false), 0x6283)

	c = newCard(t, p, simcard.Options{})
	update([4]byte{0, 0xC0, 0, 0})
	expect(t, c, apdu.Select(p.Applications[0].AID, false), 0x6A81)
}

// memory is a StateStore for tests.
type memory struct{ b []byte }

func (m *memory) Load() ([]byte, error) { return m.b, nil }
func (m *memory) Save(b []byte) error   { m.b = bytes.Clone(b); return nil }

func TestScripts(t *testing.T) {
	p := profile(t, "offline-pin")
	i := newIssuer(t, &p.Applications[0])
	wrong := apdu.Verify(apdu.VerifyPlaintext, unhex(t, "249999FFFFFFFFFF"))
	right := apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF"))
	// before and after the second GENERATE AC: templates 71 and 72.
	online := func(c *simcard.Card, after bool) answer {
		t.Helper()
		r := start(t, c, 0, sale())
		a := r.ask(apdu.RefARQC, 0x8C)
		if after {
			r.finish(i.answerTo(a, "00", approve), "00", apdu.RefTC)
		}
		return a // the issuer made its scripts of the ARQC, whenever they come
	}
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%v", after), func(t *testing.T) {
			c := newCard(t, p, simcard.Options{})
			reach(t, c, 3)
			expect(t, c, wrong, 0x63C2)
			for _, n := range []int{4, 5, 8} {
				expect(t, c, wrong, map[int]apdu.Status{4: 0x63C1, 5: 0x63C2, 8: 0x63C2}[n])
				a := online(c, after)
				expect(t, c, i.script(a, apdu.INSPINChangeUnblock, 0, 0, nil, n), 0x9000)
				reach(t, c, 3)
			}
			expect(t, c, right, 0x9000)

			a := online(c, after)
			expect(t, c, i.script(a, apdu.INSPutData, 0x9F, 0x14, []byte{0}, 4), 0x9000)
			r := start(t, c, 0, sale())
			if !bytes.Equal(r.records[0x9F14], []byte{0}) {
				t.Errorf("lower limit % X", r.records[0x9F14])
			}
			if x := r.ask(apdu.RefTC, 0x8C); x.cid != 0x80 || x.iad[6]>>4 != 1 {
				t.Errorf("after PUT DATA: %+v", x)
			}

			a = online(c, after)
			expect(t, c, i.script(a, apdu.INSApplicationBlock, 0, 0, nil, 8), 0x9000)
			if !after {
				if x := (&run{t: t, card: c, term: sale(), app: &p.Applications[0], aip: r.aip, records: r.records}).ask(apdu.RefTC, 0x8D); x.cid != 0 {
					t.Errorf("blocked before the second: %+v", x)
				}
			}
			expect(t, c, apdu.Select(p.Applications[0].AID, false), 0x6283)
			// Unblocking is done with an AAC, which is all that the application gives.
			must(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}))
			u := (&run{t: t, card: c, term: sale(), app: &p.Applications[0], aip: r.aip, records: r.records})
			a = u.ask(apdu.RefAAC, 0x8C)
			expect(t, c, i.script(a, apdu.INSApplicationUnblock, 0, 0, nil, 8), 0x9000)
			expect(t, c, apdu.Select(p.Applications[0].AID, false), 0x9000)

			a = online(c, after)
			expect(t, c, i.script(a, apdu.INSCardBlock, 0, 0, nil, 8), 0x9000)
			expect(t, c, apdu.Select(p.Applications[0].AID, false), 0x6A81)
		})
	}
	// Declined without asking the issuer: a script has no business there.
	c := newCard(t, p, simcard.Options{})
	a := start(t, c, 0, sale()).ask(apdu.RefAAC, 0x8C)
	expect(t, c, i.script(a, apdu.INSApplicationBlock, 0, 0, nil, 8), 0x6985)
}

// A script command with any bit changed does nothing.
func TestScriptEachBit(t *testing.T) {
	p := profile(t, "default")
	i := newIssuer(t, &p.Applications[0])
	c := newCard(t, p, simcard.Options{})
	for bit := 0; ; bit++ {
		r := start(t, c, 0, sale())
		cmd := i.script(r.ask(apdu.RefARQC, 0x8C), apdu.INSPutData, 0x9F, 0x14, []byte{9}, 8)
		if bit == 8*len(cmd.Data) {
			break
		}
		cmd.Data[bit/8] ^= 0x80 >> (bit % 8)
		expect(t, c, cmd, 0x6988)
	}
	if r := start(t, c, 0, sale()); !bytes.Equal(r.records[0x9F14], []byte{3}) {
		t.Errorf("lower limit % X", r.records[0x9F14])
	}
	// Nor does one of another transaction.
	old := start(t, c, 0, sale()).ask(apdu.RefARQC, 0x8C)
	start(t, c, 0, sale()).ask(apdu.RefARQC, 0x8C)
	expect(t, c, i.script(old, apdu.INSPutData, 0x9F, 0x14, []byte{9}, 8), 0x6988)
}

// PIN CHANGE, as the issuer's side of cryptogram makes it: the new PIN works,
// the old one does not, and what is not right changes nothing.
func TestPINChange(t *testing.T) {
	for _, cvn := range []string{"10", "18", "22"} {
		for _, current := range []string{"", simcard.TestPIN, "1111"} {
			t.Run(cvn+"/"+current, func(t *testing.T) {
				p := profile(t, "offline-pin")
				a := &p.Applications[0]
				a.CVN = map[string]byte{"10": 0x0A, "18": 0x12, "22": 0x16}[cvn]
				if cvn == "10" {
					a.Session = "none"
				}
				scheme, err := cryptogram.ParseScheme(a.Derivation, a.Session, cvn)
				if err != nil {
					t.Fatal(err)
				}
				i := newIssuer(t, a)
				c := newCard(t, p, simcard.Options{})
				first := start(t, c, 0, sale()).ask(apdu.RefARQC, 0x8C)
				command, err := scheme.PINChange(cryptogram.Keys{AC: i.ac, SMI: i.smi, SMC: i.smc},
					cryptogram.Script{Transaction: cryptogram.Transaction{ATC: first.atc, AC: first.ac}},
					secret.NewBytes([]byte("987654")), secret.NewBytes([]byte(current)))
				if err != nil {
					t.Fatal(err)
				}
				want, old, changed := []byte{0x90, 0x00}, apdu.Status(0x63C2), apdu.Status(0x9000)
				if current == "1111" {
					want, old, changed = []byte{0x6A, 0x80}, 0x9000, 0x63C2
				}
				if got := c.Process(command); !bytes.Equal(got, want) {
					t.Errorf("% X, want % X", got, want)
				}
				reach(t, c, 3)
				expect(t, c, apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")), old)
				expect(t, c, apdu.Verify(apdu.VerifyPlaintext, unhex(t, "26987654FFFFFFFF")), changed)
			})
		}
	}
}
