package softpad

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/dukpt"
)

// script is a panel on which somebody presses digits, '<' backspace, 'C' clear,
// 'E' enter, 'X' cancel, '*' bypass; '.' waits for ever.
type script struct {
	keys    string
	toned   bool
	waiting func() // told that nobody presses a key
	drawn   func() // told that a keypad is drawn
	passes  func() // lets time pass

	layout                     Layout
	prompt                     pinpad.Prompt
	opened                     []Layout
	masks                      []int
	tones                      []Tone
	closed                     int
	openErr, maskErr, closeErr error
}

func (s *script) Open(_ context.Context, p pinpad.Prompt, l Layout) (Entry, error) {
	s.layout, s.prompt = l, p
	s.opened = append(s.opened, l)
	if s.drawn != nil {
		s.drawn()
	}
	if s.openErr != nil {
		return nil, s.openErr
	}
	if s.toned {
		return toned{s}, nil
	}
	return s, nil
}

func (s *script) Next(ctx context.Context) (Key, error) {
	if s.keys == "" {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	c := s.keys[0]
	s.keys = s.keys[1:]
	switch c {
	case '.': // nothing happens, for ever
		if s.waiting != nil {
			s.waiting()
		}
		<-ctx.Done()
		return 0, ctx.Err()
	case '!':
		panic("the panel broke")
	case '?':
		return 0, errPanel
	case '~': // time passes
		s.passes()
		return s.Next(ctx)
	case '^': // the next key is touched, not pressed
		k, err := s.Next(ctx)
		return k + KeyTouch, err
	}
	if k, ok := map[byte]Key{'<': KeyBackspace, 'C': KeyClear, 'E': KeyEnter, 'X': KeyCancel, '*': KeyBypass, 'A': KeyAccessible, 'z': 200}[c]; ok {
		return k, nil
	}
	return Key(bytes.IndexByte(s.layout[:], c-'0')), nil
}

func (s *script) Mask(n int) error { s.masks = append(s.masks, n); return s.maskErr }

func (s *script) Close() error { s.closed++; return s.closeErr }

// toned is a script whose entries can sound.
type toned struct{ *script }

func (t toned) Tone(x Tone) error { t.tones = append(t.tones, x); return nil }

var errPanel = errors.New("the panel is gone")

type store struct{ b []byte }

func (s *store) Load(context.Context) ([]byte, error) { return s.b, nil }

func (s *store) Save(_ context.Context, b []byte) error { s.b = bytes.Clone(b); return nil }

func keysOf(t *testing.T) (*dukpt.Device, *dukpt.Host) {
	t.Helper()
	h, err := dukpt.NewHost(dukpt.AES128, secret.NewBytes(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	ik, err := h.InitialKey(make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dukpt.NewDevice(t.Context(), dukpt.AES128, ik, make([]byte, 8), &store{})
	if err != nil {
		t.Fatal(err)
	}
	return d, h
}

func TestOnlinePIN(t *testing.T) {
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, keys string
		bypass     bool
		want       string
		err        error
		masks      []int
	}{
		{"four digits", "1234E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"twelve digits, more are ignored", "1234567890129E", false, "123456789012", nil, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{"enter comes too early", "12E34E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"backspace", "129<<<834<4E1X", false, "", pinpad.ErrCancelled, nil},
		{"backspace and on", "19<234E", false, "1234", nil, []int{1, 2, 1, 2, 3, 4}},
		{"backspace on nothing", "<1234E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"clear", "99C1234E", false, "1234", nil, []int{1, 2, 0, 1, 2, 3, 4}},
		{"cancel", "12X", false, "", pinpad.ErrCancelled, nil},
		{"bypass", "*", true, "", pinpad.ErrBypassed, nil},
		{"bypass after digits", "12*", true, "", pinpad.ErrBypassed, nil},
		{"bypass where it is not allowed", "*1234E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"a key that there is not", "z1234E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"touches", "^9^91^8234E", false, "1234", nil, []int{1, 2, 3, 4}},
		{"accessible where it is not allowed", "A1234E", false, "1234", nil, []int{1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, h := keysOf(t)
			s := &script{keys: c.keys}
			p, err := New(Config{Panel: s, Keys: d})
			if err != nil {
				t.Fatal(err)
			}
			b, err := p.OnlinePIN(t.Context(), pinpad.Prompt{AllowBypass: c.bypass}, pan)
			if s.closed != 1 {
				t.Errorf("the panel was closed %d times", s.closed)
			}
			if c.err != nil {
				if !errors.Is(err, c.err) {
					t.Errorf("%v, want %v", err, c.err)
				}
				if b.Block != nil || b.KSN != nil {
					t.Error("a block with an error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			x, err := h.Transaction(b.KSN)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.DecryptPIN(b.Block, pan)
			if err != nil || string(got.Reveal()) != c.want || b.Format != 4 {
				t.Errorf("PIN of %d digits, format %d, %v", got.Len(), b.Format, err)
			}
			if d := cmp.Diff(c.masks, s.masks); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	d, _ := keysOf(t)
	p, err := New(Config{Panel: &script{keys: "12."}, Keys: d})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.OnlinePIN(ctx, pinpad.Prompt{}, secret.PAN{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSecondEntryIsRefused(t *testing.T) {
	d, _ := keysOf(t)
	p, err := New(Config{Panel: &script{}, Keys: d})
	if err != nil {
		t.Fatal(err)
	}
	p.busy.Lock()
	if _, err := p.OnlinePIN(t.Context(), pinpad.Prompt{}, secret.PAN{}); !errors.Is(err, pinpad.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	p.busy.Unlock()
	p.c.Keys = nil
	if _, err := p.OnlinePIN(t.Context(), pinpad.Prompt{}, secret.PAN{}); !errors.Is(err, pinpad.ErrUnavailable) {
		t.Errorf("no keys: %v", err)
	}
}

// card answers every command alike and remembers the last.
type card struct {
	cardreader.Card
	got []byte
}

func (c *card) Transmit(_ context.Context, b []byte) ([]byte, error) {
	c.got = bytes.Clone(b)
	return []byte{0x63, 0xC2}, nil
}

func TestOfflinePlaintext(t *testing.T) {
	p, err := New(Config{Panel: &script{keys: "1234E"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &card{}
	sw, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, c, nil)
	if err != nil || sw != apdu.Status(0x63C2) {
		t.Fatalf("%v %v", sw, err)
	}
	if d := cmp.Diff([]byte{0x00, 0x20, 0x00, 0x80, 0x08, 0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, c.got); d != "" {
		t.Error(d)
	}
}
