package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"

	"github.com/payunit/payunit/trusted"
)

func (v *Vault) header() []byte {
	h := append(make([]byte, 0, 160), magic...)
	h = append(h, v.id[:]...)
	return binary.BigEndian.AppendUint64(h, v.base)
}

func (v *Vault) frameAD(number uint64, prev [tagLen]byte) []byte {
	ad := append(v.header(), 'F')
	ad = binary.BigEndian.AppendUint64(ad, number)
	ad = append(ad, prev[:]...)
	return append(ad, v.device...)
}

// seal returns nonce and sealed text.
func (v *Vault) seal(plain, ad []byte) ([]byte, error) {
	out := make([]byte, nonceLen, nonceLen+len(plain)+tagLen)
	if _, err := io.ReadFull(v.rand, out); err != nil {
		return nil, fmt.Errorf("vault: randomness: %w", err)
	}
	return v.aead().Seal(out, out, plain, ad), nil
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
	plain, err := v.aead().Open(nil, body[:nonceLen], body[nonceLen:], v.frameAD(number, prev))
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
func (v *Vault) appendLocked(ctx context.Context, op byte, name string, value []byte) error {
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
	if v.anchor != nil {
		v.anchored++
	}
	v.apply(op, name, loc)
	// From here the frame stands whether or not its head slot does: without
	// the slot and the anchor nobody may build on it in this process, because
	// a further frame would be two ahead of them.
	if err := v.writeHead(); err != nil {
		v.broken = fmt.Errorf("vault: writing the head: %w; close the vault and open it again", storageError(err))
		return v.broken
	}
	if err := v.advance(ctx); err != nil {
		v.broken = fmt.Errorf("%w; close the vault and open it again", err)
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

// load reads the log and judges its end by the head and the anchor. It writes
// nothing before it has judged.
func (v *Vault) load(ctx context.Context) error {
	size, err := v.f.Size()
	if err != nil {
		return fmt.Errorf("vault: size: %w", err)
	}
	b := make([]byte, headerLen)
	if size < headerLen {
		return fmt.Errorf("vault: header cut off at %d bytes: %w", size, trusted.ErrTampered)
	}
	if _, err := v.f.ReadAt(b, 0); err != nil {
		return fmt.Errorf("vault: reading the header: %w", err)
	}
	if string(b[:8]) != magic {
		return fmt.Errorf("vault: this is no vault of a known version: %w", trusted.ErrTampered)
	}
	copy(v.id[:], b[8:24])
	v.base = binary.BigEndian.Uint64(b[24:32])
	h, err := v.readHead(b)
	if err != nil {
		return err
	}
	v.number, v.end, v.anchored = v.base, headerLen, h.anchored
	if err := v.replay(size, h); err != nil {
		return err
	}
	behind, err := v.judge(ctx)
	if err != nil {
		return err
	}
	// What follows the last good frame was never acknowledged: a write that
	// a crash cut off.
	if v.end < size {
		if err := v.f.Truncate(v.end); err != nil {
			return fmt.Errorf("vault: cutting off a torn write: %w", storageError(err))
		}
	}
	if v.number > h.number {
		if err := v.writeHead(); err != nil {
			return fmt.Errorf("vault: writing the head: %w", storageError(err))
		}
	}
	if behind {
		return v.advance(ctx)
	}
	return nil
}

// replay reads the frames.
func (v *Vault) replay(size int64, h head) error {
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
		if v.number == h.number && v.tag != h.tag {
			return fmt.Errorf("vault: frame %d is not the one that the head names: %w", h.number, trusted.ErrTampered)
		}
	}
	if v.number < h.number {
		return fmt.Errorf("vault: frame %d does not verify, the head names %d: %w", v.number+1, h.number, trusted.ErrTampered)
	}
	if v.number > h.number+1 {
		return fmt.Errorf("vault: frame %d is beyond the head's %d: %w", v.number, h.number, trusted.ErrTampered)
	}
	return nil
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
	if v.end-headerLen-v.live < v.slack || v.end-headerLen < 4*v.live {
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

// rewrite makes a new file with what fill puts and moves it into place. It
// changes no record, and so leaves the anchor alone. The numbers go on, so that no frame of an older file fits into the new one.
func (v *Vault) rewrite(fill func(put func(name string, value []byte) error) error) error {
	path := filepath.Join(v.dir, "vault")
	f, err := v.disk.create(path + ".new")
	if err != nil {
		return fmt.Errorf("vault: making the file: %w", storageError(err))
	}
	n := &Vault{dir: v.dir, device: v.device, f: f, aead: v.aead, rand: v.rand, log: log{
		id: v.id, base: v.number, number: v.number, anchored: v.anchored, end: headerLen, index: map[string]location{},
	}}
	if err := errors.Join(n.fill(v.number == 0, fill), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("vault: writing the file: %w", storageError(err)), v.disk.remove(path+".new"))
	}
	// Windows moves no open file, and none over an open one. From here to the
	// end a failure leaves either file in place, and both hold the same.
	err = closeIf(v.f)
	if err == nil {
		err = replace(v.disk, path+".new", path)
	}
	if err == nil {
		n.f, err = v.disk.open(path)
	}
	if err != nil {
		v.f = nil
		v.broken = fmt.Errorf("vault: moving the file into place: %w; close the vault and open it again", storageError(err))
		return v.broken
	}
	v.f, v.log = n.f, n.log
	return nil
}

func closeIf(f file) error {
	if f == nil {
		return nil
	}
	return f.Close()
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
