package android

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
)

var (
	testNow       = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	testChallenge = bytes.Repeat([]byte{0xC5}, 32)
	testSigner    = [32]byte{0x51}
)

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

// readPEM reads certificates that google/android-key-attestation publishes with
// its tests: of a Pixel, February 2023.
func readPEM(t testing.TB, file string) [][]byte {
	t.Helper()
	rest, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		out = append(out, b.Bytes)
	}
}

// recordedAt is a day on which the recorded chain was valid.
var recordedAt = time.Date(2023, 3, 1, 0, 0, 0, 0, time.UTC)

const recordedSigner = "68856d1d06f637d6255face5b224db43a9514ace538bb1548b844480fcd85c87"

func recordedVerifier(t *testing.T, chain [][]byte, change func(*Config)) *Verifier {
	t.Helper()
	root, err := x509.ParseCertificate(chain[len(chain)-1])
	if err != nil {
		t.Fatal(err)
	}
	signer, err := hex.DecodeString(recordedSigner)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Roots: x509.NewCertPool(), Revocations: InsecureNoRevocations{}, Known: strangers, Now: func() time.Time { return recordedAt },
		Apps: []App{{Package: "com.google.attestationexample", Signers: [][32]byte{{}, [32]byte(signer)}}},
	}
	c.Roots.AddCert(root)
	if change != nil {
		change(&c)
	}
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRecordedChain judges a real device's certificates, up to Google's root.
func TestRecordedChain(t *testing.T) {
	chain := readPEM(t, "pixel.pem")
	if len(chain) != 5 {
		t.Fatalf("%d certificates", len(chain))
	}
	a, err := recordedVerifier(t, chain, nil).attested(t.Context(), chain[:4])
	if err != nil {
		t.Fatal(err)
	}
	n := func(v int64) *int64 { return &v }
	h := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := &KeyDescription{
		Version: 200, SecurityLevel: TrustedEnvironment, KeyMintVersion: 200, KeyMintSecurityLevel: TrustedEnvironment,
		Challenge: []byte("challenge"), UniqueID: []byte{},
		Software: AuthorizationList{Application: &ApplicationID{Packages: []Package{{"com.google.attestationexample", 1}}, Signers: [][]byte{h(recordedSigner)}}},
		Hardware: AuthorizationList{
			Purposes: []int64{2}, Digests: []int64{4}, Algorithm: n(3), Curve: n(1), Origin: n(0), OSPatch: n(202302), VendorPatch: n(20230205),
			RootOfTrust: &RootOfTrust{
				BootKey: h("26ac4c60beb1e378357cad0c3061347af8df6fbabbb0d8cea2445855ee01e368"), Locked: true, State: Verified,
				BootHash: h("eaa453395774dfa111215c607b7d09f12557f76515d1fa971696c71dab167e41"),
			},
		},
	}
	if d := cmp.Diff(want, a.description); d != "" {
		t.Errorf("description (-want +got):\n%s", d)
	}
	if end := time.Date(2023, 3, 24, 1, 33, 52, 0, time.UTC); !a.until.Equal(end) {
		t.Errorf("it ends %v, want %v", a.until, end)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   channel.Reason
	}{
		"StrongBox only": {func(c *Config) { c.MinLevel = StrongBox }, channel.ReasonAssurance},
		"newer system":   {func(c *Config) { c.MinOSPatch = 202303 }, channel.ReasonPlatform},
		"newer vendor":   {func(c *Config) { c.MinVendorPatch = 20230206 }, channel.ReasonPlatform},
		"as new":         {func(c *Config) { c.MinOSPatch, c.MinVendorPatch = 202302, 20230205 }, ""},
		"newer app":      {func(c *Config) { c.Apps[0].MinVersion = 2 }, channel.ReasonApp},
		"another app":    {func(c *Config) { c.Apps[0].Package = "com.google.attestationexampl" }, channel.ReasonApp},
		"another signer": {func(c *Config) { c.Apps[0].Signers = c.Apps[0].Signers[:1] }, channel.ReasonApp},
		"a month later":  {func(c *Config) { c.Now = func() time.Time { return recordedAt.AddDate(0, 1, 0) } }, channel.ReasonExpired},
		"an authority revoked": {func(c *Config) {
			c.Revocations = list(t, `{"entries":{"d05facf443ed535548d994f6845e6d3c":{"status":"REVOKED"}}}`)
		}, channel.ReasonRevoked},
		"another revoked": {func(c *Config) {
			c.Revocations = list(t, `{"entries":{"d05facf443ed535548d994f6845e6d3d":{"status":"REVOKED"}}}`)
		}, ""},
	} {
		if _, err := recordedVerifier(t, chain, c.change).attested(t.Context(), chain[:4]); reason(t, err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func list(t *testing.T, s string) *StatusList {
	t.Helper()
	l, err := ParseStatusList(strings.NewReader(s), recordedAt, 24*time.Hour, func() time.Time { return recordedAt })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestAttestedKeyIsNoAuthority: a key in the same secure hardware that may sign
// certificates is judged for itself (it may do more than sign), and vouches for
// nothing.
func TestAttestedKeyIsNoAuthority(t *testing.T) {
	chain := readPEM(t, "pixel.pem")
	other := readPEM(t, "signed-by-attested-key.pem")
	v := recordedVerifier(t, chain, nil)
	if _, err := v.attested(t.Context(), append(other, chain[1:4]...)); reason(t, err) != channel.ReasonFormat {
		t.Errorf("an attest key as the device's key: %v", err)
	}
	m := newMaker(t)
	m.forge = true
	if _, err := m.verifier(t, nil).Verify(t.Context(), testChallenge, m.evidence(t)); reason(t, err) != channel.ReasonChain {
		t.Errorf("certified by an attested key: %v", err)
	}
}

// maker makes attestations as a device does, with keys in the open, and lets a
// test alter each part.
type maker struct {
	root, middle, key *ecdsa.PrivateKey
	rootCert          *x509.Certificate
	serial            int64
	until             time.Time
	version           int64
	level, mintLevel  int
	challenge         []byte
	software          map[int]any
	hardware          map[int]any
	trust             []any
	packages          []any
	signers           []any
	after             []byte
	sign              []byte
	// forge has an attested key certify the leaf.
	forge bool
	plain bool
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Elements of DER by hand: Go's encoder knows no optional fields in any order.
func element(class, tag int, constructed bool, content []byte) []byte {
	b, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: constructed, Bytes: content})
	if err != nil {
		panic(err)
	}
	return b
}

type set []any
type sequence []any
type null struct{}
type raw []byte

func encode(v any) []byte {
	switch v := v.(type) {
	case set:
		return element(0, asn1.TagSet, true, encodeAll(v))
	case sequence:
		return element(0, asn1.TagSequence, true, encodeAll(v))
	case null:
		return []byte{5, 0}
	case raw:
		return v
	}
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func encodeAll(list []any) (b []byte) {
	for _, v := range list {
		b = append(b, encode(v)...)
	}
	return b
}

func authorizations(m map[int]any) []byte {
	var b []byte
	for tag := range 1000 {
		if v, ok := m[tag]; ok {
			b = append(b, element(asn1.ClassContextSpecific, tag, true, encode(v))...)
		}
	}
	return element(0, asn1.TagSequence, true, b)
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{
		root: newKey(t), middle: newKey(t), key: newKey(t), serial: 0xBEEF, until: testNow.Add(24 * time.Hour), version: 300, level: 1, mintLevel: 1,
		challenge: testChallenge,
		software:  map[int]any{701: 1700000000000},
		hardware:  map[int]any{1: set{2}, 2: 3, 3: 256, 5: set{4}, 10: 1, 503: null{}, 702: 0, 705: 140000, 706: 202611, 718: 20261105, 719: 20261105},
		trust:     []any{bytes.Repeat([]byte{0xB0}, 32), true, asn1.Enumerated(0), bytes.Repeat([]byte{0xB1}, 32)},
		packages:  []any{sequence{[]byte("org.example.till"), 7}},
		signers:   []any{testSigner[:]},
	}
	m.rootCert = m.certify(t, authority(1, "root"), nil, &m.root.PublicKey, m.root)
	return m
}

func authority(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
}

func (m *maker) certify(t testing.TB, c, parent *x509.Certificate, pub any, by *ecdsa.PrivateKey) *x509.Certificate {
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

func (m *maker) description() []byte {
	software, hardware := map[int]any{}, map[int]any{}
	for k, v := range m.software {
		software[k] = v
	}
	for k, v := range m.hardware {
		hardware[k] = v
	}
	if m.packages != nil {
		software[709] = encode(sequence{set(m.packages), set(m.signers)})
	}
	if m.trust != nil {
		hardware[704] = sequence(m.trust)
	}
	return append(encode(sequence{
		m.version, asn1.Enumerated(m.level), m.version, asn1.Enumerated(m.mintLevel), m.challenge, []byte{}, raw(authorizations(software)), raw(authorizations(hardware)),
	}), m.after...)
}

func (m *maker) evidence(t testing.TB) channel.Evidence { return m.answer(t, testChallenge) }

// answer signs a challenge; the certificates answer m.challenge.
func (m *maker) answer(t testing.TB, challenge []byte) channel.Evidence {
	t.Helper()
	between := authority(m.serial, "TEE")
	if m.forge {
		between.ExtraExtensions = []pkix.Extension{{Id: oidKeyDescription, Value: m.description()}}
	}
	middle := m.certify(t, between, m.rootCert, &m.middle.PublicKey, m.root)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Android Keystore Key"}, NotBefore: time.Unix(0, 0), NotAfter: m.until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidKeyDescription, Value: m.description()}},
	}
	if m.plain {
		leaf.ExtraExtensions = nil
	}
	sum := sha256.Sum256(append([]byte(signLabel), challenge...))
	sig, err := ecdsa.SignASN1(rand.Reader, m.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if m.sign != nil {
		sig = m.sign
	}
	s := &Statement{Signature: sig, Certificates: [][]byte{m.certify(t, leaf, middle, &m.key.PublicKey, m.middle).Raw, middle.Raw}}
	b, err := s.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return channel.Evidence{Type: Type, Statement: b}
}

func (m *maker) verifier(t testing.TB, change func(*Config)) *Verifier {
	t.Helper()
	c := Config{
		Roots: x509.NewCertPool(), Revocations: InsecureNoRevocations{}, Known: strangers, Now: func() time.Time { return testNow },
		Apps: []App{{Package: "org.example.other", Signers: [][32]byte{{}}}, {Package: "org.example.till", Signers: [][32]byte{testSigner}, MinVersion: 7}},
	}
	c.Roots.AddCert(m.rootCert)
	if change != nil {
		change(&c)
	}
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	for level, want := range map[[2]int]channel.Assurance{
		{1, 1}: channel.AssuranceIsolated, {2, 2}: channel.AssuranceHardware,
		// Told by a StrongBox of a key beside it, and the other way round.
		{2, 1}: channel.AssuranceIsolated, {1, 2}: channel.AssuranceIsolated,
	} {
		m := newMaker(t)
		m.level, m.mintLevel = level[0], level[1]
		got, err := m.verifier(t, nil).Verify(t.Context(), testChallenge, m.evidence(t))
		if err != nil {
			t.Fatal(err)
		}
		pub, err := x509.MarshalPKIXPublicKey(&m.key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(pub)
		if d := cmp.Diff(channel.Claims{Assurance: want, Device: hex.EncodeToString(sum[:16]), Expires: m.until}, got); d != "" {
			t.Errorf("claims (-want +got):\n%s", d)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *maker)
		policy func(c *Config)
		want   channel.Reason
	}{
		"nothing":                    {},
		"software key":               {func(m *maker) { m.level, m.mintLevel = 0, 0 }, nil, channel.ReasonAssurance},
		"attested by software":       {func(m *maker) { m.level = 0 }, nil, channel.ReasonAssurance},
		"kept by software":           {func(m *maker) { m.mintLevel = 0 }, nil, channel.ReasonAssurance},
		"may decrypt too":            {func(m *maker) { m.hardware[1] = set{2, 1} }, nil, channel.ReasonFormat},
		"may attest":                 {func(m *maker) { m.hardware[1] = set{7} }, nil, channel.ReasonFormat},
		"RSA by its own word":        {func(m *maker) { m.hardware[2] = 1 }, nil, channel.ReasonFormat},
		"purpose by the system only": {func(m *maker) { delete(m.hardware, 1); m.software[1] = set{2} }, nil, channel.ReasonFormat},
		"imported":                   {func(m *maker) { m.hardware[702] = 2 }, nil, channel.ReasonAssurance},
		"origin by the system only":  {func(m *maker) { delete(m.hardware, 702); m.software[702] = 0 }, nil, channel.ReasonAssurance},
		"any app's":                  {func(m *maker) { m.hardware[600] = null{} }, nil, channel.ReasonApp},
		"unlocked":                   {func(m *maker) { m.trust[1] = false }, nil, channel.ReasonPlatform},
		"self-signed":                {func(m *maker) { m.trust[2] = asn1.Enumerated(1) }, nil, channel.ReasonPlatform},
		"self-signed, key known": {func(m *maker) { m.trust[2] = asn1.Enumerated(1) }, func(c *Config) {
			c.BootKeys = [][]byte{bytes.Repeat([]byte{0xB0}, 32)}
		}, ""},
		"unverified, key known": {func(m *maker) { m.trust[2] = asn1.Enumerated(2) }, func(c *Config) {
			c.BootKeys = [][]byte{bytes.Repeat([]byte{0xB0}, 32)}
		}, channel.ReasonPlatform},
		"boot failed":             {func(m *maker) { m.trust[2] = asn1.Enumerated(3) }, nil, channel.ReasonPlatform},
		"no root of trust":        {func(m *maker) { m.trust = nil }, nil, channel.ReasonPlatform},
		"boot by the system only": {func(m *maker) { m.software[704] = sequence(m.trust); m.trust = nil }, nil, channel.ReasonPlatform},
		"no patch level":          {func(m *maker) { delete(m.hardware, 706) }, func(c *Config) { c.MinOSPatch = 202601 }, channel.ReasonPlatform},
		"no app":                  {func(m *maker) { m.packages = nil }, nil, channel.ReasonApp},
		"two packages":            {func(m *maker) { m.packages = append(m.packages, sequence{[]byte("org.example.evil"), 1}) }, nil, channel.ReasonApp},
		"old app":                 {func(m *maker) { m.packages = []any{sequence{[]byte("org.example.till"), 6}} }, nil, channel.ReasonApp},
		"unsigned app":            {func(m *maker) { m.signers = nil }, nil, channel.ReasonApp},
		"a second signer":         {func(m *maker) { m.signers = append(m.signers, make([]byte, 32)) }, nil, channel.ReasonApp},
		"another challenge":       {func(m *maker) { m.challenge = []byte("older") }, nil, channel.ReasonChallenge},
		"signature of another":    {func(m *maker) { m.sign = []byte{0x30, 6, 2, 1, 1, 2, 1, 1} }, nil, channel.ReasonSignature},
		"no attestation":          {func(m *maker) { m.plain = true }, nil, channel.ReasonFormat},
		"over":                    {func(m *maker) { m.until = testNow.Add(-time.Second) }, nil, channel.ReasonExpired},
		"unknown version":         {func(m *maker) { m.version = 201 }, nil, channel.ReasonFormat},
		"unknown level":           {func(m *maker) { m.level = 3 }, nil, channel.ReasonFormat},
		"unknown tag":             {func(m *maker) { m.hardware[999] = null{} }, nil, channel.ReasonFormat},
		"number for a set":        {func(m *maker) { m.hardware[1] = 2 }, nil, channel.ReasonFormat},
		"null with content":       {func(m *maker) { m.hardware[503] = raw{5, 1, 0} }, nil, channel.ReasonFormat},
		"bytes after":             {func(m *maker) { m.after = []byte{5, 0} }, nil, channel.ReasonFormat},
		"no boot hash":            {func(m *maker) { m.trust = m.trust[:3] }, nil, channel.ReasonFormat},
		"no boot hash, version 2": {func(m *maker) { m.trust = m.trust[:3]; m.version = 2 }, nil, ""},
		"revoked in hex": {nil, func(c *Config) {
			c.Revocations = statusList(`{"entries":{"beef":{"status":"SUSPENDED"}}}`, testNow)
		}, channel.ReasonRevoked},
		"revoked in decimal": {nil, func(c *Config) {
			c.Revocations = statusList(`{"entries":{"48879":{"status":"REVOKED"}}}`, testNow)
		}, channel.ReasonRevoked},
		"not revoked": {nil, func(c *Config) { c.Revocations = statusList(`{"entries":{}}`, testNow) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			if c.change != nil {
				c.change(m)
			}
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
	if _, err := other.verifier(t, nil).Verify(t.Context(), testChallenge, m.evidence(t)); reason(t, err) != channel.ReasonChain {
		t.Errorf("another root's: %v", err)
	}
	if _, err := m.verifier(t, nil).Verify(t.Context(), testChallenge, channel.Evidence{Type: "software"}); reason(t, err) != channel.ReasonType {
		t.Errorf("another type: %v", err)
	}
}

func statusList(s string, fetched time.Time) Revocations {
	l, err := ParseStatusList(strings.NewReader(s), fetched, time.Hour, func() time.Time { return testNow })
	if err != nil {
		panic(err)
	}
	return l
}

// strangers knows no device.
func strangers(context.Context, string) (bool, error) { return false, nil }

// TestGate: a device that was attested when it enrolled opens a channel and attests
// again inside it, by the one key that it has; one that is not known by then does
// not.
func TestGate(t *testing.T) {
	for _, known := range []bool{true, false} {
		m := newMaker(t)
		m.challenge = testChallenge
		enrolled := ""
		v := m.verifier(t, func(c *Config) {
			c.Known = func(_ context.Context, device string) (bool, error) { return device == enrolled, nil }
		})
		claims, err := v.Verify(t.Context(), testChallenge, m.evidence(t))
		if err != nil {
			t.Fatal(err)
		}
		if known {
			enrolled = claims.Device
		}
		g, err := attest.NewGate(attest.GateConfig{Verifier: v, Binding: []byte("binding"), Device: claims, Now: func() time.Time { return testNow }})
		if err != nil {
			t.Fatal(err)
		}
		for _, moment := range []attest.Moment{attest.BeforePayment, attest.BeforePIN} {
			q, err := g.Ask(moment, "order-1")
			if err != nil {
				t.Fatal(err)
			}
			challenge, err := q.Challenge()
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Judge(t.Context(), m.answer(t, challenge))
			if want := map[bool]channel.Reason{false: channel.ReasonChallenge}[known]; reason(t, err) != want {
				t.Errorf("known %v, before the %s: %v", known, moment, err)
			}
		}
	}
}

// TestKnownKey: a key that was attested before answers by its signature alone.
func TestKnownKey(t *testing.T) {
	m := newMaker(t)
	m.challenge = []byte("at enrolment")
	down := errors.New("dial tcp")
	for name, c := range map[string]struct {
		known bool
		err   error
		want  channel.Reason
	}{"known": {true, nil, ""}, "unknown": {false, nil, channel.ReasonChallenge}, "nobody knows": {false, down, "unavailable"}} {
		v := m.verifier(t, func(cfg *Config) {
			cfg.Known = func(_ context.Context, device string) (bool, error) { return c.known && len(device) == 32, c.err }
		})
		_, err := v.Verify(t.Context(), testChallenge, m.evidence(t))
		if c.err != nil {
			if !errors.Is(err, channel.ErrVerifierUnavailable) || errors.Is(err, channel.ErrEvidence) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if reason(t, err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestStatusList: a list that is old, or is none, is not held against a device.
func TestStatusList(t *testing.T) {
	m := newMaker(t)
	for _, fetched := range []time.Time{testNow.Add(-time.Hour), testNow.Add(2 * time.Hour)} {
		v := m.verifier(t, func(c *Config) { c.Revocations = statusList(`{"entries":{}}`, fetched) })
		if _, err := v.Verify(t.Context(), testChallenge, m.evidence(t)); !errors.Is(err, channel.ErrVerifierUnavailable) || !errors.Is(err, ErrStatusList) {
			t.Errorf("fetched at %v: %v", fetched, err)
		}
	}
	for _, s := range []string{"", "{}", `{"entries":[]}`, `{"entries":{`} {
		if _, err := ParseStatusList(strings.NewReader(s), testNow, time.Hour, nil); !errors.Is(err, ErrStatusList) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestEveryByteCounts flips a bit of each byte and cuts after each.
func TestEveryByteCounts(t *testing.T) {
	m := newMaker(t)
	v, good := m.verifier(t, nil), m.evidence(t)
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
	description := m.description()
	for i := range description {
		if _, err := ParseKeyDescription(description[:i]); reason(t, err) != channel.ReasonFormat {
			t.Errorf("description cut to %d: %v", i, err)
		}
	}
	twice := bytes.Clone(authorizations(map[int]any{2: 3}))
	list := &AuthorizationList{}
	if err := list.parse(&der{rest: append(twice[2:], twice[2:]...)}, 300); reason(t, err) != channel.ReasonFormat {
		t.Errorf("an authorization twice: %v", err)
	}
}

func TestNoDefaults(t *testing.T) {
	m := newMaker(t)
	good := m.verifier(t, nil).c
	for name, change := range map[string]func(*Config){
		"roots":       func(c *Config) { c.Roots = nil },
		"revocations": func(c *Config) { c.Revocations = nil },
		"apps":        func(c *Config) { c.Apps = nil },
		"a signer":    func(c *Config) { c.Apps = []App{{Package: "x"}} },
		"known":       func(c *Config) { c.Known = nil },
		"a level":     func(c *Config) { c.MinLevel = 3 },
	} {
		c := good
		change(&c)
		if _, err := NewVerifier(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStatement(f *testing.F) {
	m := newMaker(f)
	f.Add(m.evidence(f).Statement)
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
	})
}

func FuzzKeyDescription(f *testing.F) {
	f.Add(newMaker(f).description())
	leaf, err := x509.ParseCertificate(readPEM(f, "pixel.pem")[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(extension(leaf))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeyDescription(b)
		if err != nil {
			reason(t, err)
			return
		}
		if !versions[k.Version] || k.SecurityLevel > StrongBox {
			t.Errorf("taken: %+v", k)
		}
	})
}
