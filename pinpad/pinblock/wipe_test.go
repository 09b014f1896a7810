package pinblock

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// keeper is a cipher that keeps the buffers that it is given, and a copy of the
// first; it enciphers nothing, and panics at a call.
type keeper struct {
	n, calls, panicAt int
	kept              [][]byte
	first             []byte
}

func (k *keeper) BlockSize() int { return k.n }

func (k *keeper) Encrypt(dst, src []byte) { k.work(dst, src) }
func (k *keeper) Decrypt(dst, src []byte) { k.work(dst, src) }

func (k *keeper) work(dst, src []byte) {
	if k.first == nil {
		k.first = bytes.Clone(src)
	}
	if k.calls++; k.calls == k.panicAt {
		k.kept = append(k.kept, src)
		panic("the cipher broke")
	}
	copy(dst, src)
	k.kept = append(k.kept, dst, src)
}

// greedy is a source of randomness that keeps the buffers that it fills, and
// panics or fails in the end.
type greedy struct {
	kept     [][]byte
	panics   bool
	err      error
	fineFor  int
	asked    int
	constant byte
}

func (g *greedy) Read(b []byte) (int, error) {
	g.kept = append(g.kept, b)
	for i := range b {
		b[i] = g.constant
	}
	if g.asked++; g.asked > g.fineFor {
		if g.panics {
			panic("the source of randomness broke")
		}
		if g.err != nil {
			return 0, g.err
		}
	}
	return len(b), nil
}

// caught runs f and returns what it panicked with.
func caught(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// zero reports whether nothing is left in the buffers, as far as their
// capacity goes.
func zero(kept [][]byte, but []byte) bool {
	for _, b := range kept {
		if len(but) > 0 && &b[0] == &but[0] {
			continue
		}
		for _, c := range b[:cap(b)] {
			if c != 0 {
				return false
			}
		}
	}
	return true
}

func testPAN(t testing.TB, s string) secret.PAN {
	t.Helper()
	pan, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return pan
}

// TestBufferIsWiped looks into the buffer that a cipher was given after the call
// is over, also when the cipher panicked in it.
func TestBufferIsWiped(t *testing.T) {
	pan, pin := testPAN(t, "4761739001010010"), secret.CopyBytes([]byte("123456789012"))
	for _, f := range []Format{0, 1, 3, 4} {
		n := 8
		if f == 4 {
			n = 16
		}
		for panicAt := range 4 {
			k := &keeper{n: n, panicAt: panicAt}
			var out []byte
			broke := caught(func() {
				var err error
				if out, err = Encipher(k, f, pin, pan, nil); err != nil {
					t.Error(err)
				}
			})
			calls := 1
			if f == 4 {
				calls = 2
			}
			if (broke != nil) != (panicAt >= 1 && panicAt <= calls) {
				t.Fatalf("format %d: panic %v at call %d", f, broke, panicAt)
			}
			if len(k.kept) == 0 || !zero(k.kept, out) {
				t.Errorf("format %d, panic at %d: the buffer was not wiped", f, panicAt)
			}
			block := bytes.Repeat([]byte{byte(f) << 4}, n)
			k = &keeper{n: n, panicAt: panicAt}
			if caught(func() { _, _ = Decipher(k, f, block, pan) }); !zero(k.kept, block) {
				t.Errorf("format %d, panic at %d: the buffer was not wiped after deciphering", f, panicAt)
			}
		}
	}
}

// TestWipedWhenRandomnessFails: the digits are not in the buffer before the fill
// is, and the fill goes with it.
func TestWipedWhenRandomnessFails(t *testing.T) {
	pan, pin := testPAN(t, "4761739001010010"), secret.CopyBytes([]byte("12345"))
	broken := errors.New("broken")
	for _, f := range []Format{1, 3, 4} {
		for _, g := range []*greedy{{panics: true, constant: 0x55}, {err: broken, constant: 0x55}, {panics: true, fineFor: 3, constant: 0x55}, {err: broken, fineFor: 3, constant: 0x55}} {
			var err error
			v := caught(func() {
				if f == 4 {
					_, err = Encipher(&keeper{n: 16}, f, pin, pan, g)
				} else {
					var b secret.Bytes
					b, err = Encode(f, pin, pan, g)
					if err == nil {
						b.Wipe()
					}
				}
			})
			if g.fineFor == 0 && v == nil && !errors.Is(err, broken) {
				t.Errorf("format %d: %v", f, err)
			}
			if !zero(g.kept, nil) {
				t.Errorf("format %d: a buffer was not wiped: %+v", f, g.kept)
			}
		}
	}
}

// TestEveryLength: PINs of each length, PANs of each length, each format, also
// with 10 to 12 digits, whose length is a letter in hexadecimal.
func TestEveryLength(t *testing.T) {
	block4, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	const digits = "9081908190819081908"
	for panLen := 8; panLen <= 19; panLen++ {
		pan := testPAN(t, digits[:panLen])
		// The digit before the check digit, with its highest bit turned: neither
		// fill nor a digit of the PIN stays what it was.
		near := []byte(digits[:panLen])
		near[panLen-2] = '0' + (near[panLen-2] - '0') ^ 8
		other := testPAN(t, string(near))
		for n := 4; n <= 12; n++ {
			pin := secret.CopyBytes([]byte("908172635415"[:n]))
			for f := range Format(5) {
				open := func(b []byte, pan secret.PAN) (secret.Bytes, error) {
					if f == 4 {
						return Decipher(block4, f, b, pan)
					}
					return Decode(f, secret.CopyBytes(b), pan)
				}
				var b []byte
				var err error
				if f == 4 {
					b, err = Encipher(block4, f, pin, pan, nil)
				} else {
					var s secret.Bytes
					s, err = Encode(f, pin, pan, nil)
					b = s.Reveal()
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, err := open(b, pan); err != nil || !got.Equal(pin) {
					t.Fatalf("format %d, PIN of %d, PAN of %d digits: %v", f, n, panLen, err)
				}
				if got, err := open(b, other); bound(f) && err == nil && got.Equal(pin) {
					t.Errorf("format %d, PIN of %d, PAN of %d digits: opens for another PAN", f, n, panLen)
				}
			}
		}
	}
}

// TestEveryHalfByte puts every value into every half byte of the clear fields;
// what is taken is what the format allows there, and nothing else.
func TestEveryHalfByte(t *testing.T) {
	for f := range Format(5) {
		for n := 4; n <= 12; n++ {
			pin := []byte("123456789012"[:n])
			good := make([]byte, 16)
			if err := encode(good, f, pin, []byte("0000000000000"), &greedy{constant: 0}); err != nil {
				t.Fatal(err)
			}
			for i := range 16 {
				for v := range byte(16) {
					b := bytes.Clone(good)
					setNibble(b, i, v)
					got, err := decode(b, f, []byte("0000000000000"))
					var want bool
					switch {
					case i == 0:
						want = v == f
					case i == 1:
						// A shorter PIN is well formed only if its last digits pass for
						// fill; a longer one if the fill passes for digits.
						want = v == byte(n) || f == 1 && v >= 4 && v <= 12
					case i < 2+n:
						want = v <= 9
					default:
						want = isFill(f, v)
					}
					if (err == nil) != want {
						t.Errorf("format %d, %d digits, half byte %d = %X: %v, taken should be %v", f, n, i, v, err, want)
					}
					if err != nil && (err != ErrBlock || got.Len() != 0) { //nolint:errorlint // the bare sentinel tells nothing more
						t.Errorf("the error tells more than that: %v", err)
					}
				}
			}
		}
	}
}

func TestRefusedUses(t *testing.T) {
	pan, pin := testPAN(t, "4761739001010010"), secret.CopyBytes([]byte("1234"))
	tdes, wide := &keeper{n: 8}, &keeper{n: 16}
	eight := secret.NewBytes(make([]byte, 8))
	for name, c := range map[string]struct {
		f    func() error
		want error
	}{
		"format 2 enciphered":        {func() error { _, err := Encipher(tdes, 2, pin, pan, nil); return err }, ErrFormat},
		"format 2 deciphered":        {func() error { _, err := Decipher(tdes, 2, make([]byte, 8), pan); return err }, ErrFormat},
		"format 5":                   {func() error { _, err := Encipher(tdes, 5, pin, pan, nil); return err }, ErrFormat},
		"format 4 in clear":          {func() error { _, err := Encode(4, pin, pan, nil); return err }, ErrFormat},
		"format 4 out of clear":      {func() error { _, err := Decode(4, eight, pan); return err }, ErrFormat},
		"format 0 under AES":         {func() error { _, err := Encipher(wide, 0, pin, pan, nil); return err }, ErrFormat},
		"format 4 under TDES":        {func() error { _, err := Encipher(tdes, 4, pin, pan, nil); return err }, ErrFormat},
		"no cipher":                  {func() error { _, err := Encipher(nil, 4, pin, pan, nil); return err }, ErrFormat},
		"format 0 without a PAN":     {func() error { _, err := Encode(0, pin, secret.PAN{}, nil); return err }, ErrPAN},
		"format 3 read without PAN":  {func() error { _, err := Decode(3, eight, secret.PAN{}); return err }, ErrPAN},
		"format 4 without a PAN":     {func() error { _, err := Encipher(wide, 4, pin, secret.PAN{}, nil); return err }, ErrPAN},
		"format 4 read without PAN":  {func() error { _, err := Decipher(wide, 4, make([]byte, 16), secret.PAN{}); return err }, ErrPAN},
		"seven bytes":                {func() error { _, err := Decode(0, secret.NewBytes(make([]byte, 7)), pan); return err }, ErrBlock},
		"nine bytes":                 {func() error { _, err := Decode(0, secret.NewBytes(make([]byte, 9)), pan); return err }, ErrBlock},
		"eight enciphered for AES":   {func() error { _, err := Decipher(wide, 4, make([]byte, 8), pan); return err }, ErrBlock},
		"sixteen enciphered for DES": {func() error { _, err := Decipher(tdes, 0, make([]byte, 16), pan); return err }, ErrBlock},
		"nothing":                    {func() error { _, err := Decipher(tdes, 0, nil, pan); return err }, ErrBlock},
	} {
		if err := c.f(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestTranslate tries every pair of formats.
func TestTranslate(t *testing.T) {
	pan, pin := testPAN(t, "4761739001010010"), secret.CopyBytes([]byte("123456"))
	under := func(f Format) cipher.Block {
		if f == 4 {
			return &keeper{n: 16}
		}
		return &keeper{n: 8}
	}
	allowed := map[[2]Format]bool{
		{0, 0}: true, {0, 3}: true, {0, 4}: true, {3, 0}: true, {3, 3}: true, {3, 4}: true, {4, 0}: true, {4, 3}: true, {4, 4}: true,
		{1, 0}: true, {1, 1}: true, {1, 3}: true, {1, 4}: true,
	}
	for from := range Format(6) {
		for to := range Format(6) {
			var block []byte
			if from <= 4 && from != 2 {
				var err error
				if block, err = Encipher(under(from), from, pin, pan, nil); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Translate(from, under(from), to, under(to), block, pan, nil)
			if !allowed[[2]Format{from, to}] {
				if !errors.Is(err, ErrTranslation) {
					t.Errorf("from %d to %d: %v", from, to, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("from %d to %d: %v", from, to, err)
				continue
			}
			if again, err := Decipher(under(to), to, got, pan); err != nil || !again.Equal(pin) {
				t.Errorf("from %d to %d: %v", from, to, err)
			}
		}
	}
}

// TestLettersAreUniform draws each byte once: every letter as often.
func TestLettersAreUniform(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	out := make([]byte, 126)
	if err := letters(out, bytes.NewReader(all)); err != nil {
		t.Fatal(err)
	}
	count := map[byte]int{}
	for i := range 252 {
		count[nibble(out, i)]++
	}
	for v := byte(0x0A); v <= 0x0F; v++ {
		if count[v] != 42 {
			t.Errorf("%X was drawn %d times of 252", v, count[v])
		}
	}
	if err := letters(make([]byte, 1), bytes.NewReader([]byte{252, 255, 253})); !errors.Is(err, io.EOF) {
		t.Errorf("bytes over 251 count: %v", err)
	}
}

func FuzzDecipher(f *testing.F) {
	f.Add(uint8(4), []byte("\x44\x12\x34\xAA\xAA\xAA\xAA\xAA\x01\x02\x03\x04\x05\x06\x07\x08"), "4761739001010010")
	f.Add(uint8(0), []byte("\x04\x12\x61\xAA\xAA\xED\xCB\xA9"), "5555555551234567")
	f.Fuzz(func(t *testing.T, format uint8, b []byte, number string) {
		pan, err := secret.NewPAN([]byte(number))
		if err != nil {
			return
		}
		n := 8
		if format == 4 {
			n = 16
		}
		before := bytes.Clone(b)
		pin, err := Decipher(&keeper{n: n}, format, b, pan)
		if !bytes.Equal(b, before) {
			t.Fatal("the caller's block was written to")
		}
		if err != nil {
			if pin.Len() != 0 {
				t.Fatal("a PIN with an error")
			}
			return
		}
		if checkPIN(pin.Reveal()) != nil {
			t.Fatal("deciphered something that is no PIN")
		}
		again, err := Encipher(&keeper{n: n}, format, pin, pan, bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		if pin2, err := Decipher(&keeper{n: n}, format, again, pan); err != nil || !pin2.Equal(pin) {
			t.Fatalf("reads back otherwise: %v", err)
		}
	})
}

// TestNoErrorTellsPINOrPAN searches every error for the digits.
func TestNoErrorTellsPINOrPAN(t *testing.T) {
	pan := testPAN(t, "4761739001010010")
	for _, s := range []string{"12345678901234", "98a76", "555"} {
		for f := range Format(6) {
			_, err1 := Encode(f, secret.CopyBytes([]byte(s)), pan, nil)
			_, err2 := Encipher(&keeper{n: 16}, f, secret.CopyBytes([]byte(s)), pan, nil)
			for _, err := range []error{err1, err2} {
				if err == nil || bytes.Contains([]byte(fmt.Sprintf("%v %+v %#v", err, err, err)), []byte(s)) || bytes.Contains([]byte(err.Error()), []byte("476173")) {
					t.Errorf("format %d: %v", f, err)
				}
			}
		}
	}
}

// TestWipedPAN: a number that was wiped binds no PIN, and opens no block.
func TestWipedPAN(t *testing.T) {
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	pan.Wipe()
	pin := secret.CopyBytes([]byte("1234"))
	for f, n := range map[Format]int{0: 8, 3: 8, 4: 16} {
		c := &keeper{n: n}
		if _, err := Encipher(c, f, pin, pan, nil); !errors.Is(err, ErrPAN) {
			t.Errorf("format %d: %v", f, err)
		}
		if _, err := Decipher(c, f, make([]byte, n), pan); !errors.Is(err, ErrPAN) {
			t.Errorf("format %d, deciphered: %v", f, err)
		}
	}
	for _, f := range []Format{0, 3} {
		if _, err := Encode(f, pin, pan, nil); !errors.Is(err, ErrPAN) {
			t.Errorf("format %d, clear: %v", f, err)
		}
	}
}
