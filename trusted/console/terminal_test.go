//go:build linux

package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

// tty is a pseudo-terminal: what is typed at the one end is read at the other,
// which sees what is shown.
type tty struct {
	t      *testing.T
	person *os.File
	end    *os.File

	mu    sync.Mutex
	more  *sync.Cond
	shown bytes.Buffer
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

func newTTY(t *testing.T, columns uint16) *tty {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number, unlocked int32
	if err := errors.Join(ioctl(person, syscall.TIOCGPTN, unsafe.Pointer(&number)), ioctl(person, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size := [4]uint16{24, columns}
	if err := ioctl(end, syscall.TIOCSWINSZ, unsafe.Pointer(&size)); err != nil {
		t.Fatal(err)
	}
	y := &tty{t: t, person: person, end: end}
	y.more = sync.NewCond(&y.mu)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			y.mu.Lock()
			y.shown.Write(buf[:n])
			y.more.Broadcast()
			y.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = errors.Join(end.Close(), person.Close()) })
	return y
}

// console is one on the terminal, that takes keys at once.
func (y *tty) console() *Console {
	c := New(Config{In: y.end, Out: y.end})
	if c.fd < 0 {
		y.t.Fatal("not taken for a terminal")
	}
	c.settle = 0
	return c
}

// until waits for something to be shown.
func (y *tty) until(s string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for !strings.Contains(y.shown.String(), s) {
		y.more.Wait()
	}
}

func (y *tty) types(s string) {
	if _, err := io.WriteString(y.person, s); err != nil {
		y.t.Error(err)
	}
}

func (y *tty) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.shown.String()
}

// echoes reports whether the terminal shows what is typed.
func (y *tty) echoes() bool {
	var s syscall.Termios
	if err := ioctl(y.end, syscall.TCGETS, unsafe.Pointer(&s)); err != nil {
		y.t.Fatal(err)
	}
	return s.Lflag&syscall.ECHO != 0
}

// TestTerminalConfirm: one key answers, unechoed, and others do nothing.
func TestTerminalConfirm(t *testing.T) {
	for keys, want := range map[string]error{"xy": nil, " \rY": nil, "n": trusted.ErrCancelled, "\x1b": trusted.ErrCancelled, "zz!": trusted.ErrCancelled, "\x03": trusted.ErrCancelled} {
		y := newTTY(t, 40)
		c := y.console()
		go func() {
			y.until("[y/n]")
			y.types(keys)
		}()
		if err := c.Confirm(t.Context(), sale(t)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", keys, err, want)
		}
		if !y.echoes() {
			t.Error("the terminal was left without echo")
		}
		if s := y.text(); strings.Contains(s[strings.Index(s, "[y/n]")+5:], "z") {
			t.Errorf("keys were echoed: %q", s)
		}
	}
}

func TestTerminalChoose(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	go func() {
		y.until("[1-2]")
		y.types("092")
	}()
	if n, err := c.Choose(t.Context(), []string{"A", "B"}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestTypedAhead: what was typed before the question stood on the screen is no
// answer.
func TestTypedAhead(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	c.in = strings.NewReader("y")
	c.settle = time.Hour
	if err := c.Confirm(t.Context(), sale(t)); !errors.Is(err, ErrInputClosed) {
		t.Errorf("an early key answered: %v", err)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
	c = y.console()
	c.in = strings.NewReader("y")
	if err := c.Confirm(t.Context(), sale(t)); err != nil {
		t.Errorf("a key did not answer: %v", err)
	}
}

// TestTerminalPIN: keys unechoed, a screen of its own, nothing left on either.
func TestTerminalPIN(t *testing.T) {
	y := newTTY(t, 40)
	c := y.console()
	e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount, Label: "TEST"}, softpad.Layout{3, 1, 4, 0, 5, 9, 2, 6, 8, 7})
	if err != nil {
		t.Fatal(err)
	}
	y.until("c 8") // the keypad's last cell of the third row
	if y.echoes() {
		t.Error("the terminal echoes")
	}
	y.types("qv\r")
	var got []softpad.Key
	for len(got) < 3 {
		k, err := e.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
		if k != softpad.KeyEnter {
			if err := e.Mask(len(got)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got[0] != 0 || got[1] != 9 || got[2] != softpad.KeyEnter {
		t.Errorf("keys %v", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Notify(t.Context(), trusted.Notice{Message: trusted.MessageApproved}); err != nil {
		t.Fatal(err)
	}
	y.until("Approved")
	s := y.text()
	begin, end := strings.Index(s, otherScreen), strings.Index(s, backAgain)
	if begin < 0 || end < begin {
		t.Fatalf("no screen of its own: %q", s)
	}
	for what, where := range map[string]string{"before": s[:begin], "after": s[end+len(backAgain):]} {
		if strings.Contains(where, "q 3") || strings.Contains(where, "*") || strings.Contains(where, "PIN") {
			t.Errorf("%s the entry the screen shows %q", what, where)
		}
	}
	if entry := s[begin+len(otherScreen) : end]; !strings.Contains(entry, "**") || strings.Contains(entry, "qv") {
		t.Errorf("the entry shows %q", entry)
	}
	if !y.echoes() {
		t.Error("the terminal was left without echo")
	}
}

// TestTerminalWidth: the screen's own width counts.
func TestTerminalWidth(t *testing.T) {
	if got := newTTY(t, 57).console().width(); got != 57 {
		t.Errorf("%d columns, want 57", got)
	}
	// A screen that says nothing.
	if got := newTTY(t, 0).console().width(); got != Columns {
		t.Errorf("%d columns, want %d", got, Columns)
	}
}
