package softpad

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/dukpt"
)

// clock arms timers and never runs one by itself.
type clock struct {
	mu     sync.Mutex
	timers []*timer
	armed  []time.Duration
}

type timer struct {
	d    time.Duration
	f    func()
	over bool
}

func (c *clock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{d: d, f: f}
	c.timers = append(c.timers, t)
	c.armed = append(c.armed, d)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		was := !t.over
		t.over = true
		return was
	}
}

// fire runs the timers of a length that were not stopped.
func (c *clock) fire(d time.Duration) {
	c.mu.Lock()
	var due []func()
	for _, t := range c.timers {
		if t.d == d && !t.over {
			t.over = true
			due = append(due, t.f)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// running counts the timers of a length that may still fire.
func (c *clock) running(d time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, t := range c.timers {
		if t.d == d && !t.over {
			n++
		}
	}
	return n
}

// TestTimeouts: inactivity is counted from each key, the total from the start.
func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name, keys string
		fires      time.Duration
		want       error
	}{
		{"nobody presses a key", ".", 20 * time.Second, pinpad.ErrTimeout},
		{"nobody presses another key", "12.", 20 * time.Second, pinpad.ErrTimeout},
		{"slow all the way", "12.", 50 * time.Second, pinpad.ErrTimeout},
		{"slow before the last key", "1234~E", 50 * time.Second, pinpad.ErrTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &clock{}
			s := &script{keys: c.keys}
			s.waiting = func() { k.fire(c.fires) }
			s.passes = s.waiting
			p, err := New(Config{Panel: s, AfterFunc: k.AfterFunc, Timeout: 50 * time.Second, Inactivity: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			sent := &card{}
			if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, sent, nil); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if sent.got != nil || s.closed != 1 {
				t.Errorf("the card got %X, the panel was closed %d times", sent.got, s.closed)
			}
			if n := k.running(20*time.Second) + k.running(50*time.Second); n != 0 {
				t.Errorf("%d timers were left", n)
			}
		})
	}
	k := &clock{}
	p, err := New(Config{Panel: &script{keys: "1<1234E"}, AfterFunc: k.AfterFunc})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, &card{}, nil); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{time.Minute}
	for range 7 {
		want = append(want, 30*time.Second)
	}
	if d := cmp.Diff(want, k.armed); d != "" {
		t.Errorf("timers: %s", d)
	}
}

// TestStopsAtOnce: the caller's end of an entry is not slower than the panel's.
func TestStopsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &script{keys: "12.", waiting: func() { cancel(errors.New("the app gave up")) }}
	p, err := New(Config{Panel: s, AfterFunc: (&clock{}).AfterFunc})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OfflinePIN(ctx, pinpad.Prompt{}, &card{}, nil); !errors.Is(err, context.Canceled) || errors.Is(err, pinpad.ErrTimeout) {
		t.Errorf("%v", err)
	}
	if _, err := p.OfflinePIN(ctx, pinpad.Prompt{}, &card{}, nil); !errors.Is(err, context.Canceled) || len(s.opened) != 1 {
		t.Errorf("begun after the end: %v, keypads drawn: %d", err, len(s.opened))
	}
	if s.closed != 1 {
		t.Errorf("the panel was closed %d times", s.closed)
	}
}

// TestBrokenPanel: whatever fails, the screen is wiped, and nothing is sent.
func TestBrokenPanel(t *testing.T) {
	for name, s := range map[string]*script{
		"open": {openErr: errPanel}, "next": {keys: "12?"}, "mask": {keys: "1234E", maskErr: errPanel}, "close": {keys: "1234E", closeErr: errPanel},
	} {
		d, _ := keysOf(t)
		p, err := New(Config{Panel: s, Keys: d})
		if err != nil {
			t.Fatal(err)
		}
		sent := &card{}
		if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, sent, nil); !errors.Is(err, pinpad.ErrUnavailable) || !errors.Is(err, errPanel) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "open" && s.closed != 1 || sent.got != nil {
			t.Errorf("%s: closed %d times, the card got %X", name, s.closed, sent.got)
		}
	}
	p, err := New(Config{Panel: &script{}, Rand: bytes.NewReader(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, &card{}, nil); !errors.Is(err, pinpad.ErrUnavailable) {
		t.Errorf("no randomness: %v", err)
	}
}

// TestWipedOnEveryWayOut looks for digits in the buffer of the PIN after an entry
// ended in each way, panics included.
func TestWipedOnEveryWayOut(t *testing.T) {
	number, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	var kept []byte
	use := func(pin secret.Bytes) { kept = pin.Reveal() }
	for name, c := range map[string]struct {
		keys string
		use  func(secret.Bytes) error
	}{
		"done":             {"1234E", func(pin secret.Bytes) error { use(pin); return nil }},
		"error":            {"123456E", func(pin secret.Bytes) error { use(pin); return errPanel }},
		"panic":            {"123456789012E", func(pin secret.Bytes) error { use(pin); panic("using it broke") }},
		"the panel breaks": {"1234!", nil},
		"cancelled":        {"1234X", nil},
		"panel error":      {"1234?", nil},
	} {
		s := &script{keys: c.keys}
		p, err := New(Config{Panel: s})
		if err != nil {
			t.Fatal(err)
		}
		kept = nil
		buf := []byte("............")
		func() {
			defer func() { _ = recover() }()
			if c.use != nil {
				err = p.withPIN(t.Context(), pinpad.Prompt{}, c.use)
				return
			}
			defer clear(buf)
			_, err = p.enter(t.Context(), pinpad.Prompt{}, buf)
		}()
		if kept != nil && !bytes.Equal(kept[:cap(kept)], make([]byte, 12)) {
			t.Errorf("%s: the PIN is still there", name)
		}
		if s.closed != 1 {
			t.Errorf("%s: the panel was closed %d times", name, s.closed)
		}
		// The pad works on.
		s.keys = "1234E"
		if err := p.withPIN(t.Context(), pinpad.Prompt{}, func(secret.Bytes) error { return nil }); err != nil {
			t.Errorf("%s: the next entry: %v", name, err)
		}
	}
	p, err := New(Config{Panel: &script{keys: "123456E"}, Keys: brokenKeys{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OnlinePIN(t.Context(), pinpad.Prompt{}, number); !errors.Is(err, pinpad.ErrUnavailable) || strings.Contains(fmt.Sprint(err), "123456") {
		t.Errorf("no key: %v", err)
	}
}

type brokenKeys struct{}

func (brokenKeys) Next(context.Context) (*dukpt.Transaction, error) { return nil, dukpt.ErrExhausted }

// TestCommandIsWiped: the VERIFY command does not stay in memory.
func TestCommandIsWiped(t *testing.T) {
	p, err := New(Config{Panel: &script{keys: "1234E"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &keepingCard{}
	if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, c, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.kept, make([]byte, len(c.kept))) || len(c.kept) != 13 {
		t.Errorf("the command is still there: %d bytes", len(c.kept))
	}
}

type keepingCard struct {
	card
	kept []byte
}

func (c *keepingCard) Transmit(_ context.Context, b []byte) ([]byte, error) {
	c.kept = b
	return []byte{0x90, 0x00}, nil
}

// TestAccessible: only the prompt lets the cardholder have the fixed keypad; it
// starts an entry anew, and its tones tell no digit.
func TestAccessible(t *testing.T) {
	for _, c := range []struct {
		name, keys string
		prompt     pinpad.Prompt
		toned      bool
		want       string
		fixed      []bool
		tones      []Tone
	}{
		{"changed to", "99A^1^51^6^5234E", pinpad.Prompt{AllowAccessible: true}, true, "1234", []bool{false, true},
			[]Tone{ToneCell, ToneCentre, ToneTaken, ToneCell, ToneCentre, ToneTaken, ToneTaken, ToneTaken, ToneDone}},
		{"from the start", "12E<<1234E", pinpad.Prompt{AllowAccessible: true, Accessible: true}, true, "1234", []bool{true},
			[]Tone{ToneTaken, ToneTaken, ToneRefused, ToneDeleted, ToneDeleted, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneDone}},
		{"every digit sounds alike", "0123456789A12E", pinpad.Prompt{AllowAccessible: true, Accessible: true}, true, "012345678912", []bool{true},
			[]Tone{ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneTaken, ToneRefused, ToneTaken, ToneTaken, ToneDone}},
		{"a panel without tones", "A1234E", pinpad.Prompt{AllowAccessible: true}, false, "1234", []bool{false, true}, nil},
		{"not granted", "A1234E", pinpad.Prompt{}, true, "1234", []bool{false}, nil},
		{"asked for and not granted", "A1234E", pinpad.Prompt{Accessible: true}, true, "1234", []bool{false}, nil},
		{"granted and not used", "^51234E", pinpad.Prompt{AllowAccessible: true}, true, "1234", []bool{false}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A layout that is not the fixed one by chance.
			s := &script{keys: c.keys, toned: c.toned}
			p, err := New(Config{Panel: s, Rand: bytes.NewReader([]byte{9, 8, 7, 6, 5, 4, 3, 2, 1})})
			if err != nil {
				t.Fatal(err)
			}
			sent := &card{}
			if _, err := p.OfflinePIN(t.Context(), c.prompt, sent, nil); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%X", sent.got[6:]); !strings.HasPrefix(got, c.want) {
				t.Error("another PIN was sent")
			}
			var fixed []bool
			for _, l := range s.opened {
				fixed = append(fixed, l == FixedLayout())
			}
			if d := cmp.Diff(c.fixed, fixed); d != "" {
				t.Errorf("fixed layouts: %s", d)
			}
			if last := fixed[len(fixed)-1]; s.prompt.Accessible != last {
				t.Errorf("the panel was told accessible %v", s.prompt.Accessible)
			}
			if d := cmp.Diff(c.tones, s.tones); d != "" {
				t.Errorf("tones: %s", d)
			}
			if s.closed != len(s.opened) {
				t.Errorf("%d keypads drawn, %d wiped", len(s.opened), s.closed)
			}
		})
	}
}

// TestPromptStays: amount, label and tries reach the panel as they came.
func TestPromptStays(t *testing.T) {
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	prompt := pinpad.Prompt{Amount: money.New(1234, eur), Label: "Debit", Language: "de", TriesLeft: 1, Attempt: 2, AllowBypass: true, AllowAccessible: true}
	s := &script{keys: "1234E"}
	p, err := New(Config{Panel: s})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OfflinePIN(t.Context(), prompt, &card{}, nil); err != nil {
		t.Fatal(err)
	}
	if s.prompt != prompt {
		t.Errorf("%+v, want %+v", s.prompt, prompt)
	}
}

// TestProgressTellsNoTiming: what the app hears comes at every tick and at no
// other moment, however the keys come.
func TestProgressTellsNoTiming(t *testing.T) {
	const tick = 100 * time.Millisecond
	for keys, want := range map[string][]int{
		"12~34~E":        {2, 4},
		"~1~234E":        {0, 1},
		"1~~~~234E":      {1, 1, 1, 1},
		"1234<<<~C~123~": {1, 0, 3},
		"12A~1~1234E":    {0, 1},
		"1234E":          nil,
	} {
		k := &clock{}
		var told []int
		s := &script{keys: keys, passes: func() { k.fire(tick) }}
		s.keys += "X"
		p, err := New(Config{Panel: s, AfterFunc: k.AfterFunc, Tick: tick, Progress: func(n int) { told = append(told, n) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{AllowAccessible: true}, &card{}, nil); err != nil && !errors.Is(err, pinpad.ErrCancelled) {
			t.Fatal(err)
		}
		k.fire(tick)
		k.fire(tick)
		if d := cmp.Diff(want, told); d != "" {
			t.Errorf("%s: %s", keys, d)
		}
	}
}

// scriptedCard answers GET CHALLENGE and VERIFY.
type scriptedCard struct {
	card
	challenge []byte
	verify    []byte
}

func (c *scriptedCard) Transmit(_ context.Context, b []byte) ([]byte, error) {
	if b[1] == apdu.INSGetChallenge {
		return append(bytes.Clone(c.challenge), 0x90, 0x00), nil
	}
	c.verify = bytes.Clone(b)
	return []byte{0x90, 0x00}, nil
}

// TestOfflineEnciphered deciphers what the card gets: 7F, the PIN block, the
// card's challenge, and padding.
func TestOfflineEnciphered(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key := oda.PublicKey{Modulus: private.N.Bytes(), Exponent: []byte{1, 0, 1}}
	c := &scriptedCard{challenge: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	p, err := New(Config{Panel: &script{keys: "123456789012E"}})
	if err != nil {
		t.Fatal(err)
	}
	sw, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, c, &key)
	if err != nil || sw != 0x9000 {
		t.Fatalf("%v %v", sw, err)
	}
	if d := cmp.Diff([]byte{0x00, 0x20, 0x00, 0x88, 0x80}, c.verify[:5]); d != "" || len(c.verify) != 5+128 {
		t.Fatalf("%d bytes: %s", len(c.verify), d)
	}
	plain := new(big.Int).Exp(new(big.Int).SetBytes(c.verify[5:]), private.D, private.N).FillBytes(make([]byte, 128))
	if d := cmp.Diff([]byte{0x7F, 0x2C, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0xFF, 1, 2, 3, 4, 5, 6, 7, 8}, plain[:17]); d != "" {
		t.Error(d)
	}
	if bytes.Contains(c.verify, plain[1:9]) {
		t.Error("the PIN block goes in clear too")
	}
	for name, challenge := range map[string][]byte{"short": {1, 2, 3}, "long": make([]byte, 9), "none": nil} {
		s := &script{keys: "1234E"}
		p.c.Panel = s
		c := &scriptedCard{challenge: challenge}
		if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, c, &key); err == nil || c.verify != nil {
			t.Errorf("%s challenge: %v, the card got %X", name, err, c.verify)
		}
	}
}
