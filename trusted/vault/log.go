package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/payunit/payunit/trusted"
)

func (v *Vault) header() []byte {
	h := append(make([]byte, 0, 64), magic...)
	h = append(h, v.id[:]...)
	return binary.BigEndian.AppendUint64(h, v.base)
}

func (v *Vault) frameAD(number uint64, prev [tagLen]byte) []byte {
	ad := append(v.header(), 'F')
	ad = binary.BigEndian.AppendUint64(ad, number)
	return append(ad, prev[:]...)
}

func (v *Vault) slotAD(slot int) []byte { return append(v.header(), 'H', byte(slot)) }

// seal returns nonce and sealed text.
func (v *Vault) seal(plain, ad []byte) ([]byte, error) {
	out := make([]byte, nonceLen, nonceLen+len(plain)+tagLen)
	if _, err := io.ReadFull(v.rand, out); err != nil {
		return nil, fmt.Errorf("vault: randomness: %w", err)
	}
	return v.aead.Seal(out, out, plain, ad), nil
}

// sealFrame returns a whole frame, length included, and its tag.
func (v *Vault) sealFrame(op byte, name string, value []byte, number uint64, prev [tagLen]byte) ([]byte, [tagLen]byte, error) {
	plain := make([]byte, 0, 2+len(name)+len(value))
	plain = append(plain, op, byte(len(name)))
	plain = append(plain, name...)
	plain = append(plain, value...)
	defer clear(plain)
	sealed, err := v.seal(plain, v.frameAD(number, prev))
	if err != nil {
		return nil, [tagLen]byte{}, err
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(sealed)), uint32(len(sealed)))
	frame = append(frame, sealed...)
	return frame, [tagLen]byte(frame[len(frame)-tagLen:]), nil
}

// unseal opens a whole frame. The value is the caller's.
func (v *Vault) unseal(frame []byte, number uint64, prev [tagLen]byte) (op byte, name string, value []byte, err error) {
	if len(frame) < 4+nonceLen+2+tagLen {
		return 0, "", nil, trusted.ErrTampered
	}
	body := frame[4:]
	plain, err := v.aead.Open(nil, body[:nonceLen], body[nonceLen:], v.frameAD(number, prev))
	if err != nil {
		return 0, "", nil, trusted.ErrTampered
	}
	n := int(plain[1])
	if len(plain) < 2+n {
		return 0, "", nil, trusted.ErrTampered
	}
	return plain[0], string(plain[2 : 2+n]), plain[2+n:], nil
}

// appendLocked makes one change durable and visible.
func (v *Vault) appendLocked(op byte, name string, value []byte) error {
	if err := v.compactLocked(); err != nil {
		return err
	}
	frame, tag, err := v.sealFrame(op, name, value, v.number+1, v.tag)
	if err != nil {
		return err
	}
	if err := v.writeFrameLocked(frame); err != nil {
		return fmt.Errorf("vault: writing %s: %w", name, err)
	}
	loc := location{offset: v.end, length: len(frame), number: v.number + 1, prev: v.tag}
	v.number, v.tag, v.end = v.number+1, tag, v.end+int64(len(frame))
	v.apply(op, name, loc)
	// From here the frame stands whether or not its head slot does: without
	// the slot nobody may build on it in this process, because a further
	// frame without it would be two ahead of the head.
	if err := v.writeHead(); err != nil {
		v.broken = fmt.Errorf("vault: writing the head: %w; close the vault and open it again", storageError(err))
		return v.broken
	}
	return nil
}

// writeFrameLocked appends and syncs. On failure the log ends where it did.
func (v *Vault) writeFrameLocked(frame []byte) error {
	_, err := v.f.WriteAt(frame, v.end)
	if err == nil {
		err = v.f.Sync()
	}
	if err == nil {
		return nil
	}
	if terr := v.f.Truncate(v.end); terr != nil {
		// The frame may or may not stand: only reading the file again can tell.
		v.broken = fmt.Errorf("vault: log end is uncertain: %w; close the vault and open it again", terr)
	}
	return storageError(err)
}

func (v *Vault) writeHead() error {
	slot := int(v.number % 2)
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 24), v.number)
	plain = append(plain, v.tag[:]...)
	sealed, err := v.seal(plain, v.slotAD(slot))
	if err != nil {
		return err
	}
	if _, err := v.f.WriteAt(sealed, int64(slotOffset+slot*slotLen)); err != nil {
		return err
	}
	return v.f.Sync()
}

func (v *Vault) apply(op byte, name string, l location) {
	if old, ok := v.index[name]; ok {
		v.live -= int64(old.length)
		delete(v.index, name)
	}
	if op == opPut {
		v.index[name] = l
		v.live += int64(l.length)
	}
}

// load reads the log and judges its end by the head.
func (v *Vault) load() error {
	size, err := v.f.Size()
	if err != nil {
		return fmt.Errorf("vault: size: %w", err)
	}
	head := make([]byte, headerLen)
	if size < headerLen {
		return fmt.Errorf("vault: header cut off at %d bytes: %w", size, trusted.ErrTampered)
	}
	if _, err := v.f.ReadAt(head, 0); err != nil {
		return fmt.Errorf("vault: reading the header: %w", err)
	}
	if string(head[:8]) != magic {
		return fmt.Errorf("vault: this is no vault of a known version: %w", trusted.ErrTampered)
	}
	copy(v.id[:], head[8:24])
	v.base = binary.BigEndian.Uint64(head[24:32])
	number, tag, err := v.readHead(head)
	if err != nil {
		return err
	}
	v.number, v.end = v.base, headerLen
	for v.end < size {
		frame, ok, err := v.readFrame(size)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		op, name, value, err := v.unseal(frame, v.number+1, v.tag)
		if err != nil {
			break
		}
		clear(value)
		loc := location{offset: v.end, length: len(frame), number: v.number + 1, prev: v.tag}
		v.number++
		v.tag = [tagLen]byte(frame[len(frame)-tagLen:])
		v.end += int64(len(frame))
		v.apply(op, name, loc)
		if v.number == number && v.tag != tag {
			return fmt.Errorf("vault: frame %d is not the one that the head names: %w", number, trusted.ErrTampered)
		}
	}
	if v.number < number {
		return fmt.Errorf("vault: frame %d does not verify, the head names %d: %w", v.number+1, number, trusted.ErrTampered)
	}
	if v.number > number+1 {
		return fmt.Errorf("vault: frame %d is beyond the head's %d: %w", v.number, number, trusted.ErrTampered)
	}
	// What follows the last good frame was never acknowledged: a write that
	// a crash cut off.
	if v.end < size {
		if err := v.f.Truncate(v.end); err != nil {
			return fmt.Errorf("vault: cutting off a torn write: %w", storageError(err))
		}
	}
	if v.number == number+1 {
		if err := v.writeHead(); err != nil {
			return fmt.Errorf("vault: writing the head: %w", storageError(err))
		}
	}
	return nil
}

// readHead returns the newer of the slots that verify: a crash can spoil one.
func (v *Vault) readHead(head []byte) (number uint64, tag [tagLen]byte, err error) {
	found := false
	for slot := range 2 {
		b := head[slotOffset+slot*slotLen:][:slotLen]
		plain, err := v.aead.Open(nil, b[:nonceLen], b[nonceLen:], v.slotAD(slot))
		if err != nil {
			continue
		}
		if n := binary.BigEndian.Uint64(plain); !found || n > number {
			found, number, tag = true, n, [tagLen]byte(plain[8:])
		}
	}
	if !found {
		return 0, tag, fmt.Errorf("vault: the head does not verify under this key: %w", trusted.ErrTampered)
	}
	return number, tag, nil
}

// readFrame returns the frame at v.end, false when it is cut off.
func (v *Vault) readFrame(size int64) ([]byte, bool, error) {
	var l [4]byte
	if size-v.end < 4 {
		return nil, false, nil
	}
	if _, err := v.f.ReadAt(l[:], v.end); err != nil {
		return nil, false, fmt.Errorf("vault: reading: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(l[:]))
	if n > maxFrame || n > size-v.end-4 {
		return nil, false, nil
	}
	frame := make([]byte, 4+n)
	if _, err := v.f.ReadAt(frame, v.end); err != nil {
		return nil, false, fmt.Errorf("vault: reading: %w", err)
	}
	return frame, true, nil
}

// compactLocked rewrites the log when most of it is dead.
func (v *Vault) compactLocked() error {
	if v.end-headerLen-v.live < compactSlack || v.end-headerLen < 4*v.live {
		return nil
	}
	type record struct {
		name  string
		value []byte
	}
	var keep []record
	defer func() {
		for _, r := range keep {
			clear(r.value)
		}
	}()
	for name := range v.index {
		b, err := v.getLocked(name)
		if err != nil {
			return err
		}
		keep = append(keep, record{name, b})
	}
	sort.Slice(keep, func(i, j int) bool { return keep[i].name < keep[j].name })
	return v.rewrite(func(put func(name string, value []byte) error) error {
		for _, r := range keep {
			if err := put(r.name, r.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// rewrite makes a new file with what fill puts and moves it into place. The
// numbers go on, so that no frame of an older file fits into the new one.
func (v *Vault) rewrite(fill func(put func(name string, value []byte) error) error) error {
	path := filepath.Join(v.dir, "vault")
	f, err := v.create(path + ".new")
	if err != nil {
		return fmt.Errorf("vault: making the file: %w", storageError(err))
	}
	n := &Vault{dir: v.dir, f: f, aead: v.aead, rand: v.rand, id: v.id, base: v.number, number: v.number, end: headerLen, index: map[string]location{}}
	err = n.fill(v.number == 0, fill)
	if err == nil {
		err = replace(path+".new", path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("vault: writing the file: %w", storageError(err)), f.Close(), ignoreMissing(os.Remove(path+".new")))
	}
	if v.f != nil {
		// The old file has left the folder: its descriptor is of no more use.
		err = v.f.Close()
	}
	v.f, v.id, v.base, v.number, v.tag, v.end, v.live, v.index = n.f, n.id, n.base, n.number, n.tag, n.end, n.live, n.index
	return err
}

func (v *Vault) fill(fresh bool, fill func(put func(name string, value []byte) error) error) error {
	if fresh {
		if _, err := io.ReadFull(v.rand, v.id[:]); err != nil {
			return fmt.Errorf("vault: randomness: %w", err)
		}
	}
	if _, err := v.f.WriteAt(append(v.header(), make([]byte, headerLen-slotOffset)...), 0); err != nil {
		return err
	}
	put := func(name string, value []byte) error {
		frame, tag, err := v.sealFrame(opPut, name, value, v.number+1, v.tag)
		if err != nil {
			return err
		}
		if _, err := v.f.WriteAt(frame, v.end); err != nil {
			return err
		}
		loc := location{offset: v.end, length: len(frame), number: v.number + 1, prev: v.tag}
		v.number, v.tag, v.end = v.number+1, tag, v.end+int64(len(frame))
		v.apply(opPut, name, loc)
		return nil
	}
	if fill != nil {
		if err := fill(put); err != nil {
			return err
		}
	}
	return v.writeHead()
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
