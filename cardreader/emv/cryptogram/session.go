package cryptogram

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// SessionCSK is the EMV common session key derivation (Book 2, A1.3.1): r with
// its third byte replaced by F0 and by 0F makes the halves. For cryptograms r is
// the ATC and zeros, for scripts the application cryptogram.
func SessionCSK(master secret.Bytes, r [8]byte) (secret.Bytes, error) {
	left, right := r, r
	left[2], right[2] = 0xF0, 0x0F
	k, err := pair(master, left, right)
	if err == nil {
		oddParity(k.Reveal())
	}
	return k, err
}

// SessionMChip is Mastercard's own derivation: common session keys with the
// unpredictable number in the last four bytes of r.
func SessionMChip(master secret.Bytes, atc uint16, un [4]byte) (secret.Bytes, error) {
	r := atcBlock(atc)
	copy(r[4:], un[:])
	return SessionCSK(master, r)
}

func atcBlock(atc uint16) (r [8]byte) {
	binary.BigEndian.PutUint16(r[:2], atc)
	return r
}

// SessionVisa is Visa's derivation of script keys: the ATC into the last two
// bytes of the left half, its inverse into those of the right half.
func SessionVisa(master secret.Bytes, atc uint16) (secret.Bytes, error) {
	if master.Len() != keyLen {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrKey, master.Len())
	}
	k := master.Clone()
	b := k.Reveal()
	binary.BigEndian.PutUint16(b[6:], binary.BigEndian.Uint16(b[6:])^atc)
	binary.BigEndian.PutUint16(b[14:], binary.BigEndian.Uint16(b[14:])^^atc)
	oddParity(b)
	return k, nil
}

// Tree is the shape of the session key tree of EMV2000: Branch children a node,
// Height levels, and the initial value for the root's own parent. Cards use a
// branch factor of 2 and a height of 16, or 4 and 8, and an IV of zeros.
type Tree struct {
	Branch, Height int
	IV             [16]byte
}

// SessionEMV2000 walks the tree from the master key to the leaf of the ATC
// (EMV 4.1 Book 2, A1.3): each node is made of its parent and, xored in, its
// grandparent; the session key is the leaf xor its grandparent. Errors wrap
// ErrKey, or ErrScheme for a tree that has too few leaves.
func SessionEMV2000(master secret.Bytes, atc uint16, t Tree) (secret.Bytes, error) {
	if t.Branch < 2 || t.Branch > 255 || t.Height < 2 || t.Height > 16 {
		return secret.Bytes{}, fmt.Errorf("%w: key tree of %d levels and %d branches", ErrScheme, t.Height, t.Branch)
	}
	// The path from the root: at level i the node atc / branch^(height-i).
	path := make([]int, t.Height)
	n := int(atc)
	for i := t.Height - 1; i >= 0; i-- {
		path[i] = n % t.Branch
		n /= t.Branch
	}
	if n != 0 {
		return secret.Bytes{}, fmt.Errorf("%w: key tree of %d levels and %d branches has no leaf for the ATC", ErrScheme, t.Height, t.Branch)
	}
	grand, parent := secret.CopyBytes(t.IV[:]), master.Clone()
	for i, j := range path {
		node, err := treeNode(parent, grand, byte(j))
		if err != nil {
			parent.Wipe()
			return secret.Bytes{}, err
		}
		if i == len(path)-1 {
			subtle.XORBytes(node.Reveal(), node.Reveal(), grand.Reveal())
		}
		grand.Wipe()
		grand, parent = parent, node
	}
	grand.Wipe()
	oddParity(parent.Reveal())
	return parent, nil
}

// treeNode makes child j of parent: both halves of the grandparent, with j and
// with j xor F0 in the last byte, under the parent.
func treeNode(parent, grand secret.Bytes, j byte) (secret.Bytes, error) {
	g := grand.Reveal()
	left, right := [8]byte(g[:8]), [8]byte(g[8:])
	defer clear(left[:])
	defer clear(right[:])
	left[7] ^= j
	right[7] ^= j ^ 0xF0
	return pair(parent, left, right)
}
