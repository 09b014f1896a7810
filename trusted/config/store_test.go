package config

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

var errDisk = errors.New("disk gave up")

// memory is a storage and a counter apart: records can be put back, the counter
// can't. Its n-th operation that writes is its last.
type memory struct {
	records map[string][]byte
	counts  map[string]uint64
	writes  int
	dies    int // at this write; 0 never
}

func newMemory() *memory { return &memory{records: map[string][]byte{}, counts: map[string]uint64{}} }

func (m *memory) write() error {
	if m.writes++; m.dies > 0 && m.writes >= m.dies {
		return errDisk
	}
	return nil
}

func (m *memory) Get(_ context.Context, name string) ([]byte, error) {
	b, ok := m.records[name]
	if !ok {
		return nil, trusted.ErrNotFound
	}
	return bytes.Clone(b), nil
}

func (m *memory) Put(_ context.Context, name string, b []byte) error {
	if err := m.write(); err != nil {
		return err
	}
	m.records[name] = bytes.Clone(b)
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error { delete(m.records, name); return nil }

func (m *memory) List(context.Context, string) ([]string, error) { return nil, nil }

func (m *memory) Next(_ context.Context, name string) (uint64, error) {
	if err := m.write(); err != nil {
		return 0, err
	}
	m.counts[name]++
	return m.counts[name], nil
}

func (m *memory) Value(_ context.Context, name string) (uint64, error) { return m.counts[name], nil }

func (m *memory) store(t testing.TB) *Store {
	t.Helper()
	s, err := NewStore(StoreConfig{Signer: public(signer(1)), Storage: m, Counter: m, Now: func() time.Time { return day0.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func take(t testing.TB, s *Store, b []byte) {
	t.Helper()
	if changed, err := s.Take(t.Context(), b); err != nil || !changed {
		t.Fatalf("taken %v: %v", changed, err)
	}
}

func version(t testing.TB, s *Store) uint64 {
	t.Helper()
	st, err := s.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Version
}

func TestStore(t *testing.T) {
	m := newMemory()
	s := m.store(t)
	if _, err := s.Current(t.Context()); !errors.Is(err, trusted.ErrNotFound) {
		t.Fatalf("before: %v", err)
	}
	take(t, s, sign(t, statement(3), signer(1)))
	if changed, err := s.Take(t.Context(), sign(t, statement(3), signer(1))); changed || err != nil {
		t.Errorf("the same again: %v, %v", changed, err)
	}
	other := statement(3)
	other.Name = "elsewhere"
	expired, early := statement(4), statement(4)
	expired.Expires = day0.Add(time.Hour)
	early.Issued = day0.Add(2 * time.Hour)
	altered := sign(t, statement(4), signer(1))
	altered[20] ^= 1
	for name, c := range map[string]struct {
		b      []byte
		reason Reason
	}{
		"older":           {sign(t, statement(2), signer(1)), ReasonRollback},
		"version twice":   {sign(t, other, signer(1)), ReasonConflict},
		"another signer":  {sign(t, statement(4), signer(2)), ReasonSignature},
		"altered":         {altered, ReasonSignature},
		"expired":         {sign(t, expired, signer(1)), ReasonExpired},
		"of the future":   {sign(t, early, signer(1)), ReasonEarly},
		"too far ahead":   {sign(t, statement(3+MaxStep+1), signer(1)), ReasonVersion},
		"nothing":         {nil, ReasonFormat},
		"longer than any": {make([]byte, MaxSigned+1), ReasonFormat},
	} {
		writes := m.writes
		if changed, err := s.Take(t.Context(), c.b); changed || reason(err) != c.reason {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		if _, err := s.Take(t.Context(), c.b); errors.Is(err, trusted.ErrRollback) != (c.reason == ReasonRollback) {
			t.Errorf("%s: %v", name, err)
		}
		if m.writes != writes || version(t, s) != 3 {
			t.Errorf("%s: something was written", name)
		}
	}
	take(t, s, sign(t, statement(4), signer(1)))
	if v := version(t, m.store(t)); v != 4 {
		t.Errorf("the next process has version %d", v)
	}
}

// TestRollback puts older records back: each is noticed, and the newest mends it.
func TestRollback(t *testing.T) {
	m := newMemory()
	s := m.store(t)
	past := []map[string][]byte{maps.Clone(m.records)}
	for v := range uint64(3) {
		take(t, s, sign(t, statement(v+1), signer(1)))
		past = append(past, maps.Clone(m.records))
	}
	for v, records := range past[:3] {
		m.records = maps.Clone(records)
		s := m.store(t)
		if _, err := s.Current(t.Context()); reason(err) != ReasonRollback || !errors.Is(err, trusted.ErrRollback) {
			t.Errorf("version %d put back: %v", v, err)
		}
		for older := uint64(1); older < 3; older++ {
			if _, err := s.Take(t.Context(), sign(t, statement(older), signer(1))); reason(err) != ReasonRollback {
				t.Errorf("version %d put back, %d taken: %v", v, older, err)
			}
		}
		take(t, s, sign(t, statement(3), signer(1)))
		if v := version(t, m.store(t)); v != 3 {
			t.Errorf("mended to version %d", v)
		}
	}
}

// TestDiesAtEveryWrite cuts a change off at each write: the next process has the
// old one or the new one, and neither looks rolled back; the old one can't come
// back once the new one was seen.
func TestDiesAtEveryWrite(t *testing.T) {
	for dies := 1; ; dies++ {
		m := newMemory()
		take(t, m.store(t), sign(t, statement(2), signer(1)))
		old := maps.Clone(m.records)
		m.writes, m.dies = 0, dies
		s := m.store(t)
		_, err := s.Take(t.Context(), sign(t, statement(5), signer(1)))
		if err == nil {
			if dies != 5 {
				t.Fatalf("%d writes, want one of the record and three of the counter", dies-1)
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("write %d: %v", dies, err)
		}
		m.dies = 0
		want := uint64(5)
		if dies == 1 {
			want = 2
		}
		// In this process, and in the next.
		if v := version(t, s); v != want {
			t.Errorf("write %d: this process has version %d", dies, v)
		}
		if v := version(t, m.store(t)); v != want {
			t.Errorf("write %d: the next process has version %d", dies, v)
		}
		m.records = old
		if _, err := m.store(t).Current(t.Context()); (reason(err) == ReasonRollback) != (want == 5) {
			t.Errorf("write %d: put back: %v", dies, err)
		}
	}
}

// deaf hides that a counter can be read.
type deaf struct{ trusted.Counter }

// handing hands on to a counter that can't be read.
type handing struct{ trusted.Counter }

func (handing) Value(context.Context, string) (uint64, error) { return 0, errors.ErrUnsupported }

// TestCounterThatCannotBeRead: the record alone speaks.
func TestCounterThatCannotBeRead(t *testing.T) {
	for _, c := range []trusted.Counter{deaf{newMemory()}, handing{newMemory()}} {
		m := newMemory()
		s, err := NewStore(StoreConfig{Signer: public(signer(1)), Storage: m, Counter: c, Now: func() time.Time { return day0 }})
		if err != nil {
			t.Fatal(err)
		}
		take(t, s, sign(t, statement(9000), signer(1)))
		if _, err := s.Take(t.Context(), sign(t, statement(8999), signer(1))); reason(err) != ReasonRollback {
			t.Errorf("older: %v", err)
		}
		// Nor does a number that was mistaken lock the unit out from all after it.
		if _, err := s.Take(t.Context(), sign(t, statement(9000+MaxStep+1), signer(1))); reason(err) != ReasonVersion {
			t.Errorf("too far ahead: %v", err)
		}
		take(t, s, sign(t, statement(9000+MaxStep), signer(1)))
	}
}

// slow is a storage that does not answer until it is told to.
type slow struct {
	*memory
	asked, answer chan struct{}
}

func (s slow) Get(ctx context.Context, name string) ([]byte, error) {
	s.asked <- struct{}{}
	<-s.answer
	return s.memory.Get(ctx, name)
}

// TestWaiting: whoever waits for another's call goes with his own context.
func TestWaiting(t *testing.T) {
	m := slow{newMemory(), make(chan struct{}), make(chan struct{})}
	s, err := NewStore(StoreConfig{Signer: public(signer(1)), Storage: m, Counter: m, Now: func() time.Time { return day0 }})
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error)
	go func() { _, err := s.Current(t.Context()); first <- err }()
	<-m.asked
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Current(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("current: %v", err)
	}
	if _, err := s.Take(ended, sign(t, statement(1), signer(1))); !errors.Is(err, context.Canceled) {
		t.Errorf("take: %v", err)
	}
	if b := s.Digest(ended); b != nil {
		t.Errorf("digest %x", b)
	}
	close(m.answer)
	if err := <-first; !errors.Is(err, trusted.ErrNotFound) {
		t.Error(err)
	}
}

// TestVault: in a sealed store, and after it was opened again.
func TestVault(t *testing.T) {
	dir := t.TempDir()
	for v := uint64(1); v < 4; v++ {
		k, err := vault.Open(t.Context(), dir, vault.Config{Key: vault.FixedKey(secret.NewBytes(bytes.Repeat([]byte{1}, 32)))})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewStore(StoreConfig{Signer: public(signer(1)), Storage: k, Counter: k, Now: func() time.Time { return day0 }})
		if err != nil {
			t.Fatal(err)
		}
		if v > 1 && version(t, s) != v-1 {
			t.Errorf("version %d", version(t, s))
		}
		take(t, s, sign(t, statement(v), signer(1)))
		if n, err := k.Value(t.Context(), s.name); n != v || err != nil {
			t.Errorf("counted %d: %v", n, err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	m := newMemory()
	for want, c := range map[string]StoreConfig{
		"Signer":  {Storage: m, Counter: m},
		"Storage": {Signer: public(signer(1)), Counter: m},
		"Counter": {Signer: public(signer(1)), Storage: m},
	} {
		if _, err := NewStore(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", want, err)
		}
	}
	// A record that somebody altered.
	s := m.store(t)
	take(t, s, sign(t, statement(1), signer(1)))
	m.records[s.name][30] ^= 1
	if _, err := m.store(t).Current(t.Context()); reason(err) != ReasonSignature {
		t.Errorf("altered record: %v", err)
	}
	// Signers count apart: another one's first version is not an old one.
	other, err := NewStore(StoreConfig{Signer: public(signer(2)), Storage: m, Counter: m, Now: func() time.Time { return day0 }})
	if err != nil {
		t.Fatal(err)
	}
	take(t, other, sign(t, statement(1), signer(2)))
}
