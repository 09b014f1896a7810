package oda

import (
	"bytes"
	"crypto/sha1" // hash algorithm 01 of Book 2, B3.1
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// CAKey is a certification authority public key (Book 2, 11.2): an RSA key with
// modulus and exponent, or an elliptic-curve key, whose suite is not zero.
type CAKey struct {
	RID      RID
	Index    byte
	Modulus  []byte
	Exponent []byte
	EC       ECKey
	// Expiry is the last day on which the key may be used; zero means none.
	Expiry time.Time
}

// PublicKey returns the RSA key, empty for one of an elliptic curve.
func (k CAKey) PublicKey() PublicKey { return PublicKey{Modulus: k.Modulus, Exponent: k.Exponent} }

// Expired reports whether the key's last day is over.
func (k CAKey) Expired(now time.Time) bool {
	return !k.Expiry.IsZero() && !now.Before(k.Expiry.AddDate(0, 0, 1))
}

// CheckSum returns the SHA-1 check sum of RID, index, modulus and exponent; for
// an elliptic-curve key of RID, index, suite and both coordinates (Book 2, tables
// 30 and 31, which leave the hash to the terminal).
func (k CAKey) CheckSum() [20]byte {
	b := append(append([]byte{}, k.RID[:]...), k.Index)
	if k.EC.Suite == 0 {
		b = append(b, k.Modulus...)
		return sha1.Sum(append(b, k.Exponent...))
	}
	b = append(append(b, byte(k.EC.Suite)), k.EC.X...)
	if _, y, ok := k.EC.point(); ok {
		b = append(b, y.FillBytes(make([]byte, len(k.EC.X)))...)
	}
	return sha1.Sum(b)
}

// ErrCAPK: a CAPK file can't be taken; the error says where and why.
var ErrCAPK = errors.New("oda: CAPK file")

type keyID struct {
	rid   RID
	index byte
}

type certificateID struct {
	keyID
	serial [3]byte
}

// Store holds certification authority keys and revoked issuer certificates. It
// does not change after it was made, and may be used from any goroutine.
type Store struct {
	keys    map[keyID]CAKey
	revoked map[certificateID]bool
}

// CAKey returns the key of an authority by its index.
func (s *Store) CAKey(rid RID, index byte) (CAKey, bool) {
	if s == nil {
		return CAKey{}, false
	}
	k, ok := s.keys[keyID{rid, index}]
	return k, ok
}

// Revoked reports whether an issuer certificate is on the revocation list
// (Book 2, 5.1.2).
func (s *Store) Revoked(rid RID, index byte, serial [3]byte) bool {
	return s != nil && s.revoked[certificateID{keyID{rid, index}, serial}]
}

// Len returns the number of keys.
func (s *Store) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

type capkFile struct {
	CAPK    []capkEntry    `json:"capk"`
	Revoked []revokedEntry `json:"revoked"`
}

type capkEntry struct {
	RID      string `json:"rid"`
	Index    string `json:"index"`
	Modulus  string `json:"modulus"`
	Exponent string `json:"exponent"`
	Suite    string `json:"suite"`
	Point    string `json:"point"`
	Expiry   string `json:"expiry"`
	SHA1     string `json:"sha1"`
}

type revokedEntry struct {
	RID    string `json:"rid"`
	Index  string `json:"index"`
	Serial string `json:"serial"`
}

// maxCAPK bounds a CAPK file: several thousand keys.
const maxCAPK = 8 << 20

// ParseCAPK reads a CAPK file:
//
//	{"capk":[{"rid":"A000000003","index":"92","modulus":"HEX","exponent":"03",
//	          "expiry":"2031-12-31","sha1":"HEX"}],
//	 "revoked":[{"rid":"A000000003","index":"92","serial":"HEX"}]}
//
// An elliptic-curve key has, in the place of modulus and exponent, its suite, "10"
// or "11", and its point, both coordinates in hex.
//
// A key without expiry does not expire. A check sum that is missing or wrong, a
// key given twice, and members that the format lacks are refused. Errors wrap
// ErrCAPK and name the entry.
func ParseCAPK(r io.Reader) (*Store, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxCAPK+1))
	if err != nil {
		return nil, fmt.Errorf("%w: reading: %w", ErrCAPK, err)
	}
	if len(raw) > maxCAPK {
		return nil, fmt.Errorf("%w: over %d bytes", ErrCAPK, maxCAPK)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var f capkFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: at byte %d: %w", ErrCAPK, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: bytes after the object at byte %d", ErrCAPK, d.InputOffset())
	}
	s := &Store{keys: map[keyID]CAKey{}, revoked: map[certificateID]bool{}}
	for i, e := range f.CAPK {
		k, err := e.key()
		if err == nil {
			id := keyID{k.RID, k.Index}
			if _, twice := s.keys[id]; twice {
				err = errors.New("given twice")
			}
			s.keys[id] = k
		}
		if err != nil {
			return nil, fmt.Errorf("%w: capk entry %d (RID %q index %q): %w", ErrCAPK, i+1, e.RID, e.Index, err)
		}
	}
	for i, e := range f.Revoked {
		id, err := e.id()
		if err != nil {
			return nil, fmt.Errorf("%w: revoked entry %d (RID %q index %q): %w", ErrCAPK, i+1, e.RID, e.Index, err)
		}
		s.revoked[id] = true
	}
	return s, nil
}

func (e capkEntry) key() (CAKey, error) {
	id, err := parseID(e.RID, e.Index)
	if err != nil {
		return CAKey{}, err
	}
	k := CAKey{RID: id.rid, Index: id.index}
	if e.Suite != "" || e.Point != "" {
		if k.EC, err = e.ec(); err != nil {
			return CAKey{}, err
		}
		return e.finish(k)
	}
	if k.Modulus, err = hex.DecodeString(e.Modulus); err != nil || len(k.Modulus) < 64 || len(k.Modulus) > maxModulus {
		return CAKey{}, fmt.Errorf("modulus is not the hex of 64 to %d bytes", maxModulus)
	}
	if k.Exponent, err = hex.DecodeString(e.Exponent); err != nil || len(k.Exponent) == 0 || len(k.Exponent) > 3 {
		return CAKey{}, errors.New("exponent is not the hex of 1 to 3 bytes")
	}
	return e.finish(k)
}

// ec reads the point of an elliptic-curve key, which has to be the one that its
// x-coordinate stands for.
func (e capkEntry) ec() (ECKey, error) {
	suite, err := hex.DecodeString(e.Suite)
	if err != nil || len(suite) != 1 || Suite(suite[0]).String() == "" {
		return ECKey{}, errors.New("suite is neither 10 nor 11")
	}
	k := ECKey{Suite: Suite(suite[0])}
	n, _ := k.Suite.Len()
	point, err := hex.DecodeString(e.Point)
	switch {
	case err != nil || len(point) != 2*n:
		return ECKey{}, fmt.Errorf("point is not the hex of %d bytes", 2*n)
	case e.Modulus != "" || e.Exponent != "":
		return ECKey{}, errors.New("both an RSA key and one of an elliptic curve")
	}
	k.X = point[:n:n]
	if _, y, ok := k.point(); !ok || !bytes.Equal(y.FillBytes(make([]byte, n)), point[n:]) {
		return ECKey{}, errors.New("point is not on the curve, or not the one with the lesser y-coordinate")
	}
	return k, nil
}

// finish reads what both kinds of key have.
func (e capkEntry) finish(k CAKey) (CAKey, error) {
	var err error
	if e.Expiry != "" {
		if k.Expiry, err = time.Parse(time.DateOnly, e.Expiry); err != nil {
			return CAKey{}, fmt.Errorf("expiry %q is no date such as 2031-12-31", e.Expiry)
		}
	}
	sum, err := hex.DecodeString(e.SHA1)
	want := k.CheckSum()
	if err != nil || subtle.ConstantTimeCompare(sum, want[:]) != 1 {
		return CAKey{}, errors.New("sha1 is not the check sum of RID, index and key")
	}
	return k, nil
}

func (e revokedEntry) id() (certificateID, error) {
	id, err := parseID(e.RID, e.Index)
	if err != nil {
		return certificateID{}, err
	}
	serial, err := hex.DecodeString(e.Serial)
	if err != nil || len(serial) != 3 {
		return certificateID{}, errors.New("serial is not the hex of 3 bytes")
	}
	return certificateID{id, [3]byte(serial)}, nil
}

func parseID(rid, index string) (keyID, error) {
	r, err := hex.DecodeString(rid)
	if err != nil || len(r) != 5 {
		return keyID{}, errors.New("rid is not the hex of 5 bytes")
	}
	i, err := hex.DecodeString(index)
	if err != nil || len(i) != 1 {
		return keyID{}, errors.New("index is not the hex of one byte")
	}
	return keyID{RID(r), i[0]}, nil
}
