// Package config is what a unit is told about the payment server before it
// speaks to it: the server's static keys, under which name it is reached, what
// channels may be opened for and in which suites. A key that is kept offline
// signs it; the unit knows that key's public half from when it was built or
// enrolled, and takes a configuration from whoever brings it, the app included.
//
// A Store keeps the configuration in force and refuses an older one.
//
// It does not replace the channel's own proof: a server still has to have the
// private half of a key that is listed. Who steals one, and carries the unit's bytes
// too, can keep newer configurations from it until the one that lists the key ends:
// its time is what bounds that.
package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/channel"
)

// ErrRefused: a configuration was judged and is not taken; an *Error says why.
var ErrRefused = errors.New("config: configuration refused")

// Reason is why a configuration is not taken, in a word for machines.
type Reason string

// The reasons.
const (
	ReasonFormat    Reason = "format"    // not of the byte table, or not in its one form
	ReasonSignature Reason = "signature" // not signed by the key that the unit knows
	ReasonRollback  Reason = "rollback"  // older than one that was taken
	ReasonConflict  Reason = "conflict"  // of a version that was taken, and says something else
	ReasonVersion   Reason = "version"   // too far ahead of the one before
	ReasonEarly     Reason = "early"     // issued in the future
	ReasonExpired   Reason = "expired"   // past its time
	ReasonKey       Reason = "key"       // no server key of it can be used now for what is asked
	ReasonPurpose   Reason = "purpose"   // the server gives no channels for what is asked
)

// Error is a configuration that is not taken; it is ErrRefused.
type Error struct {
	Reason Reason
	// Offset is where in the signed bytes the fault is, -1 where it is in none.
	Offset int
	// What is the reason in words, with what to do about it.
	What string
	err  error
}

// Error implements error.
func (e *Error) Error() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf(" at byte %d", e.Offset)
	}
	return ErrRefused.Error() + " (" + string(e.Reason) + at + "): " + e.What
}

// Is makes it ErrRefused.
func (e *Error) Is(target error) bool { return target == ErrRefused }

// Unwrap returns trusted.ErrRollback for what is rolled back.
func (e *Error) Unwrap() error { return e.err }

func refuse(r Reason, format string, a ...any) error {
	return &Error{Reason: r, Offset: -1, What: fmt.Sprintf(format, a...)}
}

// Suite says what kind of channel a key is for.
type Suite uint8

// The suites. 1 and 2 are channel/noise's.
const (
	SuiteX25519 Suite = 1 // Noise on X25519: a key of 32 bytes (RFC 7748)
	SuiteP256   Suite = 2 // Noise on P-256: an uncompressed point of 65 bytes (SEC 1, 2.3.3)
	SuiteTLS    Suite = 3 // TLS 1.3: an Ed25519 key of 32 bytes (RFC 8032)
)

// keyLen is the length of a suite's public keys, 0 for no suite.
func (s Suite) keyLen() int {
	switch s {
	case SuiteX25519, SuiteTLS:
		return 32
	case SuiteP256:
		return 65
	}
	return 0
}

// KeyIDLen is the length of a key id.
const KeyIDLen = 8

// Key is a static key of the server, and when it is good.
type Key struct {
	Suite  Suite
	Public []byte
	// From and Until bound its use, to the second; Until is the first moment
	// at which it is good no more.
	From, Until time.Time
}

// ID names the key as a handshake's prologue does: the first bytes of SHA-256 of
// it.
func (k Key) ID() [KeyIDLen]byte {
	sum := sha256.Sum256(k.Public)
	return [KeyIDLen]byte(sum[:])
}

// Purposes is a set of what channels may be opened for.
type Purposes uint8

// Allow makes a set.
func Allow(list ...channel.Purpose) Purposes {
	var p Purposes
	for _, x := range list {
		if x >= channel.PurposePay && x <= channel.PurposeResume {
			p |= 1 << (x - 1)
		}
	}
	return p
}

const allPurposes = Purposes(1<<channel.PurposeResume - 1)

// Has reports whether a purpose is in the set.
func (p Purposes) Has(x channel.Purpose) bool { return p&Allow(x) != 0 }

// Statement is what a configuration says.
type Statement struct {
	// Version counts configurations of one signer, from 1, by one.
	Version uint64
	// Issued and Expires bound when it may be taken and used, to the second.
	Issued, Expires time.Time
	// Purposes are what the server gives channels for.
	Purposes Purposes
	// Suites are those that the server offers, each once.
	Suites []Suite
	// Name is the routing name of the server: units bind it into each
	// handshake, 1 to 64 printable ASCII characters.
	Name string
	// Keys are the server's, the one to use first.
	Keys []Key
}

// A signed configuration, integers big endian, times in Unix seconds:
//
//	offset  size  field
//	0       8     magic "PUCONF01"
//	8       8     version, 1 or more
//	16      8     issued
//	24      8     expires, later than issued
//	32      1     purposes: bit 0 pay, 1 enrol, 2 resume; one or more
//	33      1     number s of suites, 1 to 3
//	34      s     suites, each once
//	34+s    1     length n of the name, 1 to 64
//	35+s    n     name, printable ASCII
//	35+s+n  1     number k of keys, 1 to 8
//	              k keys, none twice, each of a suite that is offered:
//	                0      1   suite
//	                1      m   public key: 32 bytes, 65 for suite 2
//	                1+m    8   good from
//	                9+m    8   good until, later than from
//	-64     64    Ed25519 signature (RFC 8032) of signatureLabel and all before
//
// There is one encoding of a statement, and no byte is left over.
const (
	magic          = "PUCONF01"
	signatureLabel = "payunit server configuration 1"

	maxName = 64
	maxKeys = 8
	// MaxSigned is the greatest length of a signed configuration.
	MaxSigned = 35 + 3 + maxName + 1 + maxKeys*(1+65+16) + ed25519.SignatureSize
)

// maxTime is the last second that a time may have, of the year 9999.
const maxTime = 253402300799

// Sign makes the signed bytes. It is for the offline machine that holds the key.
// Errors are an *Error of ReasonFormat for what has no encoding.
func Sign(s Statement, key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("config: signing key of %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	b, err := s.encode()
	if err != nil {
		return nil, err
	}
	return append(b, ed25519.Sign(key, signed(b))...), nil
}

func signed(body []byte) []byte { return append([]byte(signatureLabel), body...) }

func (s Statement) encode() ([]byte, error) {
	b := []byte(magic)
	b = binary.BigEndian.AppendUint64(b, s.Version)
	b = appendTime(b, s.Issued)
	b = appendTime(b, s.Expires)
	b = append(b, byte(s.Purposes), byte(min(len(s.Suites), 255)))
	for _, x := range s.Suites {
		b = append(b, byte(x))
	}
	b = append(b, byte(min(len(s.Name), 255)))
	b = append(b, s.Name...)
	b = append(b, byte(min(len(s.Keys), 255)))
	for _, k := range s.Keys {
		b = append(b, byte(k.Suite))
		b = append(b, k.Public...)
		b = appendTime(b, k.From)
		b = appendTime(b, k.Until)
	}
	// What reads it knows best whether it can be read.
	again, err := parse(b)
	if err != nil {
		return nil, err
	}
	same := func(a, b Key) bool { return a.Suite == b.Suite && slices.Equal(a.Public, b.Public) }
	if !slices.EqualFunc(again.Keys, s.Keys, same) || again.Name != s.Name {
		return nil, refuse(ReasonFormat, "a length is out of bounds, or a key's is not its suite's")
	}
	return b, nil
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
}

// Verify checks the signature under the signer's public key, and then reads the
// statement. It judges no time and no version: a Store does. Errors are an
// *Error of ReasonFormat or ReasonSignature.
func Verify(b []byte, signer ed25519.PublicKey) (Statement, error) {
	if len(signer) != ed25519.PublicKeySize {
		return Statement{}, fmt.Errorf("config: verification key of %d bytes, want %d", len(signer), ed25519.PublicKeySize)
	}
	if len(b) < len(magic)+ed25519.SignatureSize || len(b) > MaxSigned {
		return Statement{}, refuse(ReasonFormat, "%d bytes are no signed configuration", len(b))
	}
	body, signature := b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	if !ed25519.Verify(signer, signed(body), signature) {
		return Statement{}, refuse(ReasonSignature, "it is altered, or signed by another key than the one that this unit knows")
	}
	return parse(body)
}

// reader reads the body and remembers the first fault.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) bad(format string, a ...any) {
	if r.err == nil {
		r.err = &Error{Reason: ReasonFormat, Offset: r.at, What: fmt.Sprintf(format, a...)}
	}
}

func (r *reader) take(n int, what string) []byte {
	if r.err == nil && len(r.b)-r.at < n {
		r.bad("%s is cut off", what)
	}
	if r.err != nil {
		return make([]byte, n)
	}
	b := r.b[r.at : r.at+n]
	r.at += n
	return b
}

func (r *reader) time(what string) time.Time {
	at := r.at
	n := binary.BigEndian.Uint64(r.take(8, what))
	if n > maxTime {
		r.at = at
		r.bad("%s is no time", what)
		n = 0
	}
	return time.Unix(int64(n), 0).UTC()
}

// count reads a number between 1 and most.
func (r *reader) count(most int, what string) int {
	at := r.at
	n := int(r.take(1, what)[0])
	if r.err == nil && (n < 1 || n > most) {
		r.at = at
		r.bad("%d %s, want 1 to %d", n, what, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) suite(s *Statement, offered bool) Suite {
	at := r.at
	x := Suite(r.take(1, "a suite")[0])
	if r.err != nil {
		return 0
	}
	if x.keyLen() == 0 || slices.Contains(s.Suites, x) != offered {
		r.at = at
		r.bad("suite %d is unknown, listed twice, or not offered", x)
	}
	return x
}

func parse(b []byte) (Statement, error) {
	r := &reader{b: b}
	if string(r.take(len(magic), "the magic")) != magic {
		r.at = 0
		r.bad("it does not begin with %q", magic)
	}
	var s Statement
	if s.Version = binary.BigEndian.Uint64(r.take(8, "the version")); s.Version == 0 {
		r.bad("version 0")
	}
	s.Issued, s.Expires = r.time("the time of issue"), r.time("the time of expiry")
	if !s.Expires.After(s.Issued) {
		r.bad("it expires before it is issued")
	}
	s.Purposes = Purposes(r.take(1, "the purposes")[0])
	if s.Purposes == 0 || s.Purposes&^allPurposes != 0 {
		r.bad("purposes %08b", s.Purposes)
	}
	for range r.count(3, "suites") {
		s.Suites = append(s.Suites, r.suite(&s, false))
	}
	s.Name = string(r.take(r.count(maxName, "bytes of name"), "the name"))
	for i := range len(s.Name) {
		if s.Name[i] < 0x20 || s.Name[i] > 0x7E {
			r.bad("the name is not printable ASCII")
		}
	}
	for range r.count(maxKeys, "keys") {
		r.key(&s)
	}
	if r.err == nil && r.at != len(b) {
		r.bad("%d bytes are left over", len(b)-r.at)
	}
	if r.err != nil {
		return Statement{}, r.err
	}
	return s, nil
}

func (r *reader) key(s *Statement) {
	at := r.at
	k := Key{Suite: r.suite(s, true)}
	if r.err != nil {
		return
	}
	k.Public = slices.Clone(r.take(k.Suite.keyLen(), "a key"))
	k.From, k.Until = r.time("a key's begin"), r.time("a key's end")
	if !k.Until.After(k.From) {
		r.bad("a key is good until before it is good")
	}
	if slices.ContainsFunc(s.Keys, func(o Key) bool { return o.Suite == k.Suite && slices.Equal(o.Public, k.Public) }) {
		r.at = at
		r.bad("a key is listed twice")
	}
	s.Keys = append(s.Keys, k)
}

// InForce checks that now is within the statement's time. Errors are an *Error
// of ReasonEarly or ReasonExpired.
func (s Statement) InForce(now time.Time) error {
	switch {
	case now.Before(s.Issued):
		return refuse(ReasonEarly, "version %d is issued %v, and it is %v: set the clock", s.Version, s.Issued, now.UTC().Truncate(time.Second))
	case !now.Before(s.Expires):
		return refuse(ReasonExpired, "version %d ended %v, and it is %v: bring the server's present configuration", s.Version, s.Expires, now.UTC().Truncate(time.Second))
	}
	return nil
}

// Changes returns the next moment at which what Use returns may change.
func (s Statement) Changes(now time.Time) time.Time {
	next := s.Expires
	for _, k := range s.Keys {
		for _, t := range []time.Time{k.From, k.Until} {
			if now.Before(t) && t.Before(next) {
				next = t
			}
		}
	}
	return next
}

// Lists reports whether a key of any suite is the server's now.
func (s Statement) Lists(public []byte, now time.Time) bool {
	return s.InForce(now) == nil && slices.ContainsFunc(s.Keys, func(k Key) bool {
		return slices.Equal(k.Public, public) && !now.Before(k.From) && now.Before(k.Until)
	})
}

// Use returns the keys of a suite that a channel for a purpose can be opened
// with now, the one to use first. Errors are an *Error of ReasonEarly,
// ReasonExpired, ReasonPurpose or ReasonKey.
func (s Statement) Use(x Suite, p channel.Purpose, now time.Time) ([][]byte, error) {
	if err := s.InForce(now); err != nil {
		return nil, err
	}
	if !s.Purposes.Has(p) {
		return nil, refuse(ReasonPurpose, "version %d gives no channels to %v", s.Version, p)
	}
	var keys [][]byte
	for _, k := range s.Keys {
		if k.Suite == x && !now.Before(k.From) && now.Before(k.Until) {
			keys = append(keys, slices.Clone(k.Public))
		}
	}
	if len(keys) == 0 {
		return nil, refuse(ReasonKey, "version %d has no key of suite %d that is good now: bring the server's present configuration", s.Version, x)
	}
	return keys, nil
}
