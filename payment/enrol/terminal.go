package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
)

// Terminal is an enrolled device. Safe for concurrent use.
type Terminal struct {
	id        identity
	assurance channel.Assurance
	storage   trusted.Storage
	pin, mac  Keys
	c         Config
	end       End

	// turn is held by who uses what follows: a mutex whose waiting ends with a
	// context, since it is held while the server is asked.
	turn chan struct{}
	// rotating: new keys were asked for and are not loaded yet.
	rotating bool
	server   server
}

var _ payment.Device = (*Terminal)(nil)

// Open goes on as the terminal that the storage holds. Errors: ErrNotEnrolled,
// those of the modules.
func Open(ctx context.Context, c Config) (*Terminal, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	id, err := load(ctx, c.Storage)
	if err != nil {
		return nil, err
	}
	c.DeviceClass = id.DeviceClass
	t := &Terminal{
		id: id, assurance: c.Assurance, storage: c.Storage, c: c, turn: make(chan struct{}, 1),
		end: End{ServerKey: id.ServerKey, TerminalID: id.TerminalID, MerchantID: id.MerchantID, Resume: true},
	}
	signer := id.ConfigKey
	if len(c.ConfigKey) > 0 {
		if len(signer) > 0 && !bytes.Equal(signer, c.ConfigKey) {
			return nil, errors.New("enrol: the device enrolled under another key for the server's configurations than Config.ConfigKey")
		}
		signer = c.ConfigKey
	}
	if t.server.store, err = c.brought(ctx, signer); err != nil {
		return nil, err
	}
	if t.server.store == nil {
		if t.server.client, err = c.client(t.end); err != nil {
			return nil, err
		}
	}
	switch _, err := c.Storage.Get(ctx, rotatingRecord); {
	case err == nil:
		t.rotating = true
	case !errors.Is(err, trusted.ErrNotFound):
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := t.openLocked(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// openLocked opens the keys that the storage holds.
func (t *Terminal) openLocked(ctx context.Context) error {
	if err := t.pin.openLocked(ctx, keyState{t.storage, pinRecord}); err != nil {
		return fmt.Errorf("enrol: PIN keys: %w", err)
	}
	if err := t.mac.openLocked(ctx, keyState{t.storage, macRecord}); err != nil {
		return fmt.Errorf("enrol: message keys: %w", err)
	}
	return nil
}

// Assurance returns the level that the device declares to the server.
func (t *Terminal) Assurance() channel.Assurance { return t.assurance }

// Identity implements payment.Device.
func (t *Terminal) Identity() (terminalID, merchantID string) {
	return t.id.TerminalID, t.id.MerchantID
}

// Merchant returns the merchant's name.
func (t *Terminal) Merchant() string { return t.id.Merchant }

// PINFormat returns the format of the pad's PIN blocks, 4 or 0.
func (t *Terminal) PINFormat() uint8 { return t.id.PINFormat }

// PINKeys returns the keys for the pad.
func (t *Terminal) PINKeys() *Keys { return &t.pin }

// Open implements payment.Device. A change of keys that was begun is finished
// first.
func (t *Terminal) Open(ctx context.Context) (payment.Session, error) {
	if err := t.enter(ctx); err != nil {
		return nil, err
	}
	client, err := t.clientLocked(ctx)
	t.leave()
	if err != nil {
		return nil, err
	}
	s, err := client.Open(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.enter(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	defer t.leave()
	if err := t.updateLocked(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if t.rotating {
		if err := t.rotate(ctx, s); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (t *Terminal) enter(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("enrol: waiting for what is under way: %w", ctx.Err())
	}
}

func (t *Terminal) leave() { <-t.turn }

// Rotate gives the terminal new keys for PINs and messages from the server, from
// whose answer on the old ones count for nothing. A call that is cut off is
// finished when the terminal next opens a channel. Errors: ErrGrant, a
// *trade.Error, those of the link, the channel and the storage.
func (t *Terminal) Rotate(ctx context.Context) error {
	if err := t.RotateNext(ctx); err != nil {
		return err
	}
	s, err := t.Open(ctx)
	if err != nil {
		return err
	}
	// The keys have changed, however the channel ends.
	_ = s.Close()
	return nil
}

// RotateNext has the terminal change its keys when it next opens a channel, as
// Rotate does at once. Errors: those of the storage.
func (t *Terminal) RotateNext(ctx context.Context) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	defer t.leave()
	if t.rotating {
		return nil
	}
	if err := t.storage.Put(ctx, rotatingRecord, nil); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	t.rotating = true
	return nil
}

func (t *Terminal) rotate(ctx context.Context, s *comm.Session) error {
	g, err := ask(ctx, s, trade.KindRotate, struct{}{})
	if err != nil {
		return err
	}
	if g.TerminalID != t.id.TerminalID || g.MerchantID != t.id.MerchantID || !t.knows(ctx, g.ServerKey) {
		return fmt.Errorf("%w: it is for another terminal", ErrGrant)
	}
	if err := t.reload(ctx, s, g); err != nil {
		return err
	}
	if err := t.storage.Delete(ctx, rotatingRecord); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	t.rotating = false
	return nil
}

// reload puts new keys into the old ones' place. Whoever takes a key meanwhile
// waits: the state of an old one must not be written over the new ones.
func (t *Terminal) reload(ctx context.Context, s *comm.Session, g trade.Grant) error {
	t.pin.mu.Lock()
	defer t.pin.mu.Unlock()
	t.mac.mu.Lock()
	defer t.mac.mu.Unlock()
	// The server takes the old ones no more. Wiped, they write no state over that
	// of the new ones either, should not all of this succeed.
	t.pin.d.Wipe()
	t.mac.d.Wipe()
	if err := loadKeys(ctx, t.storage, s, g, t.id.PINFormat); err != nil {
		return err
	}
	return t.openLocked(ctx)
}

// Keys are the keys of one kind that a terminal has now. Safe for concurrent
// use.
type Keys struct {
	mu sync.Mutex
	d  *dukpt.Device
}

// Next returns the keys of a counter that was never used and never will be
// again, as dukpt.Device does. After a change of keys that broke off it returns
// dukpt.ErrWiped until the terminal has opened a channel.
func (k *Keys) Next(ctx context.Context) (*dukpt.Transaction, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.d.Next(ctx)
}

func (k *Keys) openLocked(ctx context.Context, store dukpt.Store) error {
	d, err := dukpt.OpenDevice(ctx, store)
	if err != nil {
		return err
	}
	k.d = d
	return nil
}

// NextKey implements payment.Device.
func (t *Terminal) NextKey(ctx context.Context) (payment.MessageKey, error) {
	k, err := t.mac.Next(ctx)
	if err != nil {
		return nil, err
	}
	return messageKey{k}, nil
}

// messageKey is a DUKPT transaction as a unit uses it.
type messageKey struct{ k *dukpt.Transaction }

func (m messageKey) KSN() []byte                     { return m.k.KSN() }
func (m messageKey) MAC(data []byte) ([]byte, error) { return m.k.MACRequest(data) }
func (m messageKey) VerifyMAC(data, code []byte) error {
	return m.k.VerifyMACResponse(data, code)
}
func (m messageKey) Wipe() { m.k.Wipe() }
