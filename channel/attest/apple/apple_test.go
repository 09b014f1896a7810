package apple

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
)

var (
	testNow       = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	testChallenge = bytes.Repeat([]byte{0xC5}, 32)
)

const testApp = "TEAM123456.org.example.till"

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

// recording is an attestation and an assertion of a device with iOS 14.4, which
// veehaitch/devicecheck-appattest publishes with its tests. The receipt, which
// nothing here looks at, is left out of the attestation.
type recording struct {
	appID                                          string
	challenge, keyID, attestation, assertion, root []byte
}

func readRecording(t testing.TB) recording {
	t.Helper()
	raw, err := os.ReadFile("testdata/ios-14.4.json")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	r := recording{appID: m["app_id"]}
	for name, into := range map[string]*[]byte{
		"client_data_hash": &r.challenge, "key_id": &r.keyID, "attestation": &r.attestation, "assertion": &r.assertion, "root": &r.root,
	} {
		if *into, err = hex.DecodeString(m[name]); err != nil || len(*into) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return r
}

func statement(kind byte, id, object []byte) channel.Evidence {
	return channel.Evidence{Type: Type, Statement: append(append([]byte{statementVersion, kind}, id...), object...)}
}

// TestRecordedDevice judges what a real device and Apple said, up to Apple's
// root.
func TestRecordedDevice(t *testing.T) {
	r := readRecording(t)
	root, err := x509.ParseCertificate(r.root)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Roots: x509.NewCertPool(), Keys: &MemoryKeys{}, AppIDs: []string{"OTHER", r.appID}, Development: true,
		Now: func() time.Time { return time.Date(2021, 1, 23, 12, 13, 34, 0, time.UTC) },
	}
	c.Roots.AddCert(root)
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), r.challenge, statement(kindAssertion, r.keyID, r.assertion)); reason(t, err) != channel.ReasonDevice {
		t.Errorf("an assertion before the attestation: %v", err)
	}
	got, err := v.Verify(t.Context(), r.challenge, statement(kindAttestation, r.keyID, r.attestation))
	if err != nil {
		t.Fatal(err)
	}
	want := channel.Claims{Assurance: channel.AssuranceIsolated, Device: hex.EncodeToString(r.keyID[:16]), Expires: time.Date(2021, 1, 25, 12, 13, 35, 0, time.UTC)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("claims (-want +got):\n%s", d)
	}
	other := sha256.Sum256([]byte("fporfplezruw"))
	if _, err := v.Verify(t.Context(), other[:], statement(kindAttestation, r.keyID, r.attestation)); reason(t, err) != channel.ReasonChallenge {
		t.Errorf("an attestation for another challenge: %v", err)
	}
	if _, err := v.Verify(t.Context(), other[:], statement(kindAssertion, r.keyID, r.assertion)); reason(t, err) != channel.ReasonSignature {
		t.Errorf("an assertion for another challenge: %v", err)
	}
	want.Expires = time.Time{}
	if got, err := v.Verify(t.Context(), r.challenge, statement(kindAssertion, r.keyID, r.assertion)); err != nil || got != want {
		t.Errorf("assertion: %+v, %v", got, err)
	}
	if _, err := v.Verify(t.Context(), r.challenge, statement(kindAssertion, r.keyID, r.assertion)); reason(t, err) != channel.ReasonReplay {
		t.Errorf("the same assertion again: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   channel.Reason
	}{
		"production":  {func(c *Config) { c.Development = false }, channel.ReasonPlatform},
		"another app": {func(c *Config) { c.AppIDs = c.AppIDs[:1] }, channel.ReasonApp},
		"days later":  {func(c *Config) { c.Now = func() time.Time { return time.Date(2021, 1, 26, 0, 0, 0, 0, time.UTC) } }, channel.ReasonExpired},
		"no root":     {func(c *Config) { c.Roots = x509.NewCertPool() }, channel.ReasonChain},
	} {
		conf := v.c
		conf.Keys = &MemoryKeys{}
		c.change(&conf)
		v, err := NewVerifier(conf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), r.challenge, statement(kindAttestation, r.keyID, r.attestation)); reason(t, err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// maker makes attestations and assertions as a device and Apple do, with keys in
// the open, and lets a test alter each part.
type maker struct {
	root, middle, key *ecdsa.PrivateKey
	rootCert          *x509.Certificate
	until             time.Time
	app               string
	challenge         []byte
	counter           uint32
	aaguid            [16]byte
	id, credential    []byte
	cose              *ecdsa.PrivateKey
	nonce             []byte
	noNonce           bool
	afterNonce        []byte
	after             []byte
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func point(k *ecdsa.PrivateKey) []byte {
	b, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	m := &maker{root: newKey(t), middle: newKey(t), key: newKey(t), until: testNow.Add(48 * time.Hour), app: testApp, challenge: testChallenge, aaguid: aaguidProduction}
	m.cose = m.key
	sum := sha256.Sum256(point(m.key))
	m.id, m.credential = sum[:], sum[:]
	m.rootCert = m.certify(t, authority("root"), nil, &m.root.PublicKey, m.root)
	return m
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(72 * time.Hour),
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

// item is CBOR of a string or a head.
func item(major byte, content []byte) []byte { return append(head(major, len(content)), content...) }

func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 256:
		return []byte{major<<5 | 24, byte(n)}
	}
	return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
}

func (m *maker) plainData() []byte {
	app := sha256.Sum256([]byte(m.app))
	return binary.BigEndian.AppendUint32(append(app[:], 0x40), m.counter)
}

func (m *maker) authData() []byte {
	b := append(m.plainData(), m.aaguid[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.credential)))
	b = append(b, m.credential...)
	p := point(m.cose)
	b = append(b, 0xA5, 1, 2, 3, 0x26, 0x20, 1, 0x21)
	b = append(append(b, item(majorBytes, p[1:33])...), 0x22)
	return append(b, item(majorBytes, p[33:])...)
}

// attestation makes the evidence of a new key.
func (m *maker) attestation(t testing.TB) channel.Evidence {
	t.Helper()
	data := m.authData()
	nonce := sha256.Sum256(append(bytes.Clone(data), m.challenge...))
	if m.nonce != nil {
		copy(nonce[:], m.nonce)
	}
	middle := m.certify(t, authority("CA 1"), m.rootCert, &m.middle.PublicKey, m.root)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: testNow.Add(-time.Hour), NotAfter: m.until, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{{Id: oidNonce, Value: append(append([]byte{0x30, 0x24 + byte(len(m.afterNonce)), 0xA1, 0x22, 4, 0x20}, nonce[:]...), m.afterNonce...)}},
	}
	if m.noNonce {
		leaf.ExtraExtensions = nil
	}
	o := append(head(majorMap, 3), item(majorText, []byte("fmt"))...)
	o = append(o, item(majorText, []byte("apple-appattest"))...)
	o = append(append(o, item(majorText, []byte("attStmt"))...), head(majorMap, 2)...)
	o = append(append(o, item(majorText, []byte("x5c"))...), head(majorArray, 2)...)
	o = append(o, item(majorBytes, m.certify(t, leaf, middle, &m.key.PublicKey, m.middle).Raw)...)
	o = append(o, item(majorBytes, middle.Raw)...)
	o = append(append(o, item(majorText, []byte("receipt"))...), item(majorBytes, nil)...)
	o = append(append(o, item(majorText, []byte("authData"))...), item(majorBytes, data)...)
	return statement(kindAttestation, m.id, append(o, m.after...))
}

// assertion makes the evidence of a key that was attested.
func (m *maker) assertion(t testing.TB) channel.Evidence {
	t.Helper()
	data := m.plainData()
	nonce := sha256.Sum256(append(bytes.Clone(data), m.challenge...))
	sum := sha256.Sum256(nonce[:])
	sig, err := ecdsa.SignASN1(rand.Reader, m.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	o := append(head(majorMap, 2), item(majorText, []byte("signature"))...)
	o = append(append(o, item(majorBytes, sig)...), item(majorText, []byte("authenticatorData"))...)
	return statement(kindAssertion, m.id, append(append(o, item(majorBytes, data)...), m.after...))
}

func (m *maker) verifier(t testing.TB, k Keys) *Verifier {
	t.Helper()
	c := Config{Roots: x509.NewCertPool(), Keys: k, AppIDs: []string{testApp}, Now: func() time.Time { return testNow }}
	c.Roots.AddCert(m.rootCert)
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAttestation(t *testing.T) {
	other := newKey(t)
	otherID := sha256.Sum256(point(other))
	for name, c := range map[string]struct {
		change func(m *maker)
		want   channel.Reason
	}{
		"good":                      {func(*maker) {}, ""},
		"another challenge":         {func(m *maker) { m.challenge = make([]byte, 32) }, channel.ReasonChallenge},
		"another nonce":             {func(m *maker) { m.nonce = make([]byte, 32) }, channel.ReasonChallenge},
		"no nonce":                  {func(m *maker) { m.noNonce = true }, channel.ReasonFormat},
		"more than a nonce":         {func(m *maker) { m.afterNonce = []byte{5, 0} }, channel.ReasonFormat},
		"another app":               {func(m *maker) { m.app += "s" }, channel.ReasonApp},
		"used before":               {func(m *maker) { m.counter = 1 }, channel.ReasonReplay},
		"development":               {func(m *maker) { m.aaguid = aaguidDevelopment }, channel.ReasonPlatform},
		"another id":                {func(m *maker) { m.id = otherID[:] }, channel.ReasonDevice},
		"another id and credential": {func(m *maker) { m.id, m.credential = otherID[:], otherID[:] }, channel.ReasonDevice},
		"another credential":        {func(m *maker) { m.credential = otherID[:] }, channel.ReasonDevice},
		"a shorter credential":      {func(m *maker) { m.credential = m.credential[:31] }, channel.ReasonDevice},
		"another key beside":        {func(m *maker) { m.cose = other }, channel.ReasonDevice},
		"over":                      {func(m *maker) { m.until = testNow.Add(-time.Second) }, channel.ReasonExpired},
		"bytes after":               {func(m *maker) { m.after = []byte{0} }, channel.ReasonFormat},
	} {
		t.Run(name, func(t *testing.T) {
			m, k := newMaker(t), &MemoryKeys{}
			v := m.verifier(t, k)
			c.change(m)
			claims, err := v.Verify(t.Context(), testChallenge, m.attestation(t))
			if got := reason(t, err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
			if (claims == channel.Claims{}) == (err == nil) || (len(k.held) == 0) == (err == nil) {
				t.Errorf("claims %+v and %d keys with %v", claims, len(k.held), err)
			}
		})
	}
}

func TestAnotherRoot(t *testing.T) {
	if _, err := newMaker(t).verifier(t, &MemoryKeys{}).Verify(t.Context(), testChallenge, newMaker(t).attestation(t)); reason(t, err) != channel.ReasonChain {
		t.Errorf("certified by another root: %v", err)
	}
}

func TestAssertion(t *testing.T) {
	other := newKey(t)
	for name, c := range map[string]struct {
		change func(m *maker)
		want   channel.Reason
	}{
		"good":              {func(*maker) {}, ""},
		"the same counter":  {func(m *maker) { m.counter = 5 }, channel.ReasonReplay},
		"a lower counter":   {func(m *maker) { m.counter = 4 }, channel.ReasonReplay},
		"another challenge": {func(m *maker) { m.challenge = make([]byte, 32) }, channel.ReasonSignature},
		"another key":       {func(m *maker) { m.key = other }, channel.ReasonSignature},
		"another app":       {func(m *maker) { m.app += "s" }, channel.ReasonApp},
		"another device": {func(m *maker) {
			sum := sha256.Sum256(point(other))
			m.key, m.id = other, sum[:]
		}, channel.ReasonDevice},
		"an id with the same name": {func(m *maker) { m.id = append(bytes.Clone(m.id[:31]), m.id[31]^1) }, channel.ReasonDevice},
		"bytes after":              {func(m *maker) { m.after = []byte{0} }, channel.ReasonFormat},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			v := m.verifier(t, &MemoryKeys{})
			if _, err := v.Verify(t.Context(), testChallenge, m.attestation(t)); err != nil {
				t.Fatal(err)
			}
			m.counter = 5
			if _, err := v.Verify(t.Context(), testChallenge, m.assertion(t)); err != nil {
				t.Fatal(err)
			}
			m.counter = 6
			c.change(m)
			_, err := v.Verify(t.Context(), testChallenge, m.assertion(t))
			if got := reason(t, err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
			// An attestation again does not wind the counter back.
			if c.want != "" {
				return
			}
			m.counter = 0
			if _, err := v.Verify(t.Context(), testChallenge, m.attestation(t)); err != nil {
				t.Fatal(err)
			}
			m.counter = 6
			if _, err := v.Verify(t.Context(), testChallenge, m.assertion(t)); reason(t, err) != channel.ReasonReplay {
				t.Errorf("after a second attestation: %v", err)
			}
		})
	}
}

// TestOneOfMany: of assertions with one counter that come at once, one counts.
func TestOneOfMany(t *testing.T) {
	m := newMaker(t)
	v := m.verifier(t, &MemoryKeys{})
	if _, err := v.Verify(t.Context(), testChallenge, m.attestation(t)); err != nil {
		t.Fatal(err)
	}
	m.counter = 1
	e := m.assertion(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 16 {
		all.Go(func() {
			if _, err := v.Verify(t.Context(), testChallenge, e); err == nil {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if taken != 1 {
		t.Errorf("%d were taken", taken)
	}
}

// down is a database that is away.
type down struct{}

var errDown = errors.New("dial tcp")

func (down) Enrol(context.Context, string, []byte) error           { return errDown }
func (down) Key(context.Context, string) ([]byte, error)           { return nil, errDown }
func (down) Advance(context.Context, string, uint32) (bool, error) { return false, errDown }

// TestKeysDown: that is not held against the device.
func TestKeysDown(t *testing.T) {
	m := newMaker(t)
	v := m.verifier(t, down{})
	for name, e := range map[string]channel.Evidence{"attestation": m.attestation(t), "assertion": m.assertion(t)} {
		if _, err := v.Verify(t.Context(), testChallenge, e); !errors.Is(err, channel.ErrVerifierUnavailable) || errors.Is(err, channel.ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := &MemoryKeys{}
	if err := errors.Join(k.Enrol(t.Context(), "d", []byte{1}), k.Enrol(t.Context(), "d", []byte{1})); err != nil {
		t.Error(err)
	}
	if err := k.Enrol(t.Context(), "d", []byte{2}); err == nil {
		t.Error("a device changed its key")
	}
	if ok, err := k.Advance(t.Context(), "nobody", 1); ok || err != nil {
		t.Errorf("a counter of no device: %v %v", ok, err)
	}
}

// TestEveryByteCounts flips a bit of each byte and cuts after each.
func TestEveryByteCounts(t *testing.T) {
	m := newMaker(t)
	v := m.verifier(t, &MemoryKeys{})
	attestation := m.attestation(t)
	if _, err := v.Verify(t.Context(), testChallenge, attestation); err != nil {
		t.Fatal(err)
	}
	m.counter = 1
	for name, good := range map[string]channel.Evidence{"attestation": attestation, "assertion": m.assertion(t)} {
		for i := range good.Statement {
			b := bytes.Clone(good.Statement)
			b[i] ^= 1 << (i % 8)
			if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: Type, Statement: b}); reason(t, err) == "" {
				t.Errorf("%s, byte %d altered: taken", name, i)
			}
			if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: Type, Statement: good.Statement[:i]}); reason(t, err) != channel.ReasonFormat {
				t.Errorf("%s cut to %d: %v", name, i, err)
			}
		}
	}
	if _, err := v.Verify(t.Context(), testChallenge, channel.Evidence{Type: "software"}); reason(t, err) != channel.ReasonType {
		t.Errorf("another type: %v", err)
	}
}

func TestCBOR(t *testing.T) {
	for in, want := range map[string]bool{
		"40": true, "4101": true, "580101": false, "5818" + hex.EncodeToString(make([]byte, 24)): true, "590001aa": false, "5f": false, "4102ff": false, "42": false, "": false, "6101": false,
		"5affffffff": false, "5bffffffffffffffff": false,
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		c := &cbor{b: b}
		c.string(majorBytes)
		if c.end() != want {
			t.Errorf("%s: %v, want %v", in, c.end(), want)
		}
	}
	for in, want := range map[string]int64{"00": 0, "17": 23, "1818": 24, "20": -1, "26": -7, "3863": -100, "190100": 256} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		c := &cbor{b: b}
		if n := c.int(); n != want || !c.end() {
			t.Errorf("%s: %d, want %d", in, n, want)
		}
	}
	for _, in := range []string{"1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3bffffffffffffffff", "f4", "c000", "18"} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		c := &cbor{b: b}
		if c.int(); c.end() {
			t.Errorf("%s: taken", in)
		}
	}
}

func TestNoDefaults(t *testing.T) {
	roots := x509.NewCertPool()
	for name, c := range map[string]Config{
		"roots": {Keys: &MemoryKeys{}, AppIDs: []string{"x"}}, "keys": {Roots: roots, AppIDs: []string{"x"}}, "apps": {Roots: roots, Keys: &MemoryKeys{}},
	} {
		if _, err := NewVerifier(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzObjects: whatever comes, it is read or refused, and what is read is within
// it.
func FuzzObjects(f *testing.F) {
	r := readRecording(f)
	f.Add(r.attestation)
	f.Add(r.assertion)
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := parseObject(b); err == nil {
			n := len(o.receipt) + len(o.authData)
			for _, c := range o.certificates {
				n += len(c)
			}
			if n >= len(b) {
				t.Errorf("%d bytes of %d", n, len(b))
			}
			if d, err := parseAuthData(o.authData, true); err == nil && (d.point[0] != 4 || len(d.credential) > len(o.authData)) {
				t.Errorf("%+v", d)
			}
		}
		if a, err := parseAssertion(b); err == nil {
			back := append(head(majorMap, 2), item(majorText, []byte("signature"))...)
			back = append(append(back, item(majorBytes, a.signature)...), item(majorText, []byte("authenticatorData"))...)
			if back = append(back, item(majorBytes, a.authData)...); len(b) < 1<<16 && !bytes.Equal(back, b) {
				t.Errorf("back as %x", back)
			}
		}
	})
}
