// Package vault is trusted.Storage, trusted.Counter and trusted.KeyStore over
// one sealed file in a folder.
//
// Records are sealed with AES-256-GCM and chained, so that one altered, moved,
// removed or reordered is noticed. A crash or a power cut at any moment leaves
// the state before or after the call that it interrupted.
//
// A folder that was replaced whole by an older copy of itself is noticed by an
// Anchor: a monotonic counter outside of the folder, in a TPM for one. Without
// it software alone can't tell; the payment server does, by the key serial
// numbers that it has seen.
//
// The file "vault" is a header and a log of frames (integers big endian):
//
//	offset  size  field
//	0       8     magic "PUVAULT2", the format's version
//	8       16    vault id, random
//	24      8     base: number of the frame before the first one here
//	32      60    head slot 0: nonce 12, sealed {number 8, tag 16, anchor 8}, tag 16
//	92      60    head slot 1
//	152     -     frames
//
//	frame:  0     4     length n of what follows
//	        4     12    nonce
//	        16    n-12  sealed {op 1, name length 1, name, value}, tag 16
//
// The additional data of a frame is magic, id, base, 'F', its number, the tag
// of the frame before and the device's name; of a head slot it is magic, id,
// base, 'H', the slot's number and the device's name. A put appends a frame,
// syncs, writes the head slot (number modulo 2), syncs, and advances the anchor:
// an altered last frame is thereby told from one that a crash cut off. The head
// says where the anchor stands once its frame is acknowledged, zero for a vault
// without one.
package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
)

const (
	magic      = "PUVAULT2"
	slotOffset = 32
	slotLen    = nonceLen + 32 + tagLen
	headerLen  = slotOffset + 2*slotLen
	nonceLen   = 12
	tagLen     = 16
	maxValue   = 1 << 20
	maxName    = 100
	maxFrame   = nonceLen + 2 + 255 + maxValue + tagLen

	opPut    = 1
	opDelete = 2
	// opOpen changes nothing: it is what an anchored vault writes when it
	// opens.
	opOpen = 3

	// compactSlack is how many dead bytes a log may hold before it is
	// rewritten.
	compactSlack = 256 << 10

	// Names of counters and keys begin with a character that no record's
	// name has: what is put can neither turn a counter back nor read a key.
	counterPrefix = "#counter/"
	keyPrefix     = "#key/"
)

// Anchor is a monotonic counter that whoever can write to the folder can't take
// back.
type Anchor interface {
	// Value returns the counter, 0 if it was never advanced.
	Value(ctx context.Context) (uint64, error)
	// Advance adds one, durably, and returns the new value. The first call
	// may begin at any value above zero.
	Advance(ctx context.Context) (uint64, error)
}

// ErrClosed: the vault was closed.
var ErrClosed = errors.New("vault: closed")

// Config configures a vault.
type Config struct {
	// Key gives the 32-byte sealing key; it has no default.
	Key KeySource
	// Rand is the source of nonces and keys; nil means crypto/rand.
	Rand io.Reader
	// Device names the device that the folder belongs to; a folder made under
	// another name does not open. At most 100 bytes; it may be empty.
	Device string
	// Anchor notices an older copy of the folder. It belongs to this folder
	// alone: each change advances it by one, and so does each Open. Nil leaves
	// the check to the server. A folder made with an anchor does not open
	// without, nor the other way round.
	Anchor Anchor
}

// location is where a live record's frame stands.
type location struct {
	offset int64
	length int
	number uint64
	prev   [tagLen]byte
}

// Vault is an open folder. Safe for concurrent use.
type Vault struct {
	turn   turn
	dir    string
	device string
	disk   disk
	lock   io.Closer
	f      file
	aead   func() cipher.AEAD // a function, because fmt prints what a field points to
	rand   io.Reader
	anchor Anchor
	slack  int64

	log
	broken error
	closed bool
	// unclaimed are counters' numbers that are durable and that nobody got.
	unclaimed map[string]uint64
}

var (
	_ trusted.Storage  = (*Vault)(nil)
	_ trusted.Counter  = (*Vault)(nil)
	_ trusted.KeyStore = (*Vault)(nil)
	_ trusted.Assured  = (*Vault)(nil)

	_ trusted.CounterReader = (*Vault)(nil)
)

// log is where a vault's file stands.
type log struct {
	id       [16]byte
	base     uint64
	number   uint64
	tag      [tagLen]byte
	anchored uint64 // what the anchor says once frame number is acknowledged
	end      int64
	live     int64
	index    map[string]location
}

// Open opens the vault in dir, or makes it. Errors: trusted.ErrInUse when
// another process or Vault has it open, trusted.ErrTampered when the file does
// not verify under the key, trusted.ErrRollback when the anchor has seen a later
// state than the folder's.
func Open(ctx context.Context, dir string, c Config) (*Vault, error) {
	return openOn(ctx, osDisk{}, dir, c, compactSlack)
}

func openOn(ctx context.Context, d disk, dir string, c Config, slack int64) (*Vault, error) {
	if c.Key == nil {
		return nil, errors.New("vault: Config.Key is nil: choose where the sealing key comes from")
	}
	if len(c.Device) > maxName {
		return nil, fmt.Errorf("vault: Config.Device has %d bytes, at most %d", len(c.Device), maxName)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if err := d.mkdir(dir); err != nil {
		return nil, fmt.Errorf("vault: making the folder: %w", storageError(err))
	}
	v := &Vault{
		turn: newTurn(), unclaimed: map[string]uint64{}, dir: dir, device: c.Device, disk: d,
		rand: c.Rand, anchor: c.Anchor, slack: slack, log: log{index: map[string]location{}},
	}
	return exclusively(ctx, v, func(context.Context) (*Vault, error) {
		// Here, so that a context which ended before leaves no lock behind.
		var err error
		if v.lock, err = d.lock(filepath.Join(dir, "lock")); err != nil {
			return nil, err
		}
		if err := v.open(ctx, c); err != nil {
			return nil, errors.Join(err, v.closeFiles())
		}
		return v, nil
	}, func(v *Vault) {
		v.closed = true
		_ = v.closeFiles() // nobody is there to be told, and nothing is pending
	})
}

func (v *Vault) open(ctx context.Context, c Config) error {
	var err error
	secret.Do(func() { err = v.unlock(ctx, c) })
	if err != nil {
		return err
	}
	v.f, err = v.disk.open(filepath.Join(v.dir, "vault"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = v.begin(ctx)
	case err != nil:
		return fmt.Errorf("vault: opening: %w", err)
	default:
		err = v.load(ctx)
	}
	if err != nil || v.anchor == nil {
		return err
	}
	return v.appendLocked(ctx, opOpen, "", nil)
}

// unlock makes the cipher of the sealing key.
func (v *Vault) unlock(ctx context.Context, c Config) error {
	key, err := c.Key(ctx, v.dir, c.Rand)
	if err != nil {
		return err
	}
	defer key.Wipe()
	sealing, err := bind(key, c.Device)
	if err != nil {
		return err
	}
	defer clear(sealing)
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return fmt.Errorf("vault: sealing key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("vault: sealing key: %w", err)
	}
	v.aead = func() cipher.AEAD { return aead }
	return nil
}

// Close closes the vault and lets another open it. Every change was durable when
// its call returned nil; one that its context left behind is waited for.
func (v *Vault) Close() error {
	if err := v.turn.take(context.Background()); err != nil {
		return err
	}
	defer v.turn.give()
	if v.closed {
		return nil
	}
	v.closed = true
	return v.closeFiles()
}

func (v *Vault) closeFiles() error {
	return errors.Join(closeIf(v.f), v.lock.Close())
}

// Assurance returns channel.AssuranceSoftware: the sealing key is in this
// process's memory.
func (*Vault) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// Get implements trusted.Storage.
func (v *Vault) Get(ctx context.Context, name string) ([]byte, error) {
	if err := v.turn.take(ctx); err != nil {
		return nil, err
	}
	defer v.turn.give()
	if err := v.usableLocked(ctx, name); err != nil {
		return nil, err
	}
	return v.getLocked(name)
}

func (v *Vault) getLocked(name string) ([]byte, error) {
	l, ok := v.index[name]
	if !ok {
		return nil, fmt.Errorf("vault: %s: %w", name, trusted.ErrNotFound)
	}
	frame := make([]byte, l.length)
	if _, err := v.f.ReadAt(frame, l.offset); err != nil {
		return nil, fmt.Errorf("vault: reading %s: %w", name, err)
	}
	op, n, value, err := v.unseal(frame, l.number, l.prev)
	if err != nil || op != opPut || n != name {
		return nil, fmt.Errorf("vault: %s: %w", name, trusted.ErrTampered)
	}
	return value, nil
}

// Put implements trusted.Storage. A value is at most 1 MiB. When it ends with ctx,
// the new state may yet come to stand.
func (v *Vault) Put(ctx context.Context, name string, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("vault: %s: %d bytes, at most %d", name, len(value), maxValue)
	}
	own := bytes.Clone(value) // the caller may be gone while it is written
	_, err := exclusively(ctx, v, func(ctx context.Context) (struct{}, error) {
		defer clear(own)
		if err := v.usableLocked(ctx, name); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, v.appendLocked(ctx, opPut, name, own)
	}, nil)
	return err
}

// Delete implements trusted.Storage.
func (v *Vault) Delete(ctx context.Context, name string) error {
	_, err := exclusively(ctx, v, func(ctx context.Context) (struct{}, error) {
		if err := v.usableLocked(ctx, name); err != nil {
			return struct{}{}, err
		}
		if _, ok := v.index[name]; !ok {
			return struct{}{}, nil
		}
		return struct{}{}, v.appendLocked(ctx, opDelete, name, nil)
	}, nil)
	return err
}

// List implements trusted.Storage.
func (v *Vault) List(ctx context.Context, prefix string) ([]string, error) {
	if err := v.turn.take(ctx); err != nil {
		return nil, err
	}
	defer v.turn.give()
	if err := v.stateLocked(ctx); err != nil {
		return nil, err
	}
	var names []string
	for n := range v.index {
		if strings.HasPrefix(n, prefix) && n[0] != '#' {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return names, nil
}

// Next implements trusted.Counter. A number that is durable when its caller has
// gone with ctx is the next caller's.
func (v *Vault) Next(ctx context.Context, name string) (uint64, error) {
	record := counterPrefix + name
	return exclusively(ctx, v, func(ctx context.Context) (uint64, error) {
		if err := v.usableLocked(ctx, name); err != nil {
			return 0, err
		}
		if n, ok := v.unclaimed[record]; ok {
			delete(v.unclaimed, record)
			return n, nil
		}
		n, err := v.valueLocked(record)
		if err != nil {
			return 0, err
		}
		n++
		if n == 0 {
			return 0, fmt.Errorf("vault: %s is exhausted", record)
		}
		return n, v.appendLocked(ctx, opPut, record, binary.BigEndian.AppendUint64(nil, n))
	}, func(n uint64) { v.unclaimed[record] = n })
}

// Value implements trusted.CounterReader.
func (v *Vault) Value(ctx context.Context, name string) (uint64, error) {
	if err := v.turn.take(ctx); err != nil {
		return 0, err
	}
	defer v.turn.give()
	if err := v.usableLocked(ctx, name); err != nil {
		return 0, err
	}
	record := counterPrefix + name
	if n, ok := v.unclaimed[record]; ok {
		return n - 1, nil
	}
	return v.valueLocked(record)
}

func (v *Vault) valueLocked(name string) (uint64, error) {
	b, err := v.getLocked(name)
	switch {
	case errors.Is(err, trusted.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(b) != 8:
		return 0, fmt.Errorf("vault: %s: %w", name, trusted.ErrTampered)
	}
	return binary.BigEndian.Uint64(b), nil
}

func (v *Vault) stateLocked(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if v.closed {
		return ErrClosed
	}
	return v.broken
}

func (v *Vault) usableLocked(ctx context.Context, name string) error {
	if err := v.stateLocked(ctx); err != nil {
		return err
	}
	if name == "" || len(name) > maxName {
		return fmt.Errorf("vault: record name of %d bytes, want 1 to %d", len(name), maxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_./", rune(c)) {
			return fmt.Errorf("vault: record name has %q at %d", c, i)
		}
	}
	return nil
}
