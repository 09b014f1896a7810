package testkeys

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/payunit/payunit/cardreader/simcard"
)

func TestKeys(t *testing.T) {
	k := PKI()
	type named struct {
		name string
		key  *simcard.Key
		bits int
	}
	list := []named{{"issuer", k.Issuer, 1408}, {"icc", k.ICC, 1152}, {"pin", k.PIN, 1152}}
	for _, a := range k.Authorities {
		list = append(list, named{"ca", a.Key, 1984})
	}
	seen := map[string]bool{}
	for _, n := range list {
		if got := new(big.Int).SetBytes(n.key.Modulus()).BitLen(); got != n.bits {
			t.Errorf("%s: %d bits, want %d", n.name, got, n.bits)
		}
		p, q := n.key.Primes()
		for _, prime := range [][]byte{p, q} {
			if !new(big.Int).SetBytes(prime).ProbablyPrime(20) {
				t.Errorf("%s: a factor is not prime", n.name)
			}
			if seen[string(prime)] {
				t.Errorf("%s: a prime serves twice", n.name)
			}
			seen[string(prime)] = true
		}
		block := bytes.Repeat([]byte{0x5A}, n.key.Len())
		block[0] = 0x6A
		sig, err := n.key.Apply(block)
		if err != nil {
			t.Fatal(err)
		}
		back := new(big.Int).Exp(new(big.Int).SetBytes(sig), big.NewInt(3), new(big.Int).SetBytes(n.key.Modulus()))
		if !bytes.Equal(back.Bytes(), block) {
			t.Errorf("%s: the public operation does not undo the private one", n.name)
		}
	}
}

// The keys must suit the built-in profiles, each of them.
func TestKeysFitProfiles(t *testing.T) {
	k := PKI()
	for _, p := range simcard.AllProfiles() {
		if _, err := simcard.New(p, simcard.Options{PKI: k}); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func BenchmarkPKI(b *testing.B) {
	for b.Loop() {
		PKI()
	}
}

func BenchmarkSign1152(b *testing.B) {
	k := PKI().ICC
	block := bytes.Repeat([]byte{0x5A}, k.Len())
	block[0] = 0x6A
	for b.Loop() {
		if _, err := k.Apply(block); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewCard(b *testing.B) {
	k := PKI()
	p, err := simcard.LookupProfile("default")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := simcard.New(p, simcard.Options{PKI: k}); err != nil {
			b.Fatal(err)
		}
	}
}
