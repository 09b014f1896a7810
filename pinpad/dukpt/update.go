package dukpt

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/keyblock"
)

// updateCounter is the counter of the update key: all ones, which no transaction
// has (X9.24-3, 6.6).
const updateCounter = 0xFFFFFFFF

// UpdateKeyFrom derives the update key of a type from a device's initial key: the
// key encryption key of the counter FFFFFFFF, under which a new initial key is
// sent to the device. Errors wrap ErrKey.
func UpdateKeyFrom(alg Algorithm, initialKey secret.Bytes, id []byte, t KeyType) (secret.Bytes, error) {
	return updateKey(alg, id, t, given(alg, initialKey))
}

// UpdateKey derives the update key of a device. Errors wrap ErrKey.
func (h *Host) UpdateKey(id []byte, t KeyType) (secret.Bytes, error) {
	return updateKey(h.alg, id, t, h.initial)
}

func updateKey(alg Algorithm, id []byte, t KeyType, initial func(*keyBuffer, *ident) error) (secret.Bytes, error) {
	if alg == TDES {
		return secret.Bytes{}, fmt.Errorf("%w: TDES DUKPT has no update key", ErrKey)
	}
	i, err := alg.parseID(id)
	if err != nil {
		return secret.Bytes{}, err
	}
	var k keyBuffer
	defer clear(k[:])
	if err := initial(&k, &i); err != nil {
		return secret.Bytes{}, err
	}
	if err := alg.walk(&k, &i, 0, updateCounter, nil); err != nil {
		return secret.Bytes{}, err
	}
	if err := alg.working(&k, KeyEncryption, t, &i, updateCounter); err != nil {
		return secret.Bytes{}, err
	}
	return secret.CopyBytes(k[:t.Len()]), nil
}

// Update makes the key block with which the device of an id becomes the device of
// another, whose initial key comes from the host to. The block says the new id
// (IK) and is of version D. A nil random is crypto/rand.Reader. Errors wrap ErrKey
// or ErrUpdate, or are keyblock's.
func (h *Host) Update(id []byte, to *Host, newID []byte, random io.Reader) (string, error) {
	if to.alg == TDES || to.alg.KeyType().strength() > h.alg.KeyType().strength() {
		return "", fmt.Errorf("%w: from %s to %s", ErrUpdate, h.alg, to.alg)
	}
	kek, err := h.UpdateKey(id, h.alg.KeyType())
	if err != nil {
		return "", err
	}
	defer kek.Wipe()
	ik, err := to.InitialKey(newID)
	if err != nil {
		return "", err
	}
	defer ik.Wipe()
	return keyblock.Wrap(kek, keyblock.Header{
		Version: 'D', Usage: "B1", Algorithm: 'A', Mode: 'X', KeyVersion: "00", Exportability: 'N',
		Optional: []keyblock.Block{{ID: "IK", Data: strings.ToUpper(hex.EncodeToString(newID))}},
	}, ik, random)
}

// Update replaces the initial key by the one in a key block, which is wrapped
// under the device's update key and names the new initial key id. The counter
// starts anew, and the old keys, the update key among them, are gone: a block
// serves once. It works for a device that is exhausted. When it fails, the device
// is as it was, unless only the store failed: then it goes on with its old keys
// until it is opened again, which shows the state that stands. Errors: ErrWiped;
// wrap ErrUpdate, those of keyblock among them; or are the store's.
func (d *Device) Update(ctx context.Context, block string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		return ErrWiped
	}
	if d.s.alg == TDES {
		return fmt.Errorf("%w: TDES DUKPT has none", ErrUpdate)
	}
	var k keyBuffer
	defer clear(k[:])
	copy(k[:], d.s.update.Reveal())
	if err := d.s.alg.working(&k, KeyEncryption, d.s.alg.KeyType(), &d.s.id, updateCounter); err != nil {
		return err
	}
	kek := secret.CopyBytes(k[:d.s.alg.keyLen()])
	defer kek.Wipe()
	h, ik, err := keyblock.Unwrap(kek, block)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	defer ik.Wipe()
	s, err := d.s.updated(h, ik)
	if err != nil {
		return err
	}
	if err := d.save(ctx, &s); err != nil {
		s.wipe()
		return err
	}
	d.s.wipe()
	d.s = s
	return nil
}

// updated makes the new state from an unwrapped key block.
func (s *state) updated(h keyblock.Header, ik secret.Bytes) (state, error) {
	if h.Version != 'D' || h.Usage != "B1" || h.Algorithm != 'A' || h.Mode != 'X' {
		return state{}, fmt.Errorf("%w: the block is of version %c for usage %s of algorithm %c", ErrUpdate, h.Version, h.Usage, h.Algorithm)
	}
	alg := map[int]Algorithm{16: AES128, 24: AES192, 32: AES256}[ik.Len()]
	if !alg.valid() || alg.KeyType().strength() > s.alg.KeyType().strength() {
		return state{}, fmt.Errorf("%w: an initial key of %d bytes for %s", ErrUpdate, ik.Len(), s.alg)
	}
	for _, b := range h.Optional {
		if b.ID != "IK" {
			continue
		}
		raw, err := hex.DecodeString(b.Data)
		if err != nil {
			return state{}, fmt.Errorf("%w: initial key id", ErrUpdate)
		}
		id, err := alg.parseID(raw)
		if err != nil || id == s.id {
			// Under the same id the counters would come a second time.
			return state{}, fmt.Errorf("%w: initial key id is malformed, or the one in use", ErrUpdate)
		}
		return load(alg, ik, id)
	}
	return state{}, fmt.Errorf("%w: the block names no initial key id (IK)", ErrUpdate)
}
