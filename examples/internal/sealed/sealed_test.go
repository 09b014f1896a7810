package sealed

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestSealed(t *testing.T) {
	text := bytes.Repeat([]byte("4761739001010010 "), 10_000)
	var b bytes.Buffer
	w, err := writer(&b, "correct horse", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("4761739001010010")) {
		t.Error("the text is in the clear")
	}
	r, err := Reader(bytes.NewReader(b.Bytes()), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
		t.Error("not what was sealed", len(got), err)
	}
	for _, wrong := range []string{"", "battery staple"} {
		if _, err := Reader(bytes.NewReader(b.Bytes()), wrong); !errors.Is(err, ErrPassphrase) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	// One altered byte at the end, and one less.
	altered := bytes.Clone(b.Bytes())
	altered[len(altered)-1] ^= 1
	for _, bad := range [][]byte{altered, b.Bytes()[:b.Len()-1]} {
		r, err := Reader(bytes.NewReader(bad), "correct horse")
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Error("an altered file was opened")
		}
	}
	for _, clear := range []string{"", "short", "{}"} {
		r, err := Reader(bytes.NewReader([]byte(clear)), "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != clear {
			t.Errorf("%q became %q, %v", clear, got, err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	for in, want := range map[string]string{"a b\n": "a b", "a b\r\nsecond": "a b", "x": "x", "\n": ""} {
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Passphrase(file)
		if got != want || (want == "") != (err != nil) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
