package tlschan

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/internal/patient"
)

// bindingLabel is that of TLS's channel binding (RFC 9266).
const bindingLabel = "EXPORTER-Channel-Binding"

// exporterLabel is that of the secret that Conn.Export expands, with the binding
// as its context.
const exporterLabel = "EXPERIMENTAL payunit channel 1"

// Client runs a handshake as the device. Errors: channel.ErrAuthentication,
// channel.ErrTruncated, channel.ErrFormat, channel.ErrRefused, channel.ErrPolicy
// for another server than the one pinned, one that wraps ctx.Err(), and those of
// the modules.
func (k *Client) Client(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	return bounded(ctx, k.c.Timeout, rw, k.run)
}

func (k *Client) pinned(key []byte) bool {
	return bytes.Equal(key, k.c.ServerKey) || slices.ContainsFunc(k.c.OtherServerKeys, func(other []byte) bool { return bytes.Equal(key, other) })
}

func (k *Client) run(ctx context.Context, rw patient.Stream) (*Conn, error) {
	under := &strict{Stream: rw}
	tc := config(k.cert, func(s tls.ConnectionState) error {
		key, err := peerKey(s)
		if err == nil && len(k.c.ServerKey) != 0 && !k.pinned(key) {
			err = fmt.Errorf("%w: another server key than the one that is known", channel.ErrPolicy)
		}
		return err
	})
	sessions := k.resuming(tc)
	t := tls.Client(under, tc)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c := newConn(under, t, k.c.Now, &k.frames)
	open := &hello{
		purpose: channel.PurposePay, routing: sha256.Sum256(k.c.Routing),
		class: k.c.DeviceClass, terminal: k.c.TerminalID, merchant: k.c.MerchantID,
	}
	resumed := t.ConnectionState().DidResume
	if resumed {
		open.purpose = channel.PurposeResume
	}
	if k.c.Activation != nil {
		if k.c.Activation.Key.Blank() {
			return c, fmt.Errorf("%w: the activation's key was wiped", ErrConfig)
		}
		open.purpose, open.activation = channel.PurposeEnrol, k.c.Activation.ID
	}
	sent := open.append(nil)
	if err := c.send(ctx, frameHello, sent); err != nil {
		return c, err
	}
	b, err := c.receive(ctx, frameWelcome, welcomeLen)
	if err != nil {
		return c, err
	}
	w, err := parseWelcome(b)
	if err != nil {
		return c, err
	}
	if err := c.bind(t.ConnectionState(), sent, w); err != nil {
		return c, err
	}
	var own, want [digestLen]byte
	if k.c.Activation != nil {
		want = proof(k.c.Activation.Key.Reveal(), proofServer, c.binding)
		own = proof(k.c.Activation.Key.Reveal(), proofClient, c.binding)
	}
	if !hmac.Equal(want[:], w.proof[:]) {
		return c, fmt.Errorf("%w: the server does not know the activation", channel.ErrAuthentication)
	}
	e, err := k.c.Attester.Attest(ctx, attest.Challenge(c.binding[:], open.purpose))
	if err != nil {
		return c, fmt.Errorf("%w: attestation: %w", errModule, err)
	}
	body, err := appendEvidence(nil, own, e)
	if err != nil {
		return c, err
	}
	if err := c.send(ctx, frameEvidence, body); err != nil {
		return c, err
	}
	key, err := peerKey(t.ConnectionState())
	if err != nil {
		return c, err
	}
	c.peer = channel.Identity{Key: key, Purpose: open.purpose, ActivationID: open.activation}
	if b, err = c.receive(ctx, frameReady, readyLen); err != nil {
		return c, err
	}
	life, err := parseReady(b)
	if err == nil {
		c.endAt(c.now().Add(life))
		k.keep(sessions, resumed)
	}
	return c, err
}

// Server runs a handshake as the payment server. A client that it does not take
// is told so without a reason, and the error has the reason:
// channel.ErrAuthentication, channel.ErrTruncated, channel.ErrFormat,
// channel.ErrRefused, channel.ErrPolicy, channel.ErrEvidence,
// channel.ErrVerifierUnavailable, ErrCrowded, or one that wraps ctx.Err().
func (k *Server) Server(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	ctx, leave := k.pending.Enter(ctx)
	defer leave()
	return bounded(ctx, k.c.Timeout, rw, k.run)
}

func (k *Server) run(ctx context.Context, rw patient.Stream) (*Conn, error) {
	under := &strict{Stream: rw, first: true}
	tc := config(k.cert, func(s tls.ConnectionState) error {
		_, err := peerKey(s)
		return err
	})
	v := k.resumable(ctx, tc)
	defer func() { v.state.Wipe() }()
	t := tls.Server(under, tc)
	if err := t.HandshakeContext(ctx); err != nil {
		if errors.Is(err, errOther) {
			patient.LastWord(ctx, rw, func() error { _, err := rw.Write(refusal[:]); return err })
		}
		return nil, err
	}
	c := newConn(under, t, k.c.Now, &k.frames)
	heard, err := c.receive(ctx, frameHello, maxHello)
	if err != nil {
		return c, err
	}
	open, err := parseHello(heard)
	if err != nil {
		return c, err
	}
	unknown := open.purpose == channel.PurposeEnrol && open.routing == sha256.Sum256(nil)
	if k.c.Routing != nil && sha256.Sum256(k.c.Routing) != open.routing && !unknown {
		return c, fmt.Errorf("%w: other routing data", channel.ErrPolicy)
	}
	w := &welcome{clock: k.c.Now().Unix()}
	if _, err := io.ReadFull(rand.Reader, w.nonce[:]); err != nil {
		return c, fmt.Errorf("%w: randomness: %w", errModule, err)
	}
	if err := c.bind(t.ConnectionState(), heard, w); err != nil {
		return c, err
	}
	key, refused, err := k.credential(ctx, open)
	if err != nil {
		return c, err
	}
	defer key.Wipe()
	var want [digestLen]byte
	if open.purpose == channel.PurposeEnrol {
		w.proof = proof(key.Reveal(), proofServer, c.binding)
		want = proof(key.Reveal(), proofClient, c.binding)
	}
	if err := c.send(ctx, frameWelcome, w.append(nil)); err != nil {
		return c, err
	}
	b, err := c.receive(ctx, frameEvidence, maxEvidence)
	if err != nil {
		return c, err
	}
	given, e, err := parseEvidence(b)
	if err != nil {
		return c, err
	}
	// An activation that is unknown is told no earlier than a wrong key.
	if !hmac.Equal(given[:], want[:]) || refused != nil {
		return c, errors.Join(refused, fmt.Errorf("%w: the client does not know the activation", channel.ErrAuthentication))
	}
	if err := k.judge(ctx, c, open, e, v); err != nil {
		return c, err
	}
	if err := k.keep(ctx, v, t.ConnectionState().DidResume, c.peer); err != nil {
		return c, err
	}
	return c, c.send(ctx, frameReady, appendReady(nil, c.until.Sub(c.now())))
}

// credential finds the key of an activation. One that is not known is replaced
// by a random one, so that asking for ids tells nobody which there are.
func (k *Server) credential(ctx context.Context, open *hello) (key secret.Bytes, refused, err error) {
	if open.purpose != channel.PurposeEnrol {
		return secret.Bytes{}, nil, nil
	}
	if k.c.Activations == nil {
		return secret.Bytes{}, nil, fmt.Errorf("%w: this server enrols nobody", channel.ErrPolicy)
	}
	key, err = k.c.Activations(ctx, open.activation)
	switch {
	case err != nil:
	case key.Len() != keyLen:
		err = fmt.Errorf("key of %d bytes, want %d", key.Len(), keyLen)
	case key.Blank():
		// The key of a store that lent it out once and did not expect it to be
		// wiped. Everybody knows these zeros.
		err = errors.New("the key was wiped")
	}
	if err == nil {
		return key, nil, nil
	}
	refused = fmt.Errorf("%w: activation id: %w", channel.ErrPolicy, err)
	key.Wipe()
	b := make([]byte, keyLen)
	if _, err := io.ReadFull(rand.Reader, b); err != nil {
		return secret.Bytes{}, nil, fmt.Errorf("%w: randomness: %w", errModule, err)
	}
	return secret.NewBytes(b), refused, nil
}

// judge asks the verifier and the server's policy.
func (k *Server) judge(ctx context.Context, c *Conn, open *hello, e channel.Evidence, v *visit) error {
	key, err := peerKey(c.tls.ConnectionState())
	if err != nil {
		return err
	}
	c.peer = channel.Identity{
		Key: key, Purpose: open.purpose, DeviceClass: open.class, TerminalID: open.terminal, MerchantID: open.merchant, ActivationID: open.activation,
	}
	resumed := c.tls.ConnectionState().DidResume
	if err := v.checks(resumed, c.peer); err != nil {
		return err
	}
	c.peer.Claims, err = k.c.Verifier.Verify(ctx, attest.Challenge(c.binding[:], open.purpose), e)
	if errors.Is(err, channel.ErrEvidence) {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	if err != nil {
		return fmt.Errorf("%w: attestation: %w", errModule, err)
	}
	if err := v.holds(resumed, c.peer.Claims); err != nil {
		return err
	}
	end := c.peer.Claims.Expires
	if !end.IsZero() && !k.c.Now().Before(end) {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonExpired, "the evidence ended %v", end.UTC()))
	}
	c.endAt(end)
	if err := k.c.Authorize(ctx, c.peer); err != nil {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	return nil
}
