// Package bank composes a payment server for the example programs: host, issuer
// and a SQLite ledger behind one port, which serves units' channels and the
// merchant's interface over HTTP.
package bank

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the ledger's drivers
	_ "modernc.org/sqlite"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// Config says what a bank is made of.
type Config struct {
	// Store is the ledger's SQLite file, or the postgres:// address of a
	// PostgreSQL database that several banks may share.
	Store string
	// Cards is a Cards file; nil issues the software cards, each with Balance
	// in Currency.
	Cards    io.Reader
	Balance  int64
	Currency money.Currency
	Keys     demo.Keys
	// Configuration is what units are told about this bank, signed under
	// Keys.ConfigKey; nil takes the published one where that key is.
	Configuration []byte
	// Channel is the kind of the units' channels; empty means ChannelNoise.
	Channel string
	// PIN is what cardholders may do on the PIN pads; zero grants nothing.
	PIN trade.PINPolicy
	// TipPercent is how large a tip may be, in per cent of a sale; zero grants
	// none.
	TipPercent int
	// Entry is how cards' data may come beside the chip; zero grants nothing.
	Entry trade.EntryPolicy
	// Partial takes a part of a sale's amount where a card's account has no
	// more; a bank above decides about the whole alone.
	Partial bool
	// KeyUses is how far a terminal's key counters may run before it changes its
	// keys; zero for without end.
	KeyUses uint64
	// TPM is which units' TPMs count; nil takes any with the published keys, and
	// none with others.
	TPM *TPM
	// Upstream is the address of the bank above, which then decides instead of
	// this one's issuer; empty for none.
	Upstream string
	// StandIn is what this bank approves while the one above can't be asked;
	// nil for nothing.
	StandIn *host.StandIn
	// Limits are the server's; zero fields have defaults.
	Limits host.Limits
	// Fault is the name of what goes wrong once; empty for nothing.
	Fault string
	// OnFault is told when it does; may be nil.
	OnFault func()
	Observe func(host.Event)
	Now     func() time.Time
}

// Bank is a running payment server.
type Bank struct {
	c         Config
	db        *sql.DB
	ledger    *sqlledger.Ledger
	issuer    *issuer.Issuer
	registry  *host.Registry
	server    *host.Server
	line      *link.Client
	once      sync.Once
	authority *authority
	// zoneUp and zoneLine are the working keys of the line to the bank above and
	// of that of a bank below; nil where the keys file has no master key.
	zoneUp, zoneLine *host.Zone
	// ends are those of the lower banks' lines.
	ends []lowerEnd
}

// New makes a bank, and its ledger where there is none.
func New(ctx context.Context, c Config) (*Bank, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	b := &Bank{c: c}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bank) open(ctx context.Context) error {
	var err error
	if b.db, b.ledger, err = OpenStore(ctx, b.c.Store); err != nil {
		return err
	}
	cards, err := b.cards()
	if err != nil {
		return err
	}
	if b.issuer, err = newIssuer(b.c, cards); err != nil {
		return err
	}
	if b.registry, err = host.NewRegistry(host.RegistryConfig{Ledger: b.ledger, Key: b.c.Keys.Registry, Now: b.c.Now}); err != nil {
		return err
	}
	policy, err := b.evidence()
	if err != nil {
		return err
	}
	name, serving, err := b.configure()
	if err != nil {
		return err
	}
	h, key, err := b.channels(policy, name, serving)
	if err != nil {
		return err
	}
	c := host.Config{
		Ledger: b.ledger, Registry: b.registry, Handshaker: h, Verifier: policy, Issuer: b.issuer, Keys: b.c.Keys.Base, RefundsWithoutOriginal: true,
		ServerKey: key, Observe: b.c.Observe, Intercept: b.intercept(), Now: b.c.Now, Limits: b.c.Limits,
		PartialApprovals: b.c.Partial, KeyUses: b.c.KeyUses,
		PINPolicy:   func(string) trade.PINPolicy { return b.c.PIN },
		EntryPolicy: func(string) trade.EntryPolicy { return b.c.Entry },
		TipPercent:  func(string, string) int { return b.c.TipPercent },
	}
	if c.Limits.Forwards == 0 {
		c.Limits.Forwards = 8
	}
	if len(b.c.Configuration) > 0 {
		c.ConfigKey, c.Configuration = b.c.Keys.ConfigKey, func() []byte { return b.c.Configuration }
	}
	if c.UpstreamZone, c.LineZone, err = b.zones(); err != nil {
		return err
	}
	c.AcquirerID = b.c.Keys.AcquirerID
	b.zoneUp, b.zoneLine = c.UpstreamZone, c.LineZone
	if b.c.Upstream != "" {
		if b.line, err = b.upstream(); err != nil {
			return err
		}
		c.Issuer, c.Upstream, c.StandIn = nil, b.line, b.c.StandIn
	}
	if b.server, err = host.New(c); err != nil {
		return err
	}
	if b.ends, err = b.lowers(); err != nil {
		return err
	}
	return b.server.CheckKeys(ctx)
}

// The kinds of channel.
const (
	ChannelNoise = "noise"
	ChannelTLS   = "tls"
)

// channels makes the server's end of the units' channels, and returns its public
// key too. Units bind its name; nil takes any. Over Noise it is served under keys,
// and enrols under the first.
func (b *Bank) channels(v channel.Verifier, name []byte, keys []*ecdh.PrivateKey) (channel.Handshaker, []byte, error) {
	switch b.c.Channel {
	case "", ChannelNoise:
		tickets, err := b.registry.Tickets()
		if err != nil {
			return nil, nil, err
		}
		c := noise.ServerConfig{
			Static: demo.StaticKey{Key: keys[0]}, Verifier: v, Authorize: b.registry.Authorize, Activations: b.registry.ActivationKey,
			Tickets: tickets, Routing: name, Now: b.c.Now,
		}
		for _, k := range keys[1:] {
			c.Others = append(c.Others, demo.StaticKey{Key: k})
		}
		h, err := noise.NewServer(c)
		return h, keys[0].PublicKey().Bytes(), err
	case ChannelTLS:
		if b.c.Keys.ServerTLS == nil {
			return nil, nil, fmt.Errorf("bank: channels over TLS: %w: server_tls_key is missing", demo.ErrKeys)
		}
		sessions, err := b.registry.Sessions()
		if err != nil {
			return nil, nil, err
		}
		h, err := tlschan.NewServer(tlschan.ServerConfig{
			Key: b.c.Keys.ServerTLS, Verifier: v, Authorize: b.registry.Authorize, Activations: b.registry.ActivationKey, Routing: name, Now: b.c.Now,
			Sessions: sessions,
		})
		if err != nil {
			return nil, nil, err
		}
		key, err := tlschan.PublicKey(b.c.Keys.ServerTLS.Public())
		return h, key, err
	}
	return nil, nil, fmt.Errorf("bank: no kind of channel is called %q", b.c.Channel)
}

// OpenStore opens the ledger in a SQLite file, or in a PostgreSQL database by its
// address. The caller closes the ledger, and then the database.
func OpenStore(ctx context.Context, store string) (*sql.DB, *sqlledger.Ledger, error) {
	driver, name, open := "sqlite", "file:"+(&url.URL{Path: store}).EscapedPath(), sqlledger.Open
	switch {
	case store == "":
		return nil, nil, errors.New("bank: the ledger needs a file or a database")
	case strings.HasPrefix(store, "postgres://"), strings.HasPrefix(store, "postgresql://"):
		driver, name, open = "pgx", store, sqlledger.OpenPostgres
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		// Without the cause: it quotes the address, which may have a password.
		return nil, nil, errors.New("bank: store: the address can't be read")
	}
	l, err := open(ctx, db)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("bank: store: %w", err), db.Close())
	}
	return db, l, nil
}

// ReadStore is OpenStore for a ledger that has to be there.
func ReadStore(ctx context.Context, store string) (*sql.DB, *sqlledger.Ledger, error) {
	if !strings.Contains(store, "://") {
		if _, err := os.Stat(store); err != nil {
			return nil, nil, fmt.Errorf("bank: store: %w", err)
		}
	}
	return OpenStore(ctx, store)
}

// CardAccount reports whether an account is a card's.
func CardAccount(account string) bool { return strings.HasPrefix(account, "card/") }

// StoreName is a store's name for people: of a database's address, no password.
func StoreName(store string) string {
	u, err := url.Parse(store)
	if err != nil || u.User == nil {
		return store
	}
	return u.Redacted()
}

func (b *Bank) cards() (*issuer.Cards, error) {
	r := b.c.Cards
	if r == nil {
		var buf bytes.Buffer
		if err := simcard.WriteCards(&buf, testkeys.PKI(), simcard.AllProfiles(), b.c.Balance, b.c.Currency.Code()); err != nil {
			return nil, fmt.Errorf("bank: issuing the software cards: %w", err)
		}
		r = &buf
	}
	return issuer.ParseCards(r)
}

// Faults of a bank.
const (
	FaultLostAnswer  = "lost-answer"
	FaultLostRequest = "lost-request"
	FaultAnswerOnce  = "lost-answer-once"
)

// errFault cuts a channel.
var errFault = errors.New("bank: the fault that was asked for")

// intercept cuts the channel of the first request before or after it is booked,
// and, but for FaultAnswerOnce, that of its repeat.
func (b *Bank) intercept() func(host.Point) error {
	var cuts atomic.Int32
	limit := int32(2)
	if b.c.Fault == FaultAnswerOnce {
		limit = 1
	}
	stage := map[string]host.Stage{FaultLostAnswer: host.StageCommitted, FaultLostRequest: host.StageVerified, FaultAnswerOnce: host.StageCommitted}[b.c.Fault]
	if stage == 0 {
		return nil
	}
	return func(p host.Point) error {
		if p.Stage != stage || p.MTI != "0200" && p.MTI != "0201" || cuts.Add(1) > limit {
			return nil
		}
		if b.c.OnFault != nil {
			b.c.OnFault()
		}
		return errFault
	}
}

// CreateOrder places a merchant's order.
func (b *Bank) CreateOrder(ctx context.Context, o host.Order) error {
	return b.server.CreateOrder(ctx, o)
}

// Activate makes an activation code for one of the merchant's units.
func (b *Bank) Activate(ctx context.Context) (string, error) {
	a, err := b.registry.CreateActivation(ctx, host.Merchant{ID: demo.MerchantID, Name: demo.MerchantName})
	if err != nil {
		return "", err
	}
	defer a.Wipe()
	return a.Code()
}

// Audit reads the whole ledger and says what does not hold.
func (b *Bank) Audit(ctx context.Context) (ledger.Report, error) {
	return ledger.Audit(ctx, b.ledger)
}

// Serve takes units' channels and the merchant's requests from one listener
// until ctx ends.
func (b *Bank) Serve(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := newMux(l)
	h := &http.Server{Handler: b.handler(), ReadHeaderTimeout: 5 * time.Second}
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	// Whichever part ends ends the others.
	wg.Go(func() { defer stop(); errs <- b.server.Serve(ctx, m.channels) })
	wg.Go(func() {
		defer stop()
		if err := h.Serve(m.http); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			errs <- err
		}
	})
	wg.Go(func() { defer stop(); errs <- b.serveLines(ctx, m.lines) })
	wg.Go(func() { b.server.Forward(ctx) })
	if b.zoneUp != nil && b.c.Upstream != "" {
		wg.Go(func() { b.server.KeepLine(ctx, 24*time.Hour) })
	}
	wg.Go(func() { defer stop(); errs <- m.run(ctx) })
	<-ctx.Done()
	// The requests under way are answered; new ones find the port closed.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := h.Shutdown(grace)
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// Close closes the ledger.
func (b *Bank) Close() error {
	var err error
	b.once.Do(func() {
		if b.line != nil {
			err = b.line.Close()
		}
		if b.issuer != nil {
			b.issuer.Close()
		}
		if b.ledger != nil {
			err = errors.Join(err, b.ledger.Close())
		}
		if b.db != nil {
			err = errors.Join(err, b.db.Close())
		}
	})
	return err
}
