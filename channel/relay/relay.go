// Package relay is the app's side of the channel: it opens connections to the
// payment server and moves their bytes. It can read nothing of them, and holds
// no key with which it could.
//
// Dialer is for a unit in the app's own process, Relay for one elsewhere. A unit
// takes any trusted.Link: where a network lets nothing but HTTP pass, the app
// opens the stream by an upgrade of its own and hands it in.
package relay

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/payunit/payunit/trusted"
)

// Dialer is a trusted.Link over TCP.
type Dialer struct {
	// Address is the server's HOST:PORT.
	Address string
	// Observe is told what passes, up to the server or down from it; nil
	// tells nobody. It is called from the goroutines that read and write, and
	// does not keep b.
	Observe func(up bool, b []byte)
}

var _ trusted.Link = Dialer{}

// Open implements trusted.Link.
func (d Dialer) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	var n net.Dialer
	c, err := n.DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if d.Observe == nil {
		return c, nil
	}
	return observed{c, d.Observe}, nil
}

// observed is a connection somebody watches. It keeps the deadlines of what it
// embeds.
type observed struct {
	net.Conn
	observe func(up bool, b []byte)
}

func (o observed) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if n > 0 {
		o.observe(false, b[:n])
	}
	return n, err
}

func (o observed) Write(b []byte) (int, error) {
	n, err := o.Conn.Write(b)
	if n > 0 {
		o.observe(true, b[:n])
	}
	return n, err
}
