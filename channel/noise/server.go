package noise

import (
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/internal/crowd"
)

// Server is a server's end. Safe for concurrent use as far as its modules are.
type Server struct {
	c         ServerConfig
	protocols map[Suite]map[channel.Purpose]protocol
	static    map[Suite][]*knownKey
	buffers   *buffers
	pending   crowd.Crowd
	// last is the suite of the client before.
	last atomic.Uint32
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

// visitor is a client on its way in.
type visitor struct {
	open  *hello
	suite Suite
	key   *knownKey
	psk   secret.Bytes
	// peer is what is known of it so far, and ticket what it resumes.
	peer   channel.Identity
	ticket *Ticket
	// refused is the reason for which it will be, when its credential is
	// unknown: it is told no earlier than one whose credential is wrong.
	refused error
}

func (k *Server) run(ctx context.Context, rw stream) (*Conn, error) {
	// The ephemeral key is made while the client makes its first message, for the
	// suite that it is likely to offer.
	likely := Suite(k.last.Load())
	e, err := k.ephemeral(likely)
	if err != nil {
		return nil, err
	}
	first, err := readHandshake(rw, maxFirst)
	if err != nil {
		return nil, err
	}
	open, message, err := parseHello(first)
	if err != nil {
		return nil, err
	}
	v := &visitor{open: open, suite: Suite(open.suites[0]), peer: channel.Identity{
		Purpose: open.purpose, DeviceClass: open.class, TerminalID: open.terminal, MerchantID: open.merchant,
	}}
	if err := k.accepts(ctx, v); err != nil {
		return nil, err
	}
	if err := k.credential(ctx, v); err != nil {
		return nil, err
	}
	defer v.psk.Wipe()
	hc := handshakeConfig{protocol: k.protocols[v.suite][open.purpose], rand: k.c.Rand}
	k.last.Store(uint32(v.suite))
	if v.suite == likely {
		hc.ephemeral = e
	}
	hc.prologue = append([]byte(prologueLabel), first[:len(first)-len(message)]...)
	if open.purpose != channel.PurposeResume {
		hc.static = v.key
	}
	if open.purpose != channel.PurposePay {
		hc.psks = [][]byte{v.psk.Reveal()}
	}
	h, err := newHandshake(ctx, hc)
	if err != nil {
		return nil, err
	}
	defer h.end()
	return k.exchange(ctx, rw, h, v, message)
}

// ephemeral makes a key pair for a suite; none for what is no suite.
func (k *Server) ephemeral(s Suite) (*ecdh.PrivateKey, error) {
	p, ok := k.protocols[s][channel.PurposePay]
	if !ok {
		return nil, nil
	}
	return ephemeral(p.suite.curve, k.c.Rand)
}

// exchange passes the messages, judges the client and makes the channel.
func (k *Server) exchange(ctx context.Context, rw stream, h *handshakeState, v *visitor, message []byte) (*Conn, error) {
	early, err := h.read(ctx, message)
	if err != nil {
		return nil, errors.Join(v.refused, translate(err))
	}
	if len(early) > 0 {
		// Whoever replays the first message replays them, too.
		return nil, fmt.Errorf("%w: data before the handshake's end", channel.ErrFormat)
	}
	payload := make([]byte, serverPayloadLen)
	if _, err := io.ReadFull(k.c.Rand, payload[:32]); err != nil {
		return nil, fmt.Errorf("noise: randomness: %w", err)
	}
	at := time.Unix(k.c.Now().Unix(), 0)
	binary.BigEndian.PutUint64(payload[32:], uint64(at.Unix()))
	if k.c.Tickets != nil && v.peer.Purpose != channel.PurposeEnrol {
		binary.BigEndian.PutUint16(payload[40:], policyTickets)
	}
	second, err := h.write(ctx, nil, payload)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(rw, frameHandshake, second); err != nil {
		return nil, err
	}
	question := attest.Challenge(h.y.h[:], v.peer.Purpose)
	c, body, err := k.receive(ctx, rw, h, v)
	if err != nil {
		return c, errors.Join(v.refused, translate(err))
	}
	if v.refused != nil {
		return c, v.refused
	}
	if err := k.judge(ctx, v, question, body); err != nil {
		return c, err
	}
	if c == nil {
		v.peer.Key = h.rs
	}
	if err := k.c.Authorize(ctx, v.peer); err != nil {
		return c, fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	if c == nil {
		if c, err = newConn(rw, h, k.c.Now, k.buffers, v.peer); err != nil {
			return nil, err
		}
	}
	c.peer = v.peer
	c.serverTime = at
	c.endAt(v.peer.Claims.Expires)
	if k.c.Tickets != nil && v.peer.Purpose != channel.PurposeEnrol {
		if err := k.leaveTicket(ctx, c, v.ticket); err != nil {
			return c, err
		}
	}
	return c, c.sendReady()
}

// receive takes the client's evidence: from the third message, or from a record
// where the pattern has two, and then the channel stands already.
func (k *Server) receive(ctx context.Context, rw stream, h *handshakeState, v *visitor) (*Conn, []byte, error) {
	if !h.done() {
		third, err := readHandshake(rw, maxThird)
		if err != nil {
			return nil, nil, err
		}
		body, err := h.read(ctx, third)
		return nil, body, err
	}
	c, err := newConn(rw, h, k.c.Now, k.buffers, v.peer)
	if err != nil {
		return nil, nil, err
	}
	c.read.Lock()
	defer c.read.Unlock()
	body, err := c.readMessageLocked(frameEvidence)
	return c, body, err
}

// accepts checks what a hello asks for.
func (k *Server) accepts(ctx context.Context, v *visitor) error {
	keys := k.static[v.suite]
	if len(keys) == 0 {
		return fmt.Errorf("%w: suite %d", channel.ErrPolicy, v.suite)
	}
	enrols := v.open.purpose == channel.PurposeEnrol
	if k.c.Routing != nil {
		want := sha256.Sum256(k.c.Routing)
		if none := sha256.Sum256(nil); want != v.open.routing && !(enrols && v.open.routing == none) {
			return fmt.Errorf("%w: other routing data", channel.ErrPolicy)
		}
	}
	if enrols {
		v.key = keys[0]
		return nil
	}
	for _, key := range keys {
		b, err := key.PublicKey(ctx)
		if err != nil {
			return fmt.Errorf("noise: static key: %w", err)
		}
		if keyID(b) == v.open.keyID {
			v.key = key
			return nil
		}
	}
	return fmt.Errorf("%w: the client wants another server key", channel.ErrPolicy)
}

// credential finds the pre-shared key. One that is not known is replaced by a
// random one, so that asking for ids tells nobody which there are.
func (k *Server) credential(ctx context.Context, v *visitor) error {
	switch v.open.purpose {
	case channel.PurposeEnrol:
		v.peer.ActivationID = v.open.credential
		if k.c.Activations == nil {
			return fmt.Errorf("%w: this server enrols nobody", channel.ErrPolicy)
		}
		psk, err := k.c.Activations(ctx, v.open.credential)
		switch {
		case err != nil:
		case psk.Len() != keyLen:
			err = fmt.Errorf("key of %d bytes, want %d", psk.Len(), keyLen)
		case psk.Blank():
			// The key of a store that lent it out once and did not expect it
			// to be wiped. Everybody knows these zeros.
			err = errors.New("the key was wiped")
		}
		if err != nil {
			v.refused = fmt.Errorf("%w: activation id: %w", channel.ErrPolicy, err)
		}
		v.psk = psk
	case channel.PurposeResume:
		if k.c.Tickets == nil {
			return fmt.Errorf("%w: this server resumes nothing", channel.ErrPolicy)
		}
		t, err := k.c.Tickets.Take(ctx, v.open.credential)
		if err == nil {
			err = t.check(v.peer, k.c.Now())
		}
		if err != nil {
			v.refused = fmt.Errorf("%w: ticket: %w", channel.ErrPolicy, err)
		}
		v.ticket, v.psk = &t, t.Secret
	default:
		return nil
	}
	if v.refused != nil {
		v.psk.Wipe()
		b := make([]byte, keyLen)
		if _, err := io.ReadFull(k.c.Rand, b); err != nil {
			return fmt.Errorf("noise: randomness: %w", err)
		}
		v.psk = secret.NewBytes(b)
	}
	return nil
}

// judge asks the verifier. Evidence that it refuses is a matter of policy, too;
// one that could not be asked says nothing of the device.
func (k *Server) judge(ctx context.Context, v *visitor, question, body []byte) error {
	e, err := parseEvidence(body)
	if err != nil {
		return err
	}
	v.peer.Claims, err = k.c.Verifier.Verify(ctx, question, e)
	if errors.Is(err, channel.ErrEvidence) {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	if err != nil {
		return fmt.Errorf("channel: attestation: %w", err)
	}
	if end := v.peer.Claims.Expires; !end.IsZero() && !k.c.Now().Before(end) {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonExpired, "the evidence ended %v", end.UTC()))
	}
	if v.ticket == nil {
		return nil
	}
	if was := v.ticket.Peer.Claims; v.peer.Claims.Assurance < was.Assurance {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonAssurance, "%v, and the ticket's is %v", v.peer.Claims.Assurance, was.Assurance))
	}
	if was := v.ticket.Peer.Claims.Device; subtle.ConstantTimeCompare([]byte(was), []byte(v.peer.Claims.Device)) != 1 {
		return fmt.Errorf("%w: %w", channel.ErrPolicy, channel.RefuseEvidence(channel.ReasonDevice, "not the ticket's"))
	}
	v.peer.Key = v.ticket.Peer.Key
	return nil
}

// sendReady tells the client that it is taken, and for how long.
func (c *Conn) sendReady() error {
	c.write.Lock()
	defer c.write.Unlock()
	return c.writeMessageLocked(frameReady, appendReady(nil, c.until.Sub(c.now())))
}
