package host

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/trusted/comm"
)

// static is an X25519 key.
type static struct{ k *ecdh.PrivateKey }

func newStatic(t *testing.T) static {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return static{k}
}

func (s static) PublicKey(context.Context) ([]byte, error) { return s.k.PublicKey().Bytes(), nil }
func (s static) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return s.k.ECDH(p)
}

// signer is an attestation key.
type signer struct{ k ed25519.PrivateKey }

func (s signer) VerificationKey(context.Context, string) ([]byte, error) {
	return s.k.Public().(ed25519.PublicKey), nil
}

func (s signer) Sign(_ context.Context, _ string, m []byte) ([]byte, error) {
	return ed25519.Sign(s.k, m), nil
}

// tcp is an app's relay that only dials.
type tcp string

func (a tcp) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", string(a))
}

// running is a server on a socket.
type running struct {
	*rig
	addr   tcp
	stop   context.CancelFunc
	done   chan error
	device static
	sign   signer
	// attester is what sessions prove themselves with.
	attester swap
}

// swap is an attester that can be replaced by another.
type swap struct{ channel.Attester }

func serve(t *testing.T) *running {
	t.Helper()
	r := &running{rig: newRig(t), device: newStatic(t), done: make(chan error, 1)}
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.sign = signer{priv}
	r.attester = swap{attest.Software{Keys: r.sign}}
	key := newStatic(t)
	hs, err := noise.NewServer(noise.ServerConfig{Static: key, Verifier: attest.SoftwareVerifier{}, Authorize: r.reg.Authorize, Activations: r.reg.ActivationKey})
	if err != nil {
		t.Fatal(err)
	}
	c := r.s.c
	c.Handshaker, c.Keys = hs, testKeys()
	c.ServerKey = key.k.PublicKey().Bytes()
	if r.s, err = New(c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = tcp(l.Addr().String())
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.done <- r.s.Serve(ctx, l) }()
	t.Cleanup(r.stop)
	return r
}

func (r *running) open(t *testing.T, c noise.ClientConfig) (*comm.Session, error) {
	t.Helper()
	c.Static, c.Attester = r.device, attest.Software{Keys: r.sign}
	hs, err := noise.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	cl := comm.Client{Link: r.addr, Handshaker: hs, Attester: &r.attester}
	return cl.Open(t.Context())
}

// enrol enrols over the socket, and opens a channel for payments.
func (r *running) enrol(t *testing.T) (*unit, *comm.Session) {
	t.Helper()
	a, err := r.reg.CreateActivation(t.Context(), Merchant{ID: "M1", Name: "Corner Shop"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.open(t, noise.ClientConfig{Activation: &a, DeviceClass: "test"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := trade.Encode(trade.KindEnrol, 0, trade.Enrol{DeviceClass: "test", PINFormat: 4})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Call(t.Context(), trade.KindEnrol, e.Body)
	if err != nil {
		t.Fatal(err)
	}
	u := &unit{r: r.rig, card: newCard(t)}
	if err := out.Decode(&u.grant); err != nil {
		t.Fatal(err)
	}
	kbpk, err := s.Conn().Export(trade.KeyBlockLabel, 32)
	if err != nil {
		t.Fatal(err)
	}
	load := func(block string, id []byte) *dukpt.Device {
		_, k, err := keyblock.Unwrap(secret.CopyBytes(kbpk), block)
		if err != nil {
			t.Fatal(err)
		}
		d, err := dukpt.NewDevice(t.Context(), dukpt.AES128, k, id, &store{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	u.mac, u.pin = load(u.grant.MACKey, u.grant.MACKeyID), load(u.grant.PINKey, u.grant.PINKeyID)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return u, r.pay(t, u)
}

func (r *running) pay(t *testing.T, u *unit) *comm.Session {
	t.Helper()
	s, err := r.open(t, noise.ClientConfig{ServerKey: u.grant.ServerKey, DeviceClass: "test", TerminalID: u.grant.TerminalID, MerchantID: u.grant.MerchantID})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prove gives evidence for an order before its PIN.
func prove(t *testing.T, s *comm.Session, order string) {
	t.Helper()
	if err := s.Attest(t.Context(), attest.BeforePIN, order); err != nil {
		t.Fatal(err)
	}
}

// Enrolment, trade, request and completion over a real socket.
func TestServe(t *testing.T) {
	r := serve(t)
	u, s := r.enrol(t)
	r.order("o1", 1234)
	prove(t, s, "o1")
	e, err := trade.Encode(trade.KindTradeRequest, 0, trade.TradeRequest{Order: "o1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), trade.KindTradeRequest, e.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Call(t.Context(), trade.KindTradeRequest, []byte("{")); code(err) != trade.CodeMalformed {
		t.Errorf("a broken request: %v", err)
	}
	m := u.sale("o1", 1234, testPIN)
	k, b := u.seal(m)
	out, err := s.Call(t.Context(), trade.KindFinancial, b)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.s.c.Dialect.Unpack(out.Body)
	if err != nil || resp.ResponseCode != "00" || !bytes.Equal(resp.MACKSN, k.KSN()) {
		t.Fatalf("answer %+v, %v", resp, err)
	}
	_, b = u.seal(u.completion(m, resp.AuthCode))
	if _, err := s.Call(t.Context(), trade.KindFinancial, b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.state("in the end", "o1", trade.Paid)
	r.booked("in the end", 1234, 0, 1234)
	// A device that nobody knows gets no channel.
	r.device = newStatic(t)
	if _, err := r.open(t, noise.ClientConfig{ServerKey: u.grant.ServerKey, DeviceClass: "test", TerminalID: u.grant.TerminalID, MerchantID: u.grant.MerchantID}); !errors.Is(err, channel.ErrRefused) {
		t.Errorf("an unknown device: %v", err)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A server that is stopped answers the request under way, takes no new one, and
// then returns.
func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	r := serve(t)
	u, s := r.enrol(t)
	r.order("o1", 1234)
	idle := r.pay(t, u)
	booked := make(chan struct{})
	release := make(chan struct{})
	r.mu.Lock()
	r.cut = func(p Point) error {
		if p.Stage == StageCommitted {
			close(booked)
			<-release
		}
		return nil
	}
	r.mu.Unlock()
	prove(t, s, "o1")
	_, b := u.seal(u.sale("o1", 1234, testPIN))
	type result struct {
		e   trade.Envelope
		err error
	}
	got := make(chan result, 1)
	go func() {
		e, err := s.Call(context.Background(), trade.KindFinancial, b)
		got <- result{e, err}
	}()
	<-booked
	r.stop()
	select {
	case err := <-r.done:
		t.Fatalf("Serve returned with a request under way: %v", err)
	default:
	}
	close(release)
	if g := <-got; g.err != nil || g.e.Kind != trade.KindFinancialReply {
		t.Errorf("the request under way: kind %d, %v", g.e.Kind, g.err)
	}
	if err := <-r.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := idle.Call(t.Context(), trade.KindTradeRequest, nil); err == nil {
		t.Error("a stopped server answers")
	}
	if c, err := net.Dial("tcp", string(r.addr)); err == nil {
		_ = c.Close()
		t.Error("a stopped server accepts")
	}
	r.state("in the end", "o1", trade.Pending)
}

// heedful is a channel that says which contexts it was given.
type heedful struct {
	conn
	read, write context.Context
}

func (c *heedful) ReadMessage(ctx context.Context) ([]byte, error) {
	c.read = ctx
	return nil, ctx.Err()
}

func (c *heedful) WriteMessage(ctx context.Context, _ []byte) error {
	c.write = ctx
	return ctx.Err()
}

// Waiting for a request ends with the server; sending an answer does not, and
// neither lasts for ever.
func TestPatient(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	h := &heedful{}
	p := &patient{h, Limits{Idle: time.Hour, Reply: time.Hour}}
	if _, err := p.ReadMessage(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("reading: %v", err)
	}
	if err := p.WriteMessage(ctx, nil); err != nil {
		t.Errorf("writing: %v", err)
	}
	for name, ctx := range map[string]context.Context{"read": h.read, "write": h.write} {
		if _, ok := ctx.Deadline(); !ok {
			t.Errorf("%s has no deadline", name)
		}
	}
}

// A lost answer cuts the channel, and the unit does not learn that the payment
// was booked.
func TestLostAnswer(t *testing.T) {
	r := serve(t)
	u, s := r.enrol(t)
	r.order("o1", 1234)
	r.mu.Lock()
	r.cut = func(p Point) error {
		if p.Stage == StageCommitted && p.MTI == "0200" {
			return errors.New("cut")
		}
		return nil
	}
	r.mu.Unlock()
	prove(t, s, "o1")
	m := u.sale("o1", 1234, testPIN)
	_, b := u.seal(m)
	_, err := s.Call(t.Context(), trade.KindFinancial, b)
	if err == nil || code(err) != "" {
		t.Errorf("got %v, want a dead session", err)
	}
	r.booked("booked all the same", 1234, 1234, 0)
	s = r.pay(t, u)
	_, b = u.seal(u.reversal(m))
	if _, err := s.Call(t.Context(), trade.KindFinancial, b); err != nil {
		t.Error(err)
	}
	r.booked("reversed", 0, 0, 0)
	r.state("reversed", "o1", trade.Open)
}

// Connections over the limit are closed, and those below it go on.
func TestChannelLimit(t *testing.T) {
	r := newRig(t)
	c := r.s.c
	c.Limits.Channels, c.Keys = 1, testKeys()
	entered := make(chan struct{}, 4)
	c.Handshaker = stuck{entered: entered}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	second, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := second.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("second connection: %d bytes, %v; want it closed", n, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(entered) != 0 {
		t.Error("the second connection had a handshake")
	}
	_, _ = first.Close(), second.Close()
}

// stuck is a handshaker whose peers never finish.
type stuck struct {
	channel.Handshaker
	entered chan<- struct{}
}

func (s stuck) Server(ctx context.Context, rw io.ReadWriteCloser) (channel.Conn, error) {
	s.entered <- struct{}{}
	<-ctx.Done()
	return nil, errors.Join(ctx.Err(), rw.Close())
}

// A listener that breaks ends Serve.
func TestServeFails(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := r.s.Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener: no error")
	}
}
