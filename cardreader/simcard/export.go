package simcard

import (
	"crypto/sha1" //nolint:gosec // the CAPK check sum is SHA-1
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
)

type capkFile struct {
	CAPK    []capkEntry    `json:"capk"`
	Revoked []revokedEntry `json:"revoked"`
}

type capkEntry struct {
	RID      string `json:"rid"`
	Index    string `json:"index"`
	Modulus  string `json:"modulus,omitempty"`
	Exponent string `json:"exponent,omitempty"`
	Suite    string `json:"suite,omitempty"`
	Point    string `json:"point,omitempty"`
	Expiry   string `json:"expiry"`
	SHA1     string `json:"sha1"`
}

type revokedEntry struct {
	RID    string `json:"rid"`
	Index  string `json:"index"`
	Serial string `json:"serial"`
}

// WriteCAPK writes the CA public keys that a terminal needs to accept cards of
// these profiles, as a CAPK file. Keys of profiles with UnknownCA are left out;
// issuer certificates of profiles with Revoked are in its revocation list.
func WriteCAPK(w io.Writer, k *PKI, profiles []Profile) error {
	out := capkFile{CAPK: []capkEntry{}, Revoked: []revokedEntry{}}
	type id struct {
		rid   string
		index byte
	}
	seen := map[id]bool{}
	for _, p := range profiles {
		for _, a := range p.Applications {
			rid, index := hexString(a.AID[:5]), a.CAIndex
			if p.Revoked {
				out.Revoked = append(out.Revoked, revokedEntry{rid, fmt.Sprintf("%02X", index), hexString(a.Serial[:])})
			}
			if p.UnknownCA || seen[id{rid, index}] {
				continue
			}
			seen[id{rid, index}] = true
			if a.AIP[0]&aipXDA != 0 {
				ca, err := k.EC.authority(a.AID[:5], index)
				if err != nil {
					return err
				}
				out.CAPK = append(out.CAPK, ca.entry())
				continue
			}
			ca, err := k.authority(a.AID[:5], index)
			if err != nil {
				return err
			}
			out.CAPK = append(out.CAPK, ca.entry())
		}
	}
	return writeJSON(w, out)
}

// entry is one key; the check sum is over RID, index, modulus and exponent
// (Book 2, 11.2.2).
func (a *Authority) entry() capkEntry {
	return capkEntry{
		RID: hexString(a.RID[:]), Index: fmt.Sprintf("%02X", a.Index), Modulus: hexString(a.Key.Modulus()),
		Exponent: hexString(a.Key.Exponent()), Expiry: a.Expiry, SHA1: checkSum(a.RID, a.Index, a.Key.Modulus(), a.Key.Exponent()),
	}
}

func checkSum(rid [5]byte, index byte, key ...[]byte) string {
	h := sha1.New()
	h.Write(rid[:])
	h.Write([]byte{index})
	for _, b := range key {
		h.Write(b)
	}
	return hexString(h.Sum(nil))
}

type cardsFile struct {
	Cards []cardEntry `json:"cards"`
}

type cardEntry struct {
	PAN        string `json:"pan"`
	PSN        string `json:"psn"`
	Expiry     string `json:"expiry"`
	AC         string `json:"imk_ac"`
	SMI        string `json:"imk_smi"`
	SMC        string `json:"imk_smc"`
	Derivation string `json:"derivation"`
	Session    string `json:"session"`
	CVN        string `json:"cvn"`
	PIN        string `json:"pin"`
	Balance    int64  `json:"balance"`
	Currency   string `json:"currency"`
}

// WriteCards writes what the issuer of these cards needs, as a Cards file: one
// account an application, with balance in minor units of currency (ISO 4217
// letters), or the profile's own balance. It writes PANs, PINs and master keys
// in the clear: they are a test's.
func WriteCards(w io.Writer, k *PKI, profiles []Profile, balance int64, currency string) error {
	if err := k.check(); err != nil {
		return err
	}
	key := func(s secret.Bytes) string { return hexString(s.Reveal()) }
	out := cardsFile{Cards: []cardEntry{}}
	for _, p := range profiles {
		for _, a := range p.Applications {
			e := cardEntry{
				PAN: a.PAN, PSN: fmt.Sprintf("%02d", a.PSN), Expiry: a.Expiry[:4],
				AC: key(k.AC), SMI: key(k.SMI), SMC: key(k.SMC),
				Derivation: a.Derivation, Session: a.Session, CVN: cvnText(a.CVN),
				PIN: p.PIN, Balance: balance, Currency: currency,
			}
			if p.Balance != nil {
				e.Balance = *p.Balance
			}
			out.Cards = append(out.Cards, e)
		}
	}
	return writeJSON(w, out)
}

// cvnText writes the three common versions in decimal, as they are spoken of,
// and any other in hex.
func cvnText(cvn byte) string {
	switch cvn {
	case 10, 17, 18:
		return strconv.Itoa(int(cvn))
	}
	return fmt.Sprintf("%02X", cvn)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func hexString(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func parseHex(s string) ([]byte, error) { return hex.DecodeString(s) }
