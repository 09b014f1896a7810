package noise

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/crowd"
)

// ErrConfig: NewClient or NewServer was given something that can't work.
var ErrConfig = errors.New("noise: configuration")

// ErrCrowded: a handshake was given up for newer ones, since it was the oldest of
// too many.
var ErrCrowded = crowd.ErrCrowded

const defaultTimeout = 15 * time.Second

// Suite is a set of algorithms, as a hello offers it.
type Suite uint8

// The suites. A channel's three purposes are the patterns XKhfs (pay),
// XXhfs+psk3 (enrol) and NNpsk0 (resume) in it.
const (
	// SuiteX25519 is X25519, ML-KEM-768, ChaCha20-Poly1305 and SHA-256.
	SuiteX25519 Suite = 1
	// SuiteP256 is P-256, ML-KEM-768, AES-256-GCM and SHA-256, for static keys
	// in hardware that has no X25519.
	SuiteP256 Suite = 2
)

// protocols are the protocols of a suite, a purpose each.
func (s Suite) protocols() (map[channel.Purpose]protocol, error) {
	dh, rest := "25519", "_ChaChaPoly_SHA256"
	switch s {
	case SuiteX25519:
	case SuiteP256:
		dh, rest = "P256", "_AESGCM_SHA256"
	default:
		return nil, fmt.Errorf("%w: unknown suite %d", ErrConfig, s)
	}
	out := map[channel.Purpose]protocol{}
	for purpose, name := range map[channel.Purpose]string{
		channel.PurposePay:   "Noise_XKhfs_" + dh + "+MLKEM768" + rest,
		channel.PurposeEnrol: "Noise_XXhfs+psk3_" + dh + "+MLKEM768" + rest,
		// The pre-shared key carries the hybrid secrecy of the channel that it
		// was exported from.
		channel.PurposeResume: "Noise_NNpsk0_" + dh + rest,
	} {
		p, err := parseName(name)
		if err != nil {
			return nil, err
		}
		out[purpose] = p
	}
	return out, nil
}

// publicLen is the length of the suite's public keys.
func (s Suite) publicLen() int {
	if s == SuiteP256 {
		return p256Len
	}
	return x25519Len
}

// ClientConfig configures a device's end.
type ClientConfig struct {
	// Suite is the suite in use; zero means SuiteX25519. A client never falls
	// back to another by itself.
	Suite Suite
	// Static is the device's key, of the suite's curve. No default.
	Static StaticKey
	// Attester produces the device's evidence. No default.
	Attester channel.Attester
	// ServerKey is the server's static key: the channel is for payments.
	// Without it there must be an Activation, and the channel is for
	// enrolment.
	ServerKey  []byte
	Activation *Activation
	// DeviceClass, TerminalID and MerchantID are declared to the server, at
	// most 64 printable characters each. The relay sees them.
	DeviceClass, TerminalID, MerchantID string
	// Routing is the routing data that the app supplied. Its hash is bound
	// into the handshake.
	Routing []byte
	// Resume lets a channel for payments leave a ticket, good for the next one
	// within 24 hours, which then takes no static key operation.
	Resume bool
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Rand is the source of ephemeral keys; nil means crypto/rand. The KEM's
	// encapsulation draws from the system whatever is set here.
	Rand io.Reader
	// Now is the clock of the channel's age; nil means time.Now.
	Now func() time.Time
}

// ServerConfig configures a server's end. It serves every purpose that it has
// the modules for on one port.
type ServerConfig struct {
	// Static is the server's X25519 key. No default.
	Static StaticKey
	// StaticP256 is the server's P-256 key; nil refuses SuiteP256.
	StaticP256 StaticKey
	// Others and OthersP256 are further keys of the two curves, for the time in
	// which clients change from one to another: a client that pays is served
	// under the key that it names, one that enrols under Static or StaticP256.
	Others, OthersP256 []StaticKey
	// Verifier judges clients' evidence. No default.
	Verifier channel.Verifier
	// Authorize decides, after everything is proven, whether the client may
	// have the channel; what it returns is not told to the client. No default.
	Authorize func(ctx context.Context, peer channel.Identity) error
	// Activations gives the pre-shared key of an activation id, which is wiped
	// after use; nil refuses all enrolments.
	Activations func(ctx context.Context, id string) (secret.Bytes, error)
	// Tickets keeps what channels leave for their resumption; nil refuses all
	// resumptions.
	Tickets Tickets
	// Routing is what clients must name as their routing data; nil takes any.
	// One that enrols may name none: it may have yet to learn it.
	Routing []byte
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Pending bounds the handshakes that are under way at a time; zero means
	// 256. One more ends the oldest, so that strangers who begin and do not
	// go on are in nobody's way.
	Pending int
	// Rand is the source of ephemeral keys; nil means crypto/rand. The KEM's
	// encapsulation draws from the system whatever is set here.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewClient makes a client. Errors wrap ErrConfig.
func NewClient(c ClientConfig) (*Client, error) {
	if c.Suite == 0 {
		c.Suite = SuiteX25519
	}
	protocols, err := c.Suite.protocols()
	if err != nil {
		return nil, err
	}
	switch {
	case c.Static == nil:
		return nil, fmt.Errorf("%w: Static is nil and has no default", ErrConfig)
	case c.Attester == nil:
		return nil, fmt.Errorf("%w: Attester is nil and has no default", ErrConfig)
	case (len(c.ServerKey) == 0) == (c.Activation == nil):
		return nil, fmt.Errorf("%w: set one of ServerKey, to pay, and Activation, to enrol", ErrConfig)
	case len(c.ServerKey) != 0 && len(c.ServerKey) != c.Suite.publicLen():
		return nil, fmt.Errorf("%w: ServerKey of %d bytes, want %d", ErrConfig, len(c.ServerKey), c.Suite.publicLen())
	}
	for what, s := range map[string]string{"DeviceClass": c.DeviceClass, "TerminalID": c.TerminalID, "MerchantID": c.MerchantID} {
		if err := checkName(s); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
		}
	}
	setDefaults(&c.Timeout, &c.Rand, &c.Now)
	c.Static = &knownKey{StaticKey: c.Static}
	return &Client{c: c, protocols: protocols, buffers: newBuffers()}, nil
}

// NewServer makes a server. Errors wrap ErrConfig.
func NewServer(c ServerConfig) (*Server, error) {
	switch {
	case c.Static == nil:
		return nil, fmt.Errorf("%w: Static is nil and has no default", ErrConfig)
	case c.Verifier == nil:
		return nil, fmt.Errorf("%w: Verifier is nil and has no default", ErrConfig)
	case c.Authorize == nil:
		return nil, fmt.Errorf("%w: Authorize is nil and has no default", ErrConfig)
	}
	k := &Server{protocols: map[Suite]map[channel.Purpose]protocol{}, static: map[Suite][]*knownKey{}, buffers: newBuffers()}
	for suite, keys := range map[Suite][]StaticKey{SuiteX25519: append([]StaticKey{c.Static}, c.Others...), SuiteP256: append([]StaticKey{c.StaticP256}, c.OthersP256...)} {
		for i, key := range keys {
			switch {
			case key != nil:
				k.static[suite] = append(k.static[suite], &knownKey{StaticKey: key})
			case i > 0 || len(keys) > 1:
				return nil, fmt.Errorf("%w: one of several keys of suite %d is nil", ErrConfig, suite)
			}
		}
	}
	for s := range k.static {
		var err error
		if k.protocols[s], err = s.protocols(); err != nil {
			return nil, err
		}
	}
	setDefaults(&c.Timeout, &c.Rand, &c.Now)
	if c.Pending <= 0 {
		c.Pending = crowd.DefaultLimit
	}
	k.c, k.pending.Limit = c, c.Pending
	k.last.Store(uint32(SuiteX25519))
	return k, nil
}

func setDefaults(timeout *time.Duration, random *io.Reader, now *func() time.Time) {
	if *timeout <= 0 {
		*timeout = defaultTimeout
	}
	if *random == nil {
		*random = rand.Reader
	}
	if *now == nil {
		*now = time.Now
	}
}
