// Package demo holds the published keys and names of the example programs. They
// protect nothing: whoever reads this page has them.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host"
)

// Merchant is whose orders the examples pay.
const (
	MerchantID   = "CORNERSHOP00001"
	MerchantName = "Corner Shop"
	// Token opens the merchant's interface of the bank.
	Token = "published-demo-token"
)

// Keys are what a bank holds besides its cards.
type Keys struct {
	// Server is the bank's static X25519 key.
	Server *ecdh.PrivateKey
	// ServerTLS is the bank's key for channels over TLS; nil when the file has
	// none.
	ServerTLS ed25519.PrivateKey
	// ServerNext is the key that the bank changes to, and is served under as
	// well; nil when the file has none.
	ServerNext *ecdh.PrivateKey
	// ConfigKey verifies the bank's configurations for its units; empty when the
	// file has none, and the bank then gives them none.
	ConfigKey ed25519.PublicKey
	// AKAuthority certifies the attestation keys of units' TPMs; nil when the
	// file has none, and evidence of TPMs is not taken.
	AKAuthority *ecdsa.PrivateKey
	// Registry is the key behind activation codes and digests.
	Registry secret.Bytes
	// Line is the key of the lines between banks; empty when the file has
	// none.
	Line secret.Bytes
	// ZoneMaster is the zone master key of the line to another bank, under which
	// the two exchange working keys; empty when the file has none.
	ZoneMaster secret.Bytes
	// Lines are those of banks below that have keys of their own.
	Lines []LineKeys
	// AcquirerID is what the bank calls itself to the one above (DE 32); it may
	// be empty.
	AcquirerID string
	// Base are the base derivation keys.
	Base host.Keys
	// Token opens the merchant's interface.
	Token string
}

// LineKeys are the keys of the line of one bank below.
type LineKeys struct {
	// Name tells the bank from others.
	Name string
	// Line and ZoneMaster are as in Keys.
	Line, ZoneMaster secret.Bytes
	// Earlier: what came before lines had names is this bank's.
	Earlier bool
}

// lineFile is the form of LineKeys.
type lineFile struct {
	Name    string `json:"name"`
	Line    string `json:"line_key"`
	Zone    string `json:"zone_master_key"`
	Earlier bool   `json:"earlier"`
}

// keysFile is the form of a keys file: hex, and the token as it is.
type keysFile struct {
	Server   string `json:"server_key"`
	Next     string `json:"server_key_next"`
	TLS      string `json:"server_tls_key"`
	Config   string `json:"config_key"`
	AK       string `json:"ak_authority_key"`
	Registry string `json:"registry_key"`
	PIN      string `json:"bdk_pin"`
	MAC      string `json:"bdk_mac"`
	PINTDES  string `json:"bdk_pin_tdes"`
	MACTDES  string `json:"bdk_mac_tdes"`
	Line     string `json:"line_key"`
	Zone     string `json:"zone_master_key"`
	Token    string `json:"merchant_token"`
	// Lines are those of banks below, and Acquirer is the bank's own name.
	Lines    []lineFile `json:"lines"`
	Acquirer string     `json:"acquirer_id"`
	// Generation counts the base keys' generations, from 0; Earlier are those
	// before, the newest first.
	Generation byte           `json:"bdk_generation"`
	Earlier    []earlierBases `json:"bdk_earlier"`
}

// earlierBases are the base keys of one generation.
type earlierBases struct {
	Generation byte   `json:"generation"`
	PIN        string `json:"bdk_pin"`
	MAC        string `json:"bdk_mac"`
	PINTDES    string `json:"bdk_pin_tdes"`
	MACTDES    string `json:"bdk_mac_tdes"`
}

// names are the names of a generation's base keys.
func names(generation byte) (pin, mac, pinTDES, macTDES [4]byte) {
	if generation == 0 {
		return [4]byte{'P', 'I', 'N', 'A'}, [4]byte{'M', 'A', 'C', 'A'}, [4]byte{'P', 'I', 'N', 'T'}, [4]byte{'M', 'A', 'C', 'T'}
	}
	return [4]byte{'P', 'A', 0, generation}, [4]byte{'M', 'A', 0, generation}, [4]byte{'P', 'T', 0, generation}, [4]byte{'M', 'T', 0, generation}
}

func (e *earlierBases) bases() (host.Generation, error) {
	var g host.Generation
	for _, x := range []struct {
		text string
		into *host.Base
	}{{e.PIN, &g.PIN}, {e.MAC, &g.MAC}, {e.PINTDES, &g.PINTDES}, {e.MACTDES, &g.MACTDES}} {
		b, err := hex.DecodeString(x.text)
		if err != nil || len(b) != 16 {
			return g, fmt.Errorf("%w: a key of bdk_earlier is not the hex of 16 bytes", ErrKeys)
		}
		x.into.Key = secret.NewBytes(b)
	}
	g.PIN.ID, g.MAC.ID, g.PINTDES.ID, g.MACTDES.ID = names(e.Generation)
	return g, nil
}

// Signer returns the published key that signs the bank's configurations. A bank
// that means it has its own, offline, and none in its keys file.
func Signer() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("payunit published demo key: configuration"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Default returns the published keys: digests of their names.
func Default() (Keys, error) {
	of := func(name string, n int) string {
		sum := sha256.Sum256([]byte("payunit published demo key: " + name))
		return hex.EncodeToString(sum[:n])
	}
	return keysFile{
		Server: of("server", 32), AK: of("AK authority", 32), Next: of("server next", 32), Config: hex.EncodeToString(Signer().Public().(ed25519.PublicKey)), TLS: of("server tls", 32), Registry: of("registry", 32), PIN: of("pin", 16), MAC: of("mac", 16),
		PINTDES: of("pin tdes", 16), MACTDES: of("mac tdes", 16), Line: of("line", 16), Token: Token,
	}.keys()
}

// ErrKeys: a keys file can't be taken.
var ErrKeys = errors.New("keys file")

// ParseKeys reads a keys file: a JSON object with server_key and registry_key
// (hex of 32 bytes), bdk_pin, bdk_mac, bdk_pin_tdes, bdk_mac_tdes (hex of 16),
// merchant_token and, for channels over TLS, server_tls_key (hex of 32), for lines
// between banks line_key (hex of 16), for a change of the server's key
// server_key_next (hex of 32), and config_key, the public key that its units'
// configurations are signed under (hex of 32), and, for units that attest by a TPM,
// ak_authority_key (hex of 32, a scalar of P-256).
//
// New base keys come with bdk_generation, which counts from 0, and those before
// them stay in bdk_earlier, a list of objects with generation and the four bdk
// members, until no terminal goes by them: the bank refuses to start without those
// that terminals have.
//
// With zone_master_key (hex of 32), the same at both ends, the line between two
// banks has working keys, exchanged under it when the lower one starts and once a
// day; line_key is then good for that exchange alone. A bank that serves several
// has lines, a list of objects with name, line_key and, where there is one,
// zone_master_key, each bank's its own; the one with "earlier": true is the one that
// was served before, under line_key of the file itself. acquirer_id is what a bank
// calls itself to the one above (DE 32), up to 11 digits.
func ParseKeys(r io.Reader) (Keys, error) {
	raw, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return Keys{}, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	defer clear(raw)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var f keysFile
	if err := d.Decode(&f); err != nil {
		return Keys{}, fmt.Errorf("%w: no JSON object of the known members", ErrKeys)
	}
	return f.keys()
}

func (f keysFile) keys() (Keys, error) {
	k := Keys{Token: f.Token}
	if k.Token == "" {
		return Keys{}, fmt.Errorf("%w: merchant_token is missing", ErrKeys)
	}
	var server secret.Bytes
	for i, x := range []struct {
		name, text string
		n          int
		into       *secret.Bytes
	}{
		{"server_key", f.Server, 32, &server},
		{"registry_key", f.Registry, 32, &k.Registry},
		{"bdk_pin", f.PIN, 16, &k.Base.PIN.Key},
		{"bdk_mac", f.MAC, 16, &k.Base.MAC.Key},
		{"bdk_pin_tdes", f.PINTDES, 16, &k.Base.PINTDES.Key},
		{"bdk_mac_tdes", f.MACTDES, 16, &k.Base.MACTDES.Key},
	} {
		b, err := hex.DecodeString(x.text)
		if err != nil || len(b) != x.n {
			return Keys{}, fmt.Errorf("%w: member %d, %s, is not the hex of %d bytes", ErrKeys, i+1, x.name, x.n)
		}
		*x.into = secret.NewBytes(b)
	}
	own, err := (&lineFile{Line: f.Line, Zone: f.Zone}).keys()
	if err != nil {
		return Keys{}, err
	}
	k.Line, k.ZoneMaster, k.AcquirerID = own.Line, own.ZoneMaster, f.Acquirer
	for i := range f.Lines {
		l, err := f.Lines[i].keys()
		if err != nil || l.Line.Len() == 0 {
			return Keys{}, fmt.Errorf("%w: lines: object %d is without a line_key, or wrong: %w", ErrKeys, i+1, cmp.Or(err, ErrKeys))
		}
		k.Lines = append(k.Lines, l)
	}
	k.Base.PIN.ID, k.Base.MAC.ID, k.Base.PINTDES.ID, k.Base.MACTDES.ID = names(f.Generation)
	for i := range f.Earlier {
		g, err := f.Earlier[i].bases()
		if err != nil {
			return Keys{}, err
		}
		k.Base.Earlier = append(k.Base.Earlier, g)
	}
	priv, err := ecdh.X25519().NewPrivateKey(server.Reveal())
	if err != nil {
		return Keys{}, fmt.Errorf("%w: server_key", ErrKeys)
	}
	k.Server = priv
	if f.Next != "" {
		b, err := hex.DecodeString(f.Next)
		if err == nil {
			k.ServerNext, err = ecdh.X25519().NewPrivateKey(b)
			clear(b)
		}
		if err != nil {
			return Keys{}, fmt.Errorf("%w: server_key_next is not the hex of 32 bytes", ErrKeys)
		}
	}
	if f.AK != "" {
		b, err := hex.DecodeString(f.AK)
		if err == nil {
			k.AKAuthority, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
			clear(b)
		}
		if err != nil {
			return Keys{}, fmt.Errorf("%w: ak_authority_key is not the hex of 32 bytes, a scalar of P-256", ErrKeys)
		}
	}
	if f.Config != "" {
		b, err := hex.DecodeString(f.Config)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return Keys{}, fmt.Errorf("%w: config_key is not the hex of %d bytes", ErrKeys, ed25519.PublicKeySize)
		}
		k.ConfigKey = b
	}
	if f.TLS != "" {
		seed, err := hex.DecodeString(f.TLS)
		if err != nil || len(seed) != ed25519.SeedSize {
			return Keys{}, fmt.Errorf("%w: server_tls_key is not the hex of %d bytes", ErrKeys, ed25519.SeedSize)
		}
		k.ServerTLS = ed25519.NewKeyFromSeed(seed)
		clear(seed)
	}
	return k, nil
}

// keys reads the keys of a line; both are empty where there is no line.
func (f *lineFile) keys() (LineKeys, error) {
	k := LineKeys{Name: f.Name, Earlier: f.Earlier}
	if f.Line != "" {
		b, err := hex.DecodeString(f.Line)
		if err != nil || len(b) != 16 {
			return LineKeys{}, fmt.Errorf("%w: line_key is not the hex of 16 bytes", ErrKeys)
		}
		k.Line = secret.NewBytes(b)
	}
	if f.Zone != "" {
		b, err := hex.DecodeString(f.Zone)
		if err != nil || len(b) != 32 || f.Line == "" {
			return LineKeys{}, fmt.Errorf("%w: zone_master_key is not the hex of 32 bytes, or stands without line_key", ErrKeys)
		}
		k.ZoneMaster = secret.NewBytes(b)
	}
	return k, nil
}

// StaticKey is the server key as a handshake takes it. A bank that means it
// keeps the key in a security module behind the same two methods.
type StaticKey struct{ Key *ecdh.PrivateKey }

// PublicKey returns the public key.
func (k StaticKey) PublicKey(context.Context) ([]byte, error) {
	return k.Key.PublicKey().Bytes(), nil
}

// ECDH returns the shared secret with a peer.
func (k StaticKey) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return k.Key.ECDH(p)
}
