package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
)

var (
	testNow       = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	testChallenge = bytes.Repeat([]byte{0xC5}, 32)
)

// reason is why evidence was refused.
func reason(t *testing.T, err error) channel.Reason {
	t.Helper()
	var e *channel.EvidenceError
	if err != nil && !errors.As(err, &e) {
		t.Errorf("not a judgement: %v", err)
	}
	if e == nil {
		return ""
	}
	return e.Reason
}

// maker makes quotes as a TPM does, with keys in the open, and lets a test alter
// each part.
type maker struct {
	root, ak   *ecdsa.PrivateKey
	rootCert   *x509.Certificate
	leaf       *x509.Certificate
	challenge  []byte
	magic      uint32
	kind       uint16
	bank       uint16
	banks      uint32
	selection  []byte
	values     []PCR
	quoted     []PCR
	after      []byte
	withMiddle bool
	// usages are those that the authority between is limited to.
	usages  []x509.ExtKeyUsage
	unknown []asn1.ObjectIdentifier
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{
		root: newKey(t), ak: newKey(t), challenge: testChallenge, magic: generated, kind: attestQuote, bank: algSHA256, banks: 1,
		selection: []byte{0x81, 0, 1}, values: []PCR{{1}, {2}, {3}},
	}
	m.quoted = m.values
	m.leaf = &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "AK"}, NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidAK}, BasicConstraintsValid: true,
	}
	m.rootCert = m.certify(t, authority(1), nil, &m.root.PublicKey, m.root)
	return m
}

func authority(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "authority"}, NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
}

func (m *maker) certify(t testing.TB, c, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *maker) attest() []byte {
	sized := func(dst, b []byte) []byte { return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...) }
	b := binary.BigEndian.AppendUint32(nil, m.magic)
	b = binary.BigEndian.AppendUint16(b, m.kind)
	b = sized(b, bytes.Repeat([]byte{0x0B}, 34))
	b = sized(b, m.challenge)
	b = append(b, make([]byte, clockLen+firmwareLen)...)
	b = binary.BigEndian.AppendUint32(b, m.banks)
	b = binary.BigEndian.AppendUint16(b, m.bank)
	b = append(append(b, byte(len(m.selection))), m.selection...)
	all := sha256.New()
	for _, v := range m.quoted {
		all.Write(v[:])
	}
	return append(sized(b, all.Sum(nil)), m.after...)
}

func (m *maker) evidence(t testing.TB) channel.Evidence {
	t.Helper()
	s := &Statement{Attest: m.attest(), Values: m.values}
	sum := sha256.Sum256(s.Attest)
	for {
		var err error
		// Shorter numbers would need less of the format.
		if s.R, s.S, err = ecdsa.Sign(rand.Reader, m.ak, sum[:]); err != nil {
			t.Fatal(err)
		}
		if len(s.R.Bytes()) == scalarLen && len(s.S.Bytes()) == scalarLen {
			break
		}
	}
	by, parent := m.root, m.rootCert
	if m.withMiddle {
		by = newKey(t)
		middle := authority(7)
		middle.ExtKeyUsage, middle.UnknownExtKeyUsage = m.usages, m.unknown
		parent = m.certify(t, middle, m.rootCert, &by.PublicKey, m.root)
	}
	s.Certificates = [][]byte{m.certify(t, m.leaf, parent, &m.ak.PublicKey, by).Raw}
	if m.withMiddle {
		s.Certificates = append(s.Certificates, parent.Raw)
	}
	b, err := s.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return channel.Evidence{Type: Type, Statement: b}
}

func (m *maker) verifier(t testing.TB, p PCRPolicy) *Verifier {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(m.rootCert)
	v, err := NewVerifier(Config{Roots: pool, PCRs: p, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	m := newMaker(t)
	got, err := m.verifier(t, Golden{0: {{9}, {1}}, 16: {{3}}}).Verify(t.Context(), testChallenge, m.evidence(t))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&m.ak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pub)
	want := channel.Claims{Assurance: channel.AssuranceHardware, Device: hex.EncodeToString(sum[:16]), Expires: m.leaf.NotAfter}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("claims (-want +got):\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	golden := Golden{0: {{1}}, 16: {{3}}}
	for name, c := range map[string]struct {
		change func(m *maker)
		policy PCRPolicy
		want   channel.Reason
	}{
		"an authority between": {func(m *maker) { m.withMiddle = true }, golden, ""},
		"an authority for AKs between": {func(m *maker) {
			m.withMiddle, m.unknown = true, []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}, oidAK}
		}, golden, ""},
		"an authority for anything between": {func(m *maker) { m.withMiddle, m.usages = true, []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, golden, ""},
		"an authority for EKs between":      {func(m *maker) { m.withMiddle, m.unknown = true, []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}} }, golden, channel.ReasonChain},
		"an authority for TLS between": {func(m *maker) {
			m.withMiddle, m.usages = true, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		}, golden, channel.ReasonChain},
		"any registers":               {func(m *maker) { m.values = []PCR{{7}, {8}, {9}}; m.quoted = m.values }, InsecureAnyPCRs{}, ""},
		"another challenge":           {func(m *maker) { m.challenge = bytes.Repeat([]byte{0xC6}, 32) }, golden, channel.ReasonChallenge},
		"a longer challenge":          {func(m *maker) { m.challenge = append(bytes.Clone(testChallenge), 0) }, golden, channel.ReasonChallenge},
		"not a TPM's":                 {func(m *maker) { m.magic++ }, golden, channel.ReasonFormat},
		"a certification":             {func(m *maker) { m.kind = 0x8017 }, golden, channel.ReasonFormat},
		"SHA-1 bank":                  {func(m *maker) { m.bank = 4 }, golden, channel.ReasonFormat},
		"two banks":                   {func(m *maker) { m.banks = 2 }, golden, channel.ReasonFormat},
		"no registers":                {func(m *maker) { m.selection = nil }, golden, channel.ReasonFormat},
		"more than quoted":            {func(m *maker) { m.after = []byte{0} }, golden, channel.ReasonFormat},
		"fewer registers selected":    {func(m *maker) { m.selection = []byte{0x01, 0, 1} }, golden, channel.ReasonFormat},
		"other registers selected":    {func(m *maker) { m.selection = []byte{0x82, 0, 1} }, golden, channel.ReasonPlatform},
		"values that were not quoted": {func(m *maker) { m.values = []PCR{{1}, {9}, {3}} }, golden, channel.ReasonSignature},
		"another platform":            {func(m *maker) { m.values = []PCR{{1}, {2}, {4}}; m.quoted = m.values }, golden, channel.ReasonPlatform},
		"registers in another order":  {func(m *maker) { m.values = []PCR{{3}, {2}, {1}}; m.quoted = m.values }, golden, channel.ReasonPlatform},
		"a register not quoted":       {func(*maker) {}, Golden{5: {{1}}}, channel.ReasonPlatform},
		"another AK":                  {func(m *maker) { m.leaf.UnknownExtKeyUsage = nil }, golden, channel.ReasonChain},
		"an authority as AK":          {func(m *maker) { m.leaf.IsCA = true }, golden, channel.ReasonChain},
		"not for signing":             {func(m *maker) { m.leaf.KeyUsage = x509.KeyUsageKeyAgreement }, golden, channel.ReasonChain},
		"certified no more":           {func(m *maker) { m.leaf.NotAfter = testNow.Add(-time.Second) }, golden, channel.ReasonExpired},
		"certified not yet":           {func(m *maker) { m.leaf.NotBefore = testNow.Add(time.Second) }, golden, channel.ReasonExpired},
		"critical unknown": {func(m *maker) {
			m.leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, golden, channel.ReasonChain},
		"a TPM's name, critical": {func(m *maker) {
			m.leaf.ExtraExtensions = []pkix.Extension{{Id: oidSAN, Critical: true, Value: []byte{0x30, 0x04, 0xA4, 0x02, 0x30, 0x00}}}
		}, golden, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			c.change(m)
			claims, err := m.verifier(t, c.policy).Verify(t.Context(), testChallenge, m.evidence(t))
			if got := reason(t, err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
			if (claims == channel.Claims{}) == (err == nil) {
				t.Errorf("claims %+v with %v", claims, err)
			}
		})
	}
	m, other := newMaker(t), newMaker(t)
	if _, err := other.verifier(t, golden).Verify(t.Context(), testChallenge, m.evidence(t)); reason(t, err) != channel.ReasonChain {
		t.Errorf("another authority's: %v", err)
	}
	e := m.evidence(t)
	e.Type = "software"
	if _, err := m.verifier(t, golden).Verify(t.Context(), testChallenge, e); reason(t, err) != channel.ReasonType {
		t.Errorf("another type: %v", err)
	}
	s, err := ParseStatement(m.evidence(t).Statement)
	if err != nil {
		t.Fatal(err)
	}
	s.Certificates = nil
	if e.Statement, err = s.Append(nil); err != nil {
		t.Fatal(err)
	}
	e.Type = Type
	if _, err := m.verifier(t, golden).Verify(t.Context(), testChallenge, e); reason(t, err) != channel.ReasonChain {
		t.Errorf("no certificate: %v", err)
	}
}

// broken is a policy whose database is away.
type broken struct{}

func (broken) Accept(context.Context, PCRs) error { return errors.New("dial tcp") }

// TestPolicyCantBeAsked: that is not held against the device.
func TestPolicyCantBeAsked(t *testing.T) {
	m := newMaker(t)
	for _, p := range []PCRPolicy{broken{}, Golden{}} {
		if _, err := m.verifier(t, p).Verify(t.Context(), testChallenge, m.evidence(t)); !errors.Is(err, channel.ErrVerifierUnavailable) || errors.Is(err, channel.ErrEvidence) {
			t.Errorf("%T: %v", p, err)
		}
	}
}

// TestEveryByteCounts flips a bit of each byte and cuts after each.
func TestEveryByteCounts(t *testing.T) {
	m := newMaker(t)
	v, good := m.verifier(t, Golden{0: {{1}}}), m.evidence(t)
	for i := range good.Statement {
		b := bytes.Clone(good.Statement)
		b[i] ^= 1 << (i % 8)
		if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: Type, Statement: b}); reason(t, err) == "" {
			t.Errorf("byte %d altered: taken", i)
		}
		if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: Type, Statement: good.Statement[:i]}); reason(t, err) != channel.ReasonFormat {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: Type, Statement: append(bytes.Clone(good.Statement), 0)}); reason(t, err) != channel.ReasonFormat {
		t.Errorf("a byte more: %v", err)
	}
}

// recorded is a quote of a software TPM 2.0 (swtpm 0.7.1), over PCRs 0, 7 and
// 16, 16 extended once; tpmdevice's test writes it.
type recorded struct {
	Challenge, Statement, Root string
	PCR16                      string
	At                         time.Time
}

func readRecorded(t testing.TB) (challenge, statement []byte, pcr16 PCR, pool *x509.CertPool, at time.Time) {
	t.Helper()
	raw, err := os.ReadFile("testdata/quote.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	var fields [4][]byte
	for i, s := range []string{r.Challenge, r.Statement, r.Root, r.PCR16} {
		if fields[i], err = hex.DecodeString(s); err != nil {
			t.Fatal(err)
		}
	}
	root, err := x509.ParseCertificate(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(root)
	return fields[0], fields[1], PCR(fields[3]), pool, r.At
}

// TestRecordedQuote judges what a TPM said.
func TestRecordedQuote(t *testing.T) {
	challenge, statement, pcr16, pool, at := readRecorded(t)
	// Registers 0 and 7 of a machine without firmware are zero; 16 is one
	// extension of zero, SHA-256 of both.
	want := sha256.Sum256(append(make([]byte, 32), bytes.Repeat([]byte{0x5A}, 32)...))
	if pcr16 != want {
		t.Errorf("PCR 16 is %x, want %x", pcr16, want)
	}
	v, err := NewVerifier(Config{Roots: pool, PCRs: Golden{0: {{}}, 7: {{}}, 16: {want}}, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), challenge, channel.Evidence{Type: Type, Statement: statement}); err != nil {
		t.Error(err)
	}
	challenge[31] ^= 1
	if _, err := v.Verify(t.Context(), challenge, channel.Evidence{Type: Type, Statement: statement}); reason(t, err) != channel.ReasonChallenge {
		t.Errorf("another challenge: %v", err)
	}
}

func TestNoDefaults(t *testing.T) {
	for name, c := range map[string]Config{"no roots": {PCRs: InsecureAnyPCRs{}}, "no policy": {Roots: x509.NewCertPool()}} {
		if _, err := NewVerifier(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]*Statement{
		"no signature":   {},
		"long signature": {R: new(big.Int).Lsh(big.NewInt(1), 256), S: big.NewInt(1)},
		"registers":      {R: big.NewInt(1), S: big.NewInt(1), Values: make([]PCR, 25)},
	} {
		if _, err := s.Append(nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStatement(f *testing.F) {
	f.Add(newMaker(f).evidence(f).Statement)
	_, recorded, _, _, _ := readRecorded(f)
	f.Add(recorded)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatement(b)
		if err != nil {
			reason(t, err)
			return
		}
		back, err := s.Append(nil)
		if err != nil || !bytes.Equal(b, back) {
			t.Errorf("back as %x, %v", back, err)
		}
		if _, err := parseQuote(s.Attest); err != nil {
			reason(t, err)
		}
	})
}
