package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// server answers each frame with one of the same body and its first byte set, and
// keeps what it got.
type server struct {
	mu  sync.Mutex
	got []byte
}

func (s *server) Open(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for {
			head := make([]byte, 4)
			if _, err := io.ReadFull(far, head); err != nil {
				return
			}
			body := make([]byte, int(head[2])<<8|int(head[3]))
			n, err := io.ReadFull(far, body)
			s.mu.Lock()
			s.got = append(append(s.got, head...), body[:n]...)
			s.mu.Unlock()
			if err != nil {
				return
			}
			head[0] |= 0x80
			if _, err := far.Write(append(head, body...)); err != nil {
				return
			}
		}
	}()
	return near, nil
}

func (s *server) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.got)
}

func frame(kind byte, body string) []byte {
	return append([]byte{kind, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

// dialogue sends three frames, each after the answer to the one before, and
// returns the answers.
func dialogue(link *Link) (answers string, took time.Duration, err error) {
	began := time.Now()
	c, err := link.Open(context.Background())
	if err != nil {
		return "", 0, err
	}
	timer := time.AfterFunc(time.Minute, func() { _ = c.Close() })
	defer timer.Stop()
	defer c.Close()
	for n := range 3 {
		f := frame(byte(n), fmt.Sprint("body ", n))
		if _, err := c.Write(f); err != nil {
			return answers, time.Since(began), err
		}
		b := make([]byte, len(f))
		k, err := io.ReadFull(c, b)
		answers += string(b[:k])
		if err != nil {
			return answers, time.Since(began), err
		}
	}
	return answers, time.Since(began), nil
}

func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := New(s, Pass)
		answers, _, err := dialogue(l)
		if err != nil {
			t.Fatal(err)
		}
		if want := string(frame(0x80, "body 0")) + string(frame(0x81, "body 1")) + string(frame(0x82, "body 2")); answers != want {
			t.Errorf("%q", answers)
		}
		var order []string
		for _, f := range l.Seen() {
			order = append(order, fmt.Sprint(f.Connection, f.Up, f.Index, f.Order, string(f.Bytes[4:])))
		}
		want := []string{"0true00body 0", "0false01body 0", "0true12body 1", "0false13body 1", "0true24body 2", "0false25body 2"}
		for i := range want {
			want[i] = fmt.Sprint(0, i%2 == 0, i/2, i, fmt.Sprint("body ", i/2))
		}
		if d := cmp.Diff(want, order); d != "" {
			t.Error(d)
		}
	})
}

// TestTrials: what a trial is called is what befalls the frame, and a dialogue
// that is not benign does not go as the calm one.
func TestTrials(t *testing.T) {
	var calm []Frame
	var want, wantUp string
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := New(s, Pass)
		var err error
		if want, _, err = dialogue(l); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		calm, wantUp = l.Seen(), s.received()
	})
	trials := append(Trials(calm), Bytes(calm, 3)...)
	names := map[string]bool{}
	for _, trial := range trials {
		if names[trial.String()] {
			t.Errorf("%v twice", trial)
		}
		names[trial.String()] = true
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			l := New(s, trial.Judge())
			answers, took, err := dialogue(l)
			synctest.Wait()
			same := answers == want && s.received() == wantUp && err == nil
			// At the end of a dialogue nobody is left who could notice.
			last := trial.Frame == len(calm)-1
			if trial.Benign && !same {
				t.Errorf("%v: %q, %v", trial, answers, err)
			}
			if trial.Attack == "delay" && took != soon {
				t.Errorf("%v took %v", trial, took)
			}
			if !trial.Benign && same && !last && !quiet(trial) {
				t.Errorf("%v did nothing", trial)
			}
		})
	}
	if len(trials) < 6*30 {
		t.Errorf("%d trials", len(trials))
	}
}

// quiet are the trials that this dialogue, which looks at no frame's content and
// sends the same ones every time, can't tell from a calm run.
func quiet(t Trial) bool {
	switch t.Attack {
	case "splice: the frame of another session", "alter the flags":
		return true
	case "replay the one before":
		return t.Frame < 2
	case "splice: the last frame of another session":
		return t.Frame >= 4
	case "cut after":
		return t.Frame == 4
	case "downgrade":
		return true
	}
	return false
}

// TestRecordsOfTLS: they are frames, too.
func TestRecordsOfTLS(t *testing.T) {
	var got []string
	d := cutter{link: New(nil, func(f Frame) Verdict {
		got = append(got, string(f.Bytes))
		return Pass(f)
	})}
	records := []string{"\x16\x03\x01\x00\x02hi", "\x14\x03\x03\x00\x01\x01", "\x17\x03\x03\x00\x00"}
	for _, b := range []byte(strings.Join(records, "") + "\x17\x03\x03\x00") {
		d.feed([]byte{b})
	}
	if diff := cmp.Diff(records, got); diff != "" {
		t.Error(diff)
	}
	if b := setLength([]byte("\x17\x03\x03\x00\x00abc")); string(b) != "\x17\x03\x03\x00\x03abc" {
		t.Errorf("%x", b)
	}
}

func TestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(&server{}, func(f Frame) Verdict {
			return Verdict{Back: [][]byte{bytes.ToUpper(f.Bytes)}}
		})
		c, err := l.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(frame(1, "x")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != string(frame(1, "X")) {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// TestReplay plays what went up, and counts the answers.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := New(s, Pass)
		if _, _, err := dialogue(l); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		first := s.received()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// This server answers everything and waits for more.
		if _, err := Replay(ctx, s, l.Seen()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if s.received() != first+first {
			t.Errorf("%q", s.received())
		}
	})
}

func TestRollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := []Frame{{Up: true, Bytes: frame(1, "up")}, {Bytes: frame(7, "old 00")}}
		answers, _, err := dialogue(New(&server{}, RollBack(old)))
		if answers != string(frame(7, "old 00")) || err == nil {
			t.Errorf("%q, %v", answers, err)
		}
	})
}

// TestClosing: both ends of a connection are let go, whoever closes.
func TestClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, judge := range []func(Frame) Verdict{Drop, Cut, func(f Frame) Verdict { return Verdict{Delay: late} }} {
			l := New(&server{}, judge)
			c, err := l.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 2)
			go func() { _, err := c.Write(frame(1, "x")); done <- err }()
			go func() { _, err := c.Read(make([]byte, 1)); done <- err }()
			synctest.Wait()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			<-done
			<-done
		}
	})
}
