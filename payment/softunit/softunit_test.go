package softunit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/trusted/vault"
)

// link counts how often the server was asked for, and never reaches it.
type link struct{ opened int }

var errNoNetwork = errors.New("no network")

func (l *link) Open(context.Context) (io.ReadWriteCloser, error) {
	l.opened++
	return nil, errNoNetwork
}

type noReader struct{}

func (noReader) Name() string { return "no reader" }
func (noReader) Connect(context.Context) (cardreader.Card, error) {
	return nil, cardreader.ErrCardRemoved
}

// TestOpen: whatever is missing is said before the server is asked, so that no
// activation code is spent on a unit that can't be composed.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"capk":[{"rid":"zz"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := &oda.Store{}
	activation, err := noise.NewActivation(bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	code, err := activation.Code()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
		is     error
		opened int
	}{
		{"no folder", func(c *Config) { c.Dir = "" }, "Dir", nil, 0},
		{"no reader", func(c *Config) { c.Reader = nil }, "Reader", nil, 0},
		{"no link", func(c *Config) { c.Link = nil }, "Link", nil, 0},
		{"no CA keys", func(c *Config) { c.CAKeys, c.CAPKFile = nil, filepath.Join(dir, "absent.json") }, "absent.json", fs.ErrNotExist, 0},
		{"bad CA keys", func(c *Config) { c.CAKeys, c.CAPKFile = nil, bad }, "rid", nil, 0},
		{"no terminal data", func(c *Config) { c.Terminal, c.TerminalFile = nil, filepath.Join(dir, "absent.json") }, "absent.json", fs.ErrNotExist, 0},
		{"bad terminal data", func(c *Config) { c.Terminal, c.TerminalFile = nil, bad }, "capk", nil, 0},
		{"not enrolled", func(c *Config) { c.Activation = "" }, "enrol", enrol.ErrNotEnrolled, 0},
		{"server out of reach", func(*Config) {}, "no network", errNoNetwork, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &link{}
			config := Config{
				Dir: t.TempDir(), Key: vault.FixedKey(secret.NewBytes(bytes.Repeat([]byte{7}, 32))), Link: l, Reader: noReader{},
				Terminal: &emv.Terminal{}, CAKeys: keys, Activation: code,
			}
			c.change(&config)
			u, err := Open(t.Context(), config)
			if err == nil {
				t.Fatal("a unit was composed", u.Close())
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not name %q", err, c.says)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v is not %v", err, c.is)
			}
			if l.opened != c.opened {
				t.Errorf("the server was asked %d times, want %d", l.opened, c.opened)
			}
		})
	}
}
