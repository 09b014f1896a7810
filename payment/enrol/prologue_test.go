package enrol_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/config"
)

// hellos is a link that keeps what the app sees first of each channel.
type hellos struct {
	trusted.Link
	mu   sync.Mutex
	seen [][]byte
}

func (h *hellos) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	rw, err := h.Link.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &helloConn{ReadWriteCloser: rw, of: h}, nil
}

type helloConn struct {
	io.ReadWriteCloser
	of   *hellos
	once sync.Once
}

func (c *helloConn) Write(b []byte) (int, error) {
	c.once.Do(func() { c.of.mu.Lock(); c.of.seen = append(c.of.seen, bytes.Clone(b)); c.of.mu.Unlock() })
	return c.ReadWriteCloser.Write(b)
}

// TestKeyIDInPrologue: the handshake names, in its prologue, the key that the
// configuration lists first, by the id that Key.ID gives; who alters it there gets
// no channel under another key.
func TestKeyIDInPrologue(t *testing.T) {
	e := newEstate(t)
	e.serve(firstKey, nextKey)
	_, c, _, err := e.enrols(nil)
	if err != nil {
		t.Fatal(err)
	}
	link := &hellos{Link: c.Link}
	c.Link = link
	if err := open(t, c).Configure(t.Context(), signed(t, 1, 2, nil, nextKey, firstKey)); err != nil {
		t.Fatal(err)
	}
	if k := under(t, open(t, c)); k != nextKey {
		t.Errorf("key %d", k)
	}
	id := config.Key{Public: serverKey(t, nextKey).PublicKey().Bytes()}.ID()
	// Header 4, version, purpose, number of suites, one suite: then the key id.
	if got := hex.EncodeToString(link.seen[0][8:16]); got != hex.EncodeToString(id[:]) {
		t.Errorf("key id %s, want %x", got, id)
	}
	other := config.Key{Public: serverKey(t, firstKey).PublicKey().Bytes()}.ID()
	c.Link = &swapping{c.Link, other[:]}
	if _, err := open(t, c).Open(t.Context()); !errors.Is(err, channel.ErrRefused) && !errors.Is(err, channel.ErrAuthentication) {
		t.Errorf("with another key id: %v", err)
	}
}

// swapping is a relay that names another of the server's keys.
type swapping struct {
	trusted.Link
	id []byte
}

func (s *swapping) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	rw, err := s.Link.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &swapConn{ReadWriteCloser: rw, id: s.id}, nil
}

type swapConn struct {
	io.ReadWriteCloser
	id   []byte
	once sync.Once
}

func (c *swapConn) Write(b []byte) (int, error) {
	c.once.Do(func() { b = bytes.Clone(b); copy(b[8:], c.id) })
	return c.ReadWriteCloser.Write(b)
}
