package simcard

import (
	"bytes"
	"crypto/rand"
	"testing"
)

// TestCertifiedAgain: a signature that is given again is the one that would be
// made, belongs to the whole of the data, and is nobody's to change.
func TestCertifiedAgain(t *testing.T) {
	key, err := GenerateKey(rand.Reader, 512, 3)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte{7}, key.Len()-22)
	seen := map[string]string{}
	for name, hashed := range map[string][][]byte{"none": nil, "empty": {{}}, "one": {{1, 2}}, "split": {{1}, {2}}, "other": {{1, 3}}} {
		want, err := sign(key, body, hashed...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			got, err := certify(key, body, hashed...)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, time %d: %X, %v, want %X", name, i, got, err, want)
			}
			clear(got)
		}
		seen[name] = string(want)
	}
	if seen["one"] == seen["other"] {
		t.Error("other data has the same signature")
	}
	if len(key.certified) != len(seen) {
		t.Errorf("%d signatures are remembered of %d", len(key.certified), len(seen))
	}
	for i := range maxCertified + 1 {
		if _, err := certify(key, body, []byte{1, byte(i >> 8), byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(key.certified); n > maxCertified {
		t.Errorf("%d signatures are remembered", n)
	}
	if _, err := certify(key, body[1:]); err == nil {
		t.Error("a body of another length is signed")
	}
}
