package secret_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

func TestMasking(t *testing.T) {
	for _, tt := range []struct{ in, masked, truncated string }{
		{"12345678", "****5678", "****5678"},
		{"123456789012", "********9012", "********9012"},
		{"1234567890123", "123456***0123", "*********0123"},
		{"47617390010100", "476173****0100", "**********0100"},
		{"371449635398431", "371449*****8431", "***********8431"},
		{"4761739001010010", "476173******0010", "************0010"},
		{"47617390010100100", "476173*******0100", "*************0100"},
		{"4761739001010250019", "476173*********0019", "***************0019"},
	} {
		p := newPAN(t, tt.in)
		if got := p.Masked(); got != tt.masked {
			t.Errorf("Masked %s, want %s", got, tt.masked)
		}
		if got := p.Truncated(); got != tt.truncated {
			t.Errorf("Truncated %s, want %s", got, tt.truncated)
		}
		if p.Len() != len(tt.in) || p.IsZero() || string(p.Reveal()) != tt.in {
			t.Errorf("Len %d, IsZero %v", p.Len(), p.IsZero())
		}
	}
	var zero secret.PAN
	if zero.Masked() != "" || zero.Truncated() != "" || !zero.IsZero() || zero.Len() != 0 || zero.Reveal() != nil {
		t.Error("the zero PAN is not empty")
	}
}

// TestLuhn: numbers that check, each single digit of them changed, and each pair of neighbours that a slip exchanges, 09 and 90 excepted.
func TestLuhn(t *testing.T) {
	for _, number := range []string{"4761739001010010", "371449635398431", "79927398713", "12345674"} {
		if !newPAN(t, number).Luhn() {
			t.Errorf("%s is refused", number)
		}
		for i := range number {
			b := []byte(number)
			b[i] = '0' + (b[i]-'0'+1)%10
			if newPAN(t, string(b)).Luhn() {
				t.Errorf("%s is taken for %s", b, number)
			}
			if b = []byte(number); i == 0 || b[i] == b[i-1] || b[i]+b[i-1] == '0'+'9' && (b[i] == '0' || b[i] == '9') {
				continue
			}
			b[i], b[i-1] = b[i-1], b[i]
			if newPAN(t, string(b)).Luhn() {
				t.Errorf("%s is taken for %s", b, number)
			}
		}
	}
	if (secret.PAN{}).Luhn() {
		t.Error("no number is one")
	}
}

func TestPANFromCN(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"4761739001010010", "4761739001010010"},
		{"4761739001010010FFFF", "4761739001010010"},
		{"371449635398431F", "371449635398431"},
		{"4761739001010250019F", "4761739001010250019"},
		{"12345678", "12345678"},
		{"1234567", ""}, // odd: not hex
		{"123456", ""},
		{"476173900101001A", ""},
		{"4761F39001010010", ""},
		{"47617390FF010010", ""},
		{"47617390F1010010", ""},
		{"47617390010102500190", ""},   // 20 digits
		{"4761739001010250019012", ""}, // 22
		{"FFFFFFFFFFFFFFFF", ""},
		{"", ""},
	} {
		b, err := hex.DecodeString(tt.in)
		if err != nil {
			continue
		}
		p, err := secret.PANFromCN(b)
		if tt.want == "" {
			if !errors.Is(err, secret.ErrPAN) {
				t.Errorf("%s: %v, want ErrPAN", tt.in, err)
			}
			continue
		}
		if err != nil || string(p.Reveal()) != tt.want {
			t.Errorf("%s: %s, %v", tt.in, p.Reveal(), err)
		}
	}
}

func TestTrack2(t *testing.T) {
	tr := newTrack(t)
	p, err := tr.PAN()
	if err != nil || string(p.Reveal()) != pan {
		t.Errorf("PAN: %s, %v", p.Reveal(), err)
	}
	if string(tr.Reveal()) != track || tr.Expiry() != "3112" || tr.ServiceCode() != "201" || tr.IsZero() {
		t.Errorf("expiry %s, service code %s", tr.Expiry(), tr.ServiceCode())
	}
	var zero secret.Track2
	if !zero.IsZero() || zero.Expiry() != "" || zero.ServiceCode() != "" {
		t.Error("the zero track is not empty")
	}
	if _, err := zero.PAN(); !errors.Is(err, secret.ErrTrack2) {
		t.Errorf("PAN of nothing: %v", err)
	}
}

// TestWipe: the bytes are gone, for every copy, and for the slice that was
// handed out.
func TestWipe(t *testing.T) {
	given := []byte(key)
	k := secret.NewBytes(given)
	copied, seen, cloned := k, k.Reveal(), k.Clone()
	k.Wipe()
	for name, b := range map[string][]byte{"given": given, "copy": copied.Reveal(), "revealed": seen, "itself": k.Reveal()} {
		if !bytes.Equal(b, make([]byte, len(key))) {
			t.Errorf("%s: %q", name, b)
		}
	}
	if string(cloned.Reveal()) != key {
		t.Error("Wipe reached a clone")
	}
	k.Wipe() // again does nothing

	p := newPAN(t, pan)
	pseen, pcloned := p.Reveal(), p.Clone()
	p.Wipe()
	if !bytes.Equal(pseen, make([]byte, len(pan))) || string(pcloned.Reveal()) != pan {
		t.Errorf("%q, clone %q", pseen, pcloned.Reveal())
	}

	tr := newTrack(t)
	tp, err := tr.PAN()
	if err != nil {
		t.Fatal(err)
	}
	tseen, tcloned := tr.Reveal(), tr.Clone()
	tr.Wipe()
	if !bytes.Equal(tseen, make([]byte, len(track))) || string(tcloned.Reveal()) != track || string(tp.Reveal()) != pan {
		t.Errorf("%q, clone %q, PAN %q", tseen, tcloned.Reveal(), tp.Reveal())
	}
	if tcloned.Expiry() != "3112" {
		t.Errorf("expiry of a clone: %s", tcloned.Expiry())
	}

	// Zero values may be wiped.
	var zb secret.Bytes
	var zp secret.PAN
	var zt secret.Track2
	zb.Wipe()
	zp.Wipe()
	zt.Wipe()
	if zb.Len() != 0 || zb.Reveal() != nil {
		t.Error("the zero Bytes is not empty")
	}
}

func TestOwnCopies(t *testing.T) {
	in := []byte(key)
	k := secret.CopyBytes(in)
	clear(in)
	if string(k.Reveal()) != key || k.Len() != len(key) {
		t.Error("CopyBytes kept the caller's slice")
	}
	digits := []byte(pan)
	p, err := secret.NewPAN(digits)
	if err != nil {
		t.Fatal(err)
	}
	clear(digits)
	if string(p.Reveal()) != pan {
		t.Error("NewPAN kept the caller's slice")
	}
}

func TestEqual(t *testing.T) {
	if !newPAN(t, pan).Equal(newPAN(t, pan)) || newPAN(t, pan).Equal(newPAN(t, "4761739001010028")) || newPAN(t, pan).Equal(secret.PAN{}) || !(secret.PAN{}).Equal(secret.PAN{}) {
		t.Error("PAN")
	}
	k := secret.CopyBytes([]byte(key))
	if !k.Equal(k.Clone()) || k.Equal(secret.CopyBytes([]byte(key[1:]))) || k.Equal(secret.Bytes{}) {
		t.Error("Bytes")
	}
	tr := newTrack(t)
	if !tr.Equal(tr.Clone()) || tr.Equal(secret.Track2{}) {
		t.Error("Track2")
	}
	for bit := range 8 * len(key) {
		b := []byte(key)
		b[bit/8] ^= 1 << (bit % 8)
		if k.Equal(secret.NewBytes(b)) {
			t.Fatalf("bit %d", bit)
		}
	}
}

// TestNotComparable: what reflection can't compare, == does not compile with,
// and no map has as its key.
func TestNotComparable(t *testing.T) {
	for _, v := range []any{secret.PAN{}, secret.Track2{}, secret.Bytes{}} {
		if reflect.TypeOf(v).Comparable() {
			t.Errorf("%T can be compared", v)
		}
	}
}

func TestBlank(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want bool
	}{{nil, true}, {[]byte{0}, true}, {make([]byte, 32), true}, {[]byte{1}, false}, {[]byte{0, 0, 0x80}, false}, {[]byte{1, 0xFF}, false}} {
		k := secret.CopyBytes(c.b)
		if got := k.Blank(); got != c.want {
			t.Errorf("%x: %v", c.b, got)
		}
		if k.Wipe(); !k.Blank() {
			t.Errorf("%x: not blank when wiped", c.b)
		}
	}
	if !(secret.Bytes{}).Blank() {
		t.Error("the zero value")
	}
}
