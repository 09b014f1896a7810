package channeltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel"
)

// RunStream checks that a kind of channel is a net.Conn in everything that
// net.Conn says of deadlines, of closing and of concurrent use, over a stream
// that holds little. It asks for more than Run does: a Write that a deadline
// interrupted can go on. Time in it is virtual.
func RunStream(t *testing.T, pair Pair) {
	for name, f := range map[string]func(t *testing.T, a, b net.Conn){
		"large transfers both ways":      transfers,
		"ping pong":                      pingPong,
		"deadline in the past":           pastDeadline,
		"deadline set while blocked":     deadlineWhileBlocked,
		"deadline to come, and going on": deadlineToCome,
		"deadline moved":                 deadlineMoved,
		"racing readers":                 racingReaders,
		"racing writers":                 racingWriters,
		"close while blocked":            closeWhileBlocked,
		"everything at once":             everythingAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := Connect(t, pair, Faults{Capacity: 8 << 10})
				f(t, a, b)
			})
		})
		t.Run(name+", over a stream without deadlines", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := pair(t)
				x, y := PipeWith(Faults{Capacity: 8 << 10})
				a, b := connect(t, c, s, plain{x}, plain{y})
				f(t, a, b)
			})
		})
	}
}

// echo sends back what comes, until it ends.
func echo(c net.Conn) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
	}()
	return func() { <-done }
}

func transfers(t *testing.T, a, b net.Conn) {
	want := pattern(channel.MaxMessage + 4321)
	var all sync.WaitGroup
	for _, c := range []net.Conn{a, b} {
		all.Go(func() {
			for at := 0; at < len(want); at += 30_000 {
				part := want[at:min(at+30_000, len(want))]
				if n, err := c.Write(part); err != nil || n != len(part) {
					t.Errorf("writing: %d, %v", n, err)
					return
				}
			}
		})
		all.Go(func() {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("reading: %v", err)
			}
		})
	}
	all.Wait()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the peer's close: %d, %v", n, err)
	}
}

func pingPong(t *testing.T, a, b net.Conn) {
	wait := echo(b)
	for n := range 100 {
		if err := exchange(a, fmt.Sprint("ping ", n)); err != nil {
			t.Fatal(err)
		}
	}
	_ = a.Close()
	wait()
}

// exchange sends a text to an echo and wants it back.
func exchange(c net.Conn, text string) error {
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("%q came back as %q", text, got)
	}
	return nil
}

// timeout checks that an error is a passed deadline's, as net.Conn has it.
func timeout(t *testing.T, doing string, err error) {
	t.Helper()
	var n net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("%s past a deadline: %v", doing, err)
	}
	if _, ok := err.(net.Error); !ok {
		t.Errorf("%s: %T is no net.Error", doing, err)
	}
}

func pastDeadline(t *testing.T, a, b net.Conn) {
	wait := echo(b)
	long := time.Unix(1, 0)
	for range 2 {
		if err := a.SetDeadline(long); err != nil {
			t.Fatal(err)
		}
		n, err := a.Write(make([]byte, 1024))
		timeout(t, "writing", err)
		m, err := a.Read(make([]byte, 1024))
		timeout(t, "reading", err)
		if n != 0 || m != 0 {
			t.Errorf("%d bytes written and %d read past a deadline", n, m)
		}
		if err := a.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := exchange(a, "and it lives"); err != nil {
			t.Error(err)
		}
	}
	_ = a.Close()
	wait()
}

func deadlineWhileBlocked(t *testing.T, a, b net.Conn) {
	var all sync.WaitGroup
	began := time.Now()
	all.Go(func() {
		_, err := a.Read(make([]byte, 1))
		timeout(t, "reading", err)
	})
	all.Go(func() {
		var err error
		for err == nil {
			_, err = a.Write(make([]byte, 1<<16))
		}
		timeout(t, "writing", err)
	})
	synctest.Wait()
	time.Sleep(time.Second)
	if err := a.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if d := time.Since(began); d != time.Second {
		t.Errorf("it took %v", d)
	}
	_ = b.Close()
}

// deadlineToCome: what was counted as written arrives, once, and before what is
// written later.
func deadlineToCome(t *testing.T, a, b net.Conn) {
	if err := a.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	text := pattern(1 << 18)
	counted, err := a.Write(text)
	timeout(t, "writing", err)
	if counted >= len(text) {
		t.Errorf("%d bytes went where there is no room for them", counted)
	}
	_, err = a.Read(make([]byte, 1))
	timeout(t, "reading", err)
	if err := a.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := a.Write(text[counted:])
		done <- errors.Join(err, a.Close())
	}()
	got, err := io.ReadAll(b)
	if werr := <-done; err != nil || werr != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes, the same: %v; %v, %v", len(got), len(text), bytes.Equal(got, text), err, werr)
	}
}

// deadlineMoved: a deadline that is put off counts as it was put last.
func deadlineMoved(t *testing.T, a, b net.Conn) {
	began := time.Now()
	for _, d := range []time.Duration{time.Second, time.Hour, time.Minute} {
		if err := a.SetReadDeadline(began.Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := a.Read(make([]byte, 1))
	timeout(t, "reading", err)
	if d := time.Since(began); d != time.Minute {
		t.Errorf("it took %v", d)
	}
	_ = b.Close()
}

// racingReaders and racingWriters: many at once, with deadlines, lose and tear
// nothing that the channel counts.
func racingReaders(t *testing.T, a, b net.Conn) {
	const readers, total = 8, 1 << 17
	go func() {
		_, _ = a.Write(make([]byte, total))
		_ = a.Close()
	}()
	var mu sync.Mutex
	sum := 0
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			buf := make([]byte, 1000)
			for {
				_ = b.SetReadDeadline(time.Now().Add(time.Millisecond))
				n, err := b.Read(buf)
				mu.Lock()
				sum += n
				mu.Unlock()
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	all.Wait()
	if sum != total {
		t.Errorf("%d bytes of %d", sum, total)
	}
}

func racingWriters(t *testing.T, a, b net.Conn) {
	const writers, each = 8, 100
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				if _, err := a.Write(bytes.Repeat([]byte{byte(w)}, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() {
		all.Wait()
		_ = a.Close()
	}()
	got, err := io.ReadAll(b)
	if err != nil || len(got) != writers*each*100 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for len(got) > 0 {
		if !bytes.Equal(got[:100], bytes.Repeat(got[:1], 100)) {
			t.Fatal("a Write was torn")
		}
		got = got[100:]
	}
}

func closeWhileBlocked(t *testing.T, a, b net.Conn) {
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading: %v", err)
		}
	})
	all.Go(func() {
		var err error
		for err == nil {
			_, err = a.Write(make([]byte, 1<<16))
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing: %v", err)
		}
	})
	synctest.Wait()
	_ = a.Close()
	all.Wait()
	_ = b.Close()
}

func everythingAtOnce(t *testing.T, a, b net.Conn) {
	wait := echo(b)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { _, _ = a.Read(make([]byte, 64)) })
		all.Go(func() { _, _ = a.Write(make([]byte, 64)) })
		all.Go(func() { _ = a.SetDeadline(time.Now().Add(time.Second)) })
		all.Go(func() { _ = a.SetReadDeadline(time.Now().Add(time.Second)) })
		all.Go(func() { _ = a.SetWriteDeadline(time.Now().Add(time.Second)) })
		all.Go(func() { _, _ = a.LocalAddr(), a.RemoteAddr() })
	}
	all.Wait()
	_ = a.Close()
	wait()
}
