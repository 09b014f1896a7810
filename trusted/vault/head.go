package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/payunit/payunit/trusted"
)

// ErrAnchor: the folder was made with an anchor and Config has none, or the
// other way round.
var ErrAnchor = errors.New("vault: folder and Config.Anchor do not belong together")

// head is what a slot holds: the last acknowledged frame, and what the anchor
// says once it is.
type head struct {
	number   uint64
	tag      [tagLen]byte
	anchored uint64
}

func (v *Vault) slotAD(slot int) []byte {
	return append(append(v.header(), 'H', byte(slot)), v.device...)
}

func (v *Vault) writeHead() error {
	slot := int(v.number % 2)
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 32), v.number)
	plain = append(plain, v.tag[:]...)
	plain = binary.BigEndian.AppendUint64(plain, v.anchored)
	sealed, err := v.seal(plain, v.slotAD(slot))
	if err != nil {
		return err
	}
	if _, err := v.f.WriteAt(sealed, int64(slotOffset+slot*slotLen)); err != nil {
		return err
	}
	return v.f.Sync()
}

// readHead returns the newer of the slots that verify: a crash can spoil one.
func (v *Vault) readHead(b []byte) (head, error) {
	var newest head
	found := false
	for slot := range 2 {
		s := b[slotOffset+slot*slotLen:][:slotLen]
		plain, err := v.aead().Open(nil, s[:nonceLen], s[nonceLen:], v.slotAD(slot))
		if err != nil {
			continue
		}
		h := head{number: binary.BigEndian.Uint64(plain), tag: [tagLen]byte(plain[8:]), anchored: binary.BigEndian.Uint64(plain[8+tagLen:])}
		if !found || h.number > newest.number {
			found, newest = true, h
		}
	}
	if !found {
		return head{}, fmt.Errorf("vault: the head does not verify under this key: %w", trusted.ErrTampered)
	}
	return newest, nil
}

// begin makes the first file of a folder.
func (v *Vault) begin(ctx context.Context) error {
	if v.anchor != nil {
		n, err := v.anchor.Value(ctx)
		if err != nil {
			return fmt.Errorf("vault: anchor: %w", err)
		}
		if n != 0 {
			return fmt.Errorf("vault: the folder is empty and its anchor says that it was not: %w", trusted.ErrRollback)
		}
		if v.anchored, err = v.anchor.Advance(ctx); err != nil {
			return fmt.Errorf("vault: anchor: %w", err)
		}
	}
	return v.rewrite(nil)
}

// judge compares the folder with the anchor and reports whether the anchor is
// one behind: a crash came between the frame and the anchor. Whichever way that
// ends nothing acknowledged is at stake: Open then writes a frame of its own, so
// that a copy of the folder from before the crash is older than it.
func (v *Vault) judge(ctx context.Context) (behind bool, err error) {
	if (v.anchor != nil) != (v.anchored != 0) {
		return false, ErrAnchor
	}
	if v.anchor == nil {
		return false, nil
	}
	n, err := v.anchor.Value(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("vault: anchor: %w", err)
	case n > v.anchored:
		return false, fmt.Errorf("vault: the folder is %d changes older than its anchor: %w", n-v.anchored, trusted.ErrRollback)
	case n+1 < v.anchored:
		return false, fmt.Errorf("vault: the anchor is behind the folder: it is another's, or was made anew: %w", trusted.ErrTampered)
	}
	return n != v.anchored, nil
}

// advance brings the anchor to where the head is. It does not end with ctx: a
// frame that stands has to be followed.
func (v *Vault) advance(ctx context.Context) error {
	if v.anchor == nil {
		return nil
	}
	n, err := v.anchor.Advance(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("vault: anchor: %w", err)
	}
	if n != v.anchored {
		return fmt.Errorf("vault: anchor: somebody else advances it: %w", trusted.ErrTampered)
	}
	return nil
}
