package link

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	tpdu := TPDU{0x60, 0x00, 0x22, 0x00, 0x01}
	for name, c := range map[string]struct {
		f    Framing
		want string
	}{
		"binary":           {Framing{}, "\x00\x05hello"},
		"digits":           {Framing{Length: Digits4}, "0005hello"},
		"binary with TPDU": {Framing{HasTPDU: true}, "\x00\x0a\x60\x00\x22\x00\x01hello"},
		"digits with TPDU": {Framing{Length: Digits4, HasTPDU: true}, "0010\x60\x00\x22\x00\x01hello"},
	} {
		b, err := c.f.Append(nil, tpdu, []byte("hello"))
		if err != nil || string(b) != c.want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		got, m, err := c.f.Read(strings.NewReader(c.want + "\x00\x00"))
		if err != nil || string(m) != "hello" || c.f.HasTPDU && got != tpdu {
			t.Errorf("%s: %X %q %v", name, got, m, err)
		}
		for n := range c.want {
			_, _, err := c.f.Read(strings.NewReader(c.want[:n]))
			if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: after %d bytes: %v", name, n, err)
			}
		}
	}
	if a := tpdu.Answer(); a != (TPDU{0x60, 0x00, 0x01, 0x00, 0x22}) {
		t.Errorf("answer %X", a)
	}
}

func TestFramesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		f     Framing
		bytes string
		want  error
	}{
		"no digits":       {Framing{Length: Digits4}, "00x5hello", ErrFrame},
		"sign":            {Framing{Length: Digits4}, "+005hello", ErrFrame},
		"too long":        {Framing{Max: 4}, "\x00\x05hello", ErrTooLong},
		"default limit":   {Framing{}, "\xFF\xFF", ErrTooLong},
		"only a TPDU":     {Framing{HasTPDU: true}, "\x00\x05\x60\x00\x00\x00\x00", ErrFrame},
		"TPDU id":         {Framing{HasTPDU: true}, "\x00\x06\x68\x00\x00\x00\x00x", ErrFrame},
		"keep-alive only": {Framing{}, "\x00\x00\x00\x00", io.EOF},
	} {
		if _, _, err := c.f.Read(strings.NewReader(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, m, err := Framing{}.Read(strings.NewReader("\x00\x00\x00\x00\x00\x01x"))
	if err != nil || string(m) != "x" {
		t.Errorf("after keep-alives: %q, %v", m, err)
	}
	for _, f := range []Framing{{Max: 3}, {Length: Digits4, Max: 1 << 20}, {Max: 1 << 20}} {
		if _, err := f.Append(nil, TPDU{}, make([]byte, max(4, min(f.Max, 70000)))); !errors.Is(err, ErrTooLong) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(uint8(0), []byte("\x00\x05hello"))
	f.Add(uint8(1), []byte("0005hello"))
	f.Add(uint8(2), []byte("\x00\x0a\x60\x00\x22\x00\x01hello"))
	f.Add(uint8(3), []byte("0000"))
	f.Fuzz(func(t *testing.T, form uint8, b []byte) {
		fr := Framing{Length: Length(form & 1), HasTPDU: form&2 != 0, Max: 100}
		r := bytes.NewReader(b)
		tpdu, m, err := fr.Read(r)
		if err != nil {
			return
		}
		again, err := fr.Append(nil, tpdu, m)
		if err != nil {
			t.Fatal(err)
		}
		if used := b[:len(b)-r.Len()]; !bytes.HasSuffix(used, again) {
			t.Fatalf("%X, read from %X", again, used)
		}
	})
}
