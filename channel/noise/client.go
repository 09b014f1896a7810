package noise

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
)

// Client is a device's end. Safe for concurrent use as far as its modules are.
type Client struct {
	c         ClientConfig
	protocols map[channel.Purpose]protocol
	buffers   *buffers

	mu     sync.Mutex
	ticket *clientTicket // of the last channel, not used yet
}

// Client runs a handshake as the device. Errors: channel.ErrAuthentication,
// channel.ErrTruncated, channel.ErrFormat, channel.ErrRefused, one that wraps
// ctx.Err(), and those of the modules. A resumption that failed is a
// *ResumptionError.
func (k *Client) Client(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return bounded(ctx, k.c.Timeout, rw, k.run)
}

func (k *Client) run(ctx context.Context, rw stream) (*Conn, error) {
	if t := k.takeTicket(); t != nil {
		defer t.secret.Wipe()
		c, err := k.handshake(ctx, rw, t)
		if err != nil {
			return c, &ResumptionError{translate(err)}
		}
		return c, nil
	}
	return k.handshake(ctx, rw, nil)
}

// begin makes the hello and what the handshake starts from.
func (k *Client) begin(t *clientTicket) (*hello, handshakeConfig, func(), error) {
	open := &hello{
		purpose: channel.PurposePay, suites: []byte{byte(k.c.Suite)}, routing: sha256.Sum256(k.c.Routing),
		class: k.c.DeviceClass, terminal: k.c.TerminalID, merchant: k.c.MerchantID,
	}
	hc := handshakeConfig{initiator: true, static: k.c.Static, rand: k.c.Rand}
	wipe := func() {}
	switch {
	case k.c.Activation != nil:
		psk, err := k.c.Activation.PSK()
		if err != nil {
			return nil, hc, nil, err
		}
		wipe = psk.Wipe
		open.purpose, open.credential = channel.PurposeEnrol, k.c.Activation.ID
		hc.psks = [][]byte{psk.Reveal()}
	case t != nil:
		open.purpose, open.credential, open.keyID = channel.PurposeResume, t.id, keyID(k.c.ServerKey)
		hc.static, hc.psks = nil, [][]byte{t.secret.Reveal()}
	default:
		open.keyID = keyID(k.c.ServerKey)
		hc.remote = k.c.ServerKey
	}
	hc.protocol = k.protocols[open.purpose]
	return open, hc, wipe, nil
}

func (k *Client) handshake(ctx context.Context, rw stream, t *clientTicket) (*Conn, error) {
	open, hc, wipe, err := k.begin(t)
	if err != nil {
		return nil, err
	}
	defer wipe()
	sent := open.append(nil)
	hc.prologue = append([]byte(prologueLabel), sent...)
	h, err := newHandshake(ctx, hc)
	if err != nil {
		return nil, err
	}
	defer h.end()
	first, err := h.write(ctx, sent, nil)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(rw, frameHandshake, first); err != nil {
		return nil, err
	}
	second, err := readHandshake(rw, maxFirst)
	if err != nil {
		return nil, err
	}
	payload, err := h.read(ctx, second)
	if err != nil {
		return nil, err
	}
	if len(payload) != serverPayloadLen {
		return nil, fmt.Errorf("%w: server's payload", channel.ErrFormat)
	}
	evidence, err := k.c.Attester.Attest(ctx, attest.Challenge(h.y.h[:], open.purpose))
	if err != nil {
		return nil, fmt.Errorf("channel: attestation: %w", err)
	}
	body, err := appendEvidence(nil, evidence)
	if err != nil {
		return nil, err
	}
	c, err := k.present(ctx, rw, h, open, body)
	if err != nil {
		return c, err
	}
	c.serverTime = time.Unix(int64(binary.BigEndian.Uint64(payload[32:])), 0)
	if err := c.awaitReady(); err != nil {
		return c, err
	}
	if binary.BigEndian.Uint16(payload[40:])&policyTickets != 0 {
		return c, k.keepTicket(c, t)
	}
	return c, nil
}

// present sends the evidence and makes the channel: in the third message, or in
// a record where the pattern has two.
func (k *Client) present(ctx context.Context, rw stream, h *handshakeState, open *hello, evidence []byte) (*Conn, error) {
	peer := channel.Identity{Purpose: open.purpose}
	if open.purpose == channel.PurposeEnrol {
		peer.ActivationID = open.credential
	}
	if open.purpose == channel.PurposeResume {
		// Only the server has the other half of the ticket.
		peer.Key = k.c.ServerKey
		c, err := newConn(rw, h, k.c.Now, k.buffers, peer)
		if err != nil {
			return nil, err
		}
		c.write.Lock()
		defer c.write.Unlock()
		return c, c.writeMessageLocked(frameEvidence, evidence)
	}
	third, err := h.write(ctx, nil, evidence)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(rw, frameHandshake, third); err != nil {
		return nil, err
	}
	peer.Key = h.rs
	return newConn(rw, h, k.c.Now, k.buffers, peer)
}

// awaitReady waits for the server's word that the client is taken.
func (c *Conn) awaitReady() error {
	c.read.Lock()
	defer c.read.Unlock()
	m, err := c.readMessageLocked(frameReady)
	if err != nil {
		return err
	}
	life, err := parseReady(m)
	if err == nil {
		c.endAt(c.now().Add(life))
	}
	return err
}
