package tlschan

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/payunit/payunit/channel"
)

const (
	ed25519Len = ed25519.PublicKeySize
	// p256Len is an uncompressed point (SEC 1, 2.3.3).
	p256Len = 65
	// maxCertificate bounds what a peer wraps its key in, since a connection and a
	// session hold on to it: TLS would take 256 KiB.
	maxCertificate = 4 << 10
)

// PublicKey encodes a public key as channel.Identity and ServerKey have it: 32
// bytes for Ed25519 (RFC 8032), 65 for P-256, the uncompressed point (SEC 1,
// 2.3.3). Other keys are refused with ErrConfig.
func PublicKey(k crypto.PublicKey) ([]byte, error) {
	switch k := k.(type) {
	case ed25519.PublicKey:
		if len(k) == ed25519Len {
			return append([]byte(nil), k...), nil
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			b, err := k.Bytes()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrConfig, err)
			}
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: a key of type %T, want Ed25519 or ECDSA on P-256", ErrConfig, k)
}

// certificate wraps a key in a certificate that it signs itself. Nothing in it
// counts but the key: it has no end (RFC 5280, 4.1.2.5) and no name.
func certificate(key crypto.Signer) (tls.Certificate, error) {
	if _, err := PublicKey(key.Public()); err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "payunit"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: certificate: %w", ErrConfig, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// peerKey returns the key that the other end has proven, of a connection that is
// what this package makes.
func peerKey(s tls.ConnectionState) ([]byte, error) {
	if s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 || s.NegotiatedProtocol != protocol {
		return nil, fmt.Errorf("%w: not TLS 1.3 with X25519MLKEM768 for this protocol", channel.ErrPolicy)
	}
	if len(s.PeerCertificates) != 1 {
		return nil, fmt.Errorf("%w: %d certificates, want 1", channel.ErrPolicy, len(s.PeerCertificates))
	}
	if n := len(s.PeerCertificates[0].Raw); n > maxCertificate {
		return nil, fmt.Errorf("%w: a certificate of %d bytes, want at most %d", channel.ErrPolicy, n, maxCertificate)
	}
	k, err := PublicKey(s.PeerCertificates[0].PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", channel.ErrPolicy, err)
	}
	return k, nil
}
