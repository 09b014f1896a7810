package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

func TestDialerMovesAndShowsBytes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	}()
	var mu sync.Mutex
	seen := map[bool]string{}
	c, err := Dialer{Address: l.Addr().String(), Observe: func(up bool, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen[up] += string(b)
	}}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "there" {
		t.Fatalf("%q %v", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if seen[true] != "there" || seen[false] != "there" {
		t.Errorf("seen %v", seen)
	}
}

func TestDialerCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Dialer{Address: "127.0.0.1:1"}).Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}
