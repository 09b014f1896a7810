package tlschan

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
)

func sampleHello() *hello {
	return &hello{purpose: channel.PurposeEnrol, routing: [32]byte{0xAA, 31: 0xBB}, class: "pos", terminal: "T1", merchant: "M", activation: "A1"}
}

// TestWire holds the formats to bytes that were written by hand from the tables.
func TestWire(t *testing.T) {
	want := "0102" + "aa" + hex.EncodeToString(make([]byte, 30)) + "bb" + "03706f73" + "025431" + "014d" + "024131"
	if got := hex.EncodeToString(sampleHello().append(nil)); got != want {
		t.Errorf("hello\n got %s\nwant %s", got, want)
	}
	w := &welcome{nonce: [32]byte{1}, clock: 0x0102030405, proof: [32]byte{31: 9}}
	want = "01" + hex.EncodeToString(make([]byte, 31)) + "0000000102030405" + hex.EncodeToString(make([]byte, 31)) + "09"
	if got := hex.EncodeToString(w.append(nil)); got != want {
		t.Errorf("welcome\n got %s\nwant %s", got, want)
	}
	back, err := parseWelcome(w.append(nil))
	if err != nil || *back != *w {
		t.Errorf("welcome back: %+v, %v", back, err)
	}
	b, err := appendEvidence(nil, [32]byte{7}, channel.Evidence{Type: "x", Statement: []byte{1, 2}})
	want = "07" + hex.EncodeToString(make([]byte, 31)) + "0178" + "00020102"
	if got := hex.EncodeToString(b); got != want || err != nil {
		t.Errorf("evidence\n got %s\nwant %s (%v)", got, want, err)
	}
	if got := hex.EncodeToString(appendReady(nil, 1500*time.Second)); got != "000005dc" {
		t.Errorf("ready: %s", got)
	}
	if n := len(sampleHello().append(nil)); n > maxHello {
		t.Errorf("hello of %d bytes", n)
	}
}

// TestBinding writes out by hand what a channel is bound to, and what its proofs
// are made of.
func TestBinding(t *testing.T) {
	exported, said := bytes.Repeat([]byte{0xE1}, 32), []byte("hello, as sent")
	w := &welcome{nonce: [32]byte(bytes.Repeat([]byte{0xA1}, 32)), clock: 0x0102030405060708, proof: [32]byte{9}}
	text := append([]byte("payunit tls channel 1"), exported...)
	heard := sha256.Sum256(said)
	text = append(append(text, heard[:]...), w.nonce[:]...)
	want := sha256.Sum256(append(text, 1, 2, 3, 4, 5, 6, 7, 8))
	got := bind(exported, said, w)
	if got != want {
		t.Errorf("binding %x, want %x", got, want)
	}
	key := bytes.Repeat([]byte{0x4B}, keyLen)
	for _, label := range []string{"payunit activation proof, server", "payunit activation proof, client"} {
		m := hmac.New(sha256.New, key)
		m.Write(append([]byte(label), want[:]...))
		if p := proof(key, label, got); !bytes.Equal(p[:], m.Sum(nil)) {
			t.Errorf("%s: %x", label, p)
		}
	}
	if proofServer != "payunit activation proof, server" || proofClient != "payunit activation proof, client" {
		t.Errorf("labels %q and %q", proofServer, proofClient)
	}
}

// TestParsersAreStrict cuts, lengthens and alters.
func TestParsersAreStrict(t *testing.T) {
	h := sampleHello().append(nil)
	e, err := appendEvidence(nil, [32]byte{}, channel.Evidence{Type: "x", Statement: []byte{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	w := (&welcome{}).append(nil)
	for name, p := range map[string]struct {
		good  []byte
		parse func([]byte) error
	}{
		"hello":    {h, func(b []byte) error { _, err := parseHello(b); return err }},
		"welcome":  {w, func(b []byte) error { _, err := parseWelcome(b); return err }},
		"ready":    {appendReady(nil, maxAge), func(b []byte) error { _, err := parseReady(b); return err }},
		"evidence": {e, func(b []byte) error { _, _, err := parseEvidence(b); return err }},
	} {
		if err := p.parse(p.good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range p.good {
			if err := p.parse(p.good[:n]); !errors.Is(err, channel.ErrFormat) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
		if err := p.parse(append(bytes.Clone(p.good), 0)); !errors.Is(err, channel.ErrFormat) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
	}
	for name, at := range map[string]struct {
		offset int
		value  byte
	}{"version": {0, 2}, "purpose resume": {1, 3}, "purpose pay": {1, 1}, "purpose none": {1, 0}, "long name": {34, 65}, "newline": {35, '\n'}} {
		b := bytes.Clone(h)
		b[at.offset] = at.value
		if _, err := parseHello(b); !errors.Is(err, channel.ErrFormat) {
			t.Errorf("hello with %s: %v", name, err)
		}
	}
}

// FuzzWire reads bytes as each of the formats: what is taken comes back as it was,
// and records' headers are judged alike however they come in pieces.
func FuzzWire(f *testing.F) {
	e, err := appendEvidence(nil, [32]byte{1}, channel.Evidence{Type: "software", Statement: []byte{1, 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sampleHello().append(nil), uint8(0))
	f.Add(e, uint8(1))
	f.Add((&welcome{clock: 7}).append(nil), uint8(2))
	f.Add([]byte{22, 3, 1, 0, 1, 0, 23, 3, 3, 0, 0, 23, 3, 3, 0, 1, 9}, uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		if h, err := parseHello(b); err == nil {
			if d := cmp.Diff(b, h.append(nil)); d != "" || len(b) > maxHello {
				t.Errorf("hello of %d bytes, back as (-want +got):\n%s", len(b), d)
			}
		} else if !errors.Is(err, channel.ErrFormat) {
			t.Errorf("hello: %v", err)
		}
		if p, e, err := parseEvidence(b); err == nil {
			if back, err := appendEvidence(nil, p, e); err != nil || !bytes.Equal(b, back) || len(b) > maxEvidence {
				t.Errorf("evidence back as %x, %v", back, err)
			}
		}
		if w, err := parseWelcome(b); err == nil && !bytes.Equal(w.append(nil), b) {
			t.Errorf("welcome back as %x", w.append(nil))
		}
		whole := (&strict{first: true}).check(b)
		s := &strict{first: true}
		var pieces error
		for rest := b; len(rest) > 0 && pieces == nil; {
			n := min(len(rest), int(chunk)+1)
			pieces = s.check(rest[:n])
			rest = rest[n:]
		}
		if (whole == nil) != (pieces == nil) || whole != nil && !errors.Is(whole, channel.ErrFormat) {
			t.Errorf("at once %v, in pieces %v", whole, pieces)
		}
	})
}
