package tlschan

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/crowd"
)

const defaultTimeout = 15 * time.Second

// protocol is the ALPN id (RFC 7301).
const protocol = "payunit-channel-1"

// Activation is what a device enrols under: an id that the server finds it by,
// and a key of 32 bytes that both know.
type Activation struct {
	ID  string
	Key secret.Bytes
}

// ClientConfig configures a device's end.
type ClientConfig struct {
	// Key is the device's, Ed25519 or ECDSA on P-256. It only signs. No
	// default.
	Key crypto.Signer
	// Attester produces the device's evidence. No default.
	Attester channel.Attester
	// ServerKey is the server's public key, as PublicKey encodes it: the
	// channel is for payments. Without it there must be an Activation, and the
	// channel is for enrolment.
	ServerKey  []byte
	Activation *Activation
	// OtherServerKeys are accepted too, for the time in which the server changes
	// its key.
	OtherServerKeys [][]byte
	// DeviceClass, TerminalID and MerchantID are declared to the server, at
	// most 64 printable characters each. The relay does not see them.
	DeviceClass, TerminalID, MerchantID string
	// Routing is the routing data that the app supplied. Its hash is bound
	// into the channel.
	Routing []byte
	// Resume lets a channel for payments leave a session, good for the next one
	// within 24 hours of a whole handshake, which then takes no signature.
	Resume bool
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Now is the clock of the channel's age; nil means time.Now.
	Now func() time.Time
}

// ServerConfig configures a server's end.
type ServerConfig struct {
	// Key is the server's, Ed25519 or ECDSA on P-256. No default.
	Key crypto.Signer
	// Verifier judges clients' evidence. No default.
	Verifier channel.Verifier
	// Authorize decides, after everything is proven, whether the client may
	// have the channel; what it returns is not told to the client. No default.
	Authorize func(ctx context.Context, peer channel.Identity) error
	// Activations gives the key of an activation id, which is wiped after use;
	// nil refuses all enrolments.
	Activations func(ctx context.Context, id string) (secret.Bytes, error)
	// Sessions keeps what channels leave for their resumption; nil refuses all
	// resumptions, and clients make whole handshakes.
	Sessions Sessions
	// Routing is what clients must name as their routing data; nil takes any.
	// One that enrols may name none: it may have yet to learn it.
	Routing []byte
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Pending bounds the handshakes that are under way at a time; zero means
	// 256. One more ends the oldest, so that strangers who begin and do not
	// go on are in nobody's way.
	Pending int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client is a device's end. Safe for concurrent use as far as its modules are.
type Client struct {
	c      ClientConfig
	cert   tls.Certificate
	frames frames

	mu      sync.Mutex
	session *clientSession // of the last channel, not used yet
}

// Server is a server's end. Safe for concurrent use as far as its modules are.
type Server struct {
	c       ServerConfig
	cert    tls.Certificate
	frames  frames
	pending crowd.Crowd
}

// NewClient makes a client. Errors wrap ErrConfig.
func NewClient(c ClientConfig) (*Client, error) {
	switch {
	case c.Key == nil:
		return nil, fmt.Errorf("%w: Key is nil and has no default", ErrConfig)
	case c.Attester == nil:
		return nil, fmt.Errorf("%w: Attester is nil and has no default", ErrConfig)
	case (len(c.ServerKey) == 0) == (c.Activation == nil):
		return nil, fmt.Errorf("%w: set one of ServerKey, to pay, and Activation, to enrol", ErrConfig)
	case c.Activation != nil && (c.Activation.ID == "" || c.Activation.Key.Len() != keyLen || c.Activation.Key.Blank()):
		return nil, fmt.Errorf("%w: an activation has an id and a key of %d bytes", ErrConfig, keyLen)
	case len(c.ServerKey) != 0 && len(c.ServerKey) != ed25519Len && len(c.ServerKey) != p256Len:
		return nil, fmt.Errorf("%w: ServerKey of %d bytes, want %d or %d", ErrConfig, len(c.ServerKey), ed25519Len, p256Len)
	}
	for what, s := range map[string]string{"DeviceClass": c.DeviceClass, "TerminalID": c.TerminalID, "MerchantID": c.MerchantID} {
		if err := checkName(s); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
		}
	}
	if c.Activation != nil {
		if err := checkName(c.Activation.ID); err != nil {
			return nil, fmt.Errorf("%w: Activation: %w", ErrConfig, err)
		}
	}
	cert, err := certificate(c.Key)
	if err != nil {
		return nil, err
	}
	setDefaults(&c.Timeout, &c.Now)
	return &Client{c: c, cert: cert}, nil
}

// NewServer makes a server. Errors wrap ErrConfig.
func NewServer(c ServerConfig) (*Server, error) {
	switch {
	case c.Key == nil:
		return nil, fmt.Errorf("%w: Key is nil and has no default", ErrConfig)
	case c.Verifier == nil:
		return nil, fmt.Errorf("%w: Verifier is nil and has no default", ErrConfig)
	case c.Authorize == nil:
		return nil, fmt.Errorf("%w: Authorize is nil and has no default", ErrConfig)
	}
	cert, err := certificate(c.Key)
	if err != nil {
		return nil, err
	}
	setDefaults(&c.Timeout, &c.Now)
	if c.Pending <= 0 {
		c.Pending = crowd.DefaultLimit
	}
	return &Server{c: c, cert: cert, pending: crowd.Crowd{Limit: c.Pending}}, nil
}

func setDefaults(timeout *time.Duration, now *func() time.Time) {
	if *timeout <= 0 {
		*timeout = defaultTimeout
	}
	if *now == nil {
		*now = time.Now
	}
}

// config is what both ends of TLS have in common.
func config(cert tls.Certificate, verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		Certificates:     []tls.Certificate{cert},
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		NextProtos:       []string{protocol},
		// There is no certification authority: a key is known or is not.
		InsecureSkipVerify:          true,
		ClientAuth:                  tls.RequireAnyClientCert,
		VerifyConnection:            verify,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}
