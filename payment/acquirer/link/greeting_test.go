package link

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
)

// TestGreeting: who has no key holds no place for long, silent, slow or loud; who
// has one may be silent.
func TestGreeting(t *testing.T) {
	frame := func(key string) []byte {
		b, err := sealer(key).seal(echo("TERM0001", "000001"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := Framing{}.Append(nil, TPDU{}, b)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name string
		peer func(c net.Conn)
		ends time.Duration // 0: not by itself
	}{
		{"silent", func(net.Conn) {}, 30 * time.Second},
		{"slow", func(c net.Conn) {
			for _, b := range frame("key") {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}, 30 * time.Second},
		{"keep-alives alone", func(c net.Conn) {
			for {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{0, 0}); err != nil {
					return
				}
			}
		}, 30 * time.Second},
		{"of another key", func(c net.Conn) { _, _ = c.Write(frame("other")) }, time.Nanosecond},
		{"known, then silent", func(c net.Conn) { _, _ = c.Write(frame("key")) }, 0},
		{"known, then with another key", func(c net.Conn) {
			_, _ = c.Write(frame("key"))
			synctest.Wait()
			_, _ = c.Write(frame("other"))
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				h := &Host{
					Seal: sealer("key").seal, Open: sealer("key").open,
					Handle: func(context.Context, *acquirer.Message) *acquirer.Message { return nil },
				}
				began := time.Now()
				ended := make(chan time.Duration, 1)
				go func() {
					_ = h.ServeConn(t.Context(), near)
					ended <- time.Since(began)
				}()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				go c.peer(far)
				time.Sleep(time.Hour)
				select {
				case took := <-ended:
					if c.ends == 0 || took > c.ends {
						t.Errorf("ended after %v, want %v", took, c.ends)
					}
				default:
					if c.ends != 0 {
						t.Error("still open")
					}
				}
				_ = far.Close()
			})
		})
	}
}
