package android

import (
	"encoding/asn1"

	"github.com/payunit/payunit/channel"
)

// SecurityLevel is where a key, or the attestation of it, lives.
type SecurityLevel uint8

// The levels.
const (
	Software SecurityLevel = iota
	TrustedEnvironment
	StrongBox
)

// String returns the level in words.
func (l SecurityLevel) String() string {
	switch l {
	case Software:
		return "software"
	case TrustedEnvironment:
		return "trusted environment"
	case StrongBox:
		return "StrongBox"
	}
	return "unknown"
}

// BootState is what verified boot found.
type BootState uint8

// The states.
const (
	Verified BootState = iota
	SelfSigned
	Unverified
	Failed
)

// String returns the state in words.
func (s BootState) String() string {
	switch s {
	case Verified:
		return "verified"
	case SelfSigned:
		return "self-signed"
	case Unverified:
		return "unverified"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// KeyDescription is the extension 1.3.6.1.4.1.11129.2.1.17.
type KeyDescription struct {
	Version              int64
	SecurityLevel        SecurityLevel
	KeyMintVersion       int64
	KeyMintSecurityLevel SecurityLevel
	Challenge, UniqueID  []byte
	// Software is what the system enforces and says, Hardware what the secure
	// hardware does.
	Software, Hardware AuthorizationList
}

// AuthorizationList is what a key may do, and what it was made under, as far as a
// verifier looks at it. A nil number was not there.
type AuthorizationList struct {
	Purposes, Digests    []int64
	Algorithm, Curve     *int64
	Origin               *int64
	OSPatch, VendorPatch *int64
	AllApplications      bool
	RootOfTrust          *RootOfTrust
	Application          *ApplicationID
}

// RootOfTrust is what the device booted.
type RootOfTrust struct {
	BootKey  []byte
	Locked   bool
	State    BootState
	BootHash []byte // of the whole verified boot data; nil before version 3
}

// ApplicationID is which packages share the key's user id, and who signed them.
type ApplicationID struct {
	Packages []Package
	Signers  [][]byte // SHA-256 of certificates
}

// Package is a package and its version code.
type Package struct {
	Name    string
	Version int64
}

// versions are the attestation versions that this parser knows: Keymaster 2 to
// 4.1, KeyMint 1 to 4.
var versions = map[int64]bool{1: true, 2: true, 3: true, 4: true, 100: true, 200: true, 300: true, 400: true}

// kind is an authorization's type.
type kind uint8

const (
	kindInt kind = iota
	kindSet
	kindNull
	kindOctets
	kindRoot
)

// Tags that a verifier looks at.
const (
	tagPurpose     = 1
	tagAlgorithm   = 2
	tagDigest      = 5
	tagCurve       = 10
	tagAllApps     = 600
	tagOrigin      = 702
	tagRootOfTrust = 704
	tagOSPatch     = 706
	tagApplication = 709
	tagVendorPatch = 718
)

// kinds are the tags that there are, and their types (source.android.com, key
// attestation, schema). Another tag is refused: nobody would know what it allows.
var kinds = map[int]kind{
	tagPurpose: kindSet, tagAlgorithm: kindInt, 3: kindInt, 4: kindSet, tagDigest: kindSet, 6: kindSet, 7: kindNull, 8: kindInt, tagCurve: kindInt,
	200: kindInt, 203: kindSet, 303: kindNull, 305: kindNull, 400: kindInt, 401: kindInt, 402: kindInt, 405: kindInt, 502: kindInt, 503: kindNull,
	504: kindInt, 505: kindInt, 506: kindNull, 507: kindNull, 508: kindNull, 509: kindNull, tagAllApps: kindNull, 601: kindOctets, 701: kindInt,
	tagOrigin: kindInt, 703: kindNull, tagRootOfTrust: kindRoot, 705: kindInt, tagOSPatch: kindInt, tagApplication: kindOctets, 710: kindOctets,
	711: kindOctets, 712: kindOctets, 713: kindOctets, 714: kindOctets, 715: kindOctets, 716: kindOctets, 717: kindOctets, tagVendorPatch: kindInt,
	719: kindInt, 720: kindNull, 723: kindOctets, 724: kindOctets,
}

// der reads DER elements one after the other, and remembers that one was not what
// it had to be.
type der struct {
	rest []byte
	bad  bool
}

// read takes the next element as a Go value of encoding/asn1.
func (d *der) read(v any) {
	if d.bad {
		return
	}
	rest, err := asn1.Unmarshal(d.rest, v)
	if err != nil {
		d.bad = true
		return
	}
	d.rest = rest
}

func (d *der) int() (n int64)    { d.read(&n); return n }
func (d *der) octets() []byte    { var b []byte; d.read(&b); return b }
func (d *der) enumerated() uint8 { return small(d) }

func small(d *der) uint8 {
	var e asn1.Enumerated
	d.read(&e)
	if e < 0 || e > 0x7F {
		d.bad = true
		return 0
	}
	return uint8(e)
}

// inner takes a universal constructed element and reads in it.
func (d *der) inner(tag int) *der {
	var raw asn1.RawValue
	d.read(&raw)
	if d.bad || raw.Class != asn1.ClassUniversal || raw.Tag != tag || !raw.IsCompound {
		d.bad = true
		return &der{bad: true}
	}
	return &der{rest: raw.Bytes}
}

// end says whether all was read, and as it had to be.
func (d *der) end() bool { return !d.bad && len(d.rest) == 0 }

func (d *der) more() bool { return !d.bad && len(d.rest) > 0 }

func malformed(what string) error {
	return channel.RefuseEvidence(channel.ReasonFormat, "key description: %s", what)
}

// ParseKeyDescription reads the extension's value, strictly: DER, known versions
// and tags, each tag once, nothing after it. The order of tags is not looked at,
// since key stores there are do not all keep it. The error is a
// *channel.EvidenceError.
func ParseKeyDescription(b []byte) (*KeyDescription, error) {
	outer := &der{rest: b}
	d := outer.inner(asn1.TagSequence)
	k := &KeyDescription{
		Version: d.int(), SecurityLevel: SecurityLevel(d.enumerated()), KeyMintVersion: d.int(), KeyMintSecurityLevel: SecurityLevel(d.enumerated()),
		Challenge: d.octets(), UniqueID: d.octets(),
	}
	if d.bad {
		return nil, malformed("not of its form")
	}
	if !versions[k.Version] {
		return nil, malformed("unknown version")
	}
	if k.SecurityLevel > StrongBox || k.KeyMintSecurityLevel > StrongBox {
		return nil, malformed("unknown security level")
	}
	for _, list := range []*AuthorizationList{&k.Software, &k.Hardware} {
		if err := list.parse(d.inner(asn1.TagSequence), k.Version); err != nil {
			return nil, err
		}
	}
	if !d.end() || !outer.end() {
		return nil, malformed("bytes after it")
	}
	return k, nil
}

func (l *AuthorizationList) parse(d *der, version int64) error {
	seen := map[int]bool{}
	for d.more() {
		var raw asn1.RawValue
		d.read(&raw)
		if d.bad {
			break
		}
		kind, known := kinds[raw.Tag]
		if raw.Class != asn1.ClassContextSpecific || !raw.IsCompound || !known {
			return malformed("an authorization that is not known")
		}
		if seen[raw.Tag] {
			return malformed("an authorization comes twice")
		}
		seen[raw.Tag] = true
		if err := l.authorization(raw.Tag, kind, &der{rest: raw.Bytes}, version); err != nil {
			return err
		}
	}
	if !d.end() {
		return malformed("an authorization list is not of its form")
	}
	return nil
}

// authorization reads one authorization's value.
func (l *AuthorizationList) authorization(tag int, k kind, d *der, version int64) error {
	switch k {
	case kindInt:
		n := d.int()
		if into := l.number(tag); into != nil {
			*into = &n
		}
	case kindSet:
		var list []int64
		for s := d.inner(asn1.TagSet); ; {
			if !s.more() {
				d.bad = d.bad || s.bad
				break
			}
			list = append(list, s.int())
		}
		switch tag {
		case tagPurpose:
			l.Purposes = list
		case tagDigest:
			l.Digests = list
		}
	case kindNull:
		var raw asn1.RawValue
		d.read(&raw)
		if raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagNull || raw.IsCompound || len(raw.Bytes) != 0 {
			d.bad = true
		}
		l.AllApplications = l.AllApplications || tag == tagAllApps
	case kindOctets:
		b := d.octets()
		if tag == tagApplication && !d.bad {
			var err error
			if l.Application, err = parseApplicationID(b); err != nil {
				return err
			}
		}
	case kindRoot:
		r := d.inner(asn1.TagSequence)
		t := &RootOfTrust{BootKey: r.octets()}
		r.read(&t.Locked)
		t.State = BootState(r.enumerated())
		if version >= 3 || r.more() {
			t.BootHash = r.octets()
		}
		d.bad = d.bad || !r.end() || t.State > Failed
		l.RootOfTrust = t
	}
	if !d.end() {
		return malformed("an authorization is not of its type")
	}
	return nil
}

func (l *AuthorizationList) number(tag int) **int64 {
	switch tag {
	case tagAlgorithm:
		return &l.Algorithm
	case tagCurve:
		return &l.Curve
	case tagOrigin:
		return &l.Origin
	case tagOSPatch:
		return &l.OSPatch
	case tagVendorPatch:
		return &l.VendorPatch
	}
	return nil
}

// parseApplicationID reads an AttestationApplicationId, which is DER in an octet
// string.
func parseApplicationID(b []byte) (*ApplicationID, error) {
	outer := &der{rest: b}
	d := outer.inner(asn1.TagSequence)
	id := &ApplicationID{}
	packages := d.inner(asn1.TagSet)
	for packages.more() {
		p := packages.inner(asn1.TagSequence)
		id.Packages = append(id.Packages, Package{Name: string(p.octets()), Version: p.int()})
		packages.bad = packages.bad || !p.end()
	}
	signers := d.inner(asn1.TagSet)
	for signers.more() {
		id.Signers = append(id.Signers, signers.octets())
	}
	if !packages.end() || !signers.end() || !d.end() || !outer.end() {
		return nil, malformed("the application id is not of its form")
	}
	return id, nil
}
