package simcard

import (
	"crypto/subtle"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
)

// cardKeys are the card's master keys and the rules for using them.
type cardKeys struct {
	ac, smi, smc secret.Bytes
	session      string
	cvn          byte
}

// The cryptogram versions that the card has an IAD for.
const (
	cvn10 = 0x0A
	cvn18 = 0x12
)

func deriveKeys(k *PKI, s *Application) (cardKeys, error) {
	out := cardKeys{session: s.Session, cvn: s.CVN}
	if s.CVN != cvn10 && s.CVN != cvn18 {
		return out, fmt.Errorf("%w: cryptogram version %02X, want 0A or 12", ErrProfile, s.CVN)
	}
	switch s.Session {
	case "csk", "emv2000", "none":
	default:
		return out, fmt.Errorf("%w: session keys %q, want csk, emv2000 or none", ErrProfile, s.Session)
	}
	var d cryptogram.Derivation
	switch s.Derivation {
	case "A":
		d = cryptogram.DerivationA
	case "B":
		d = cryptogram.DerivationB
	default:
		return out, fmt.Errorf("%w: derivation %q, want A or B", ErrProfile, s.Derivation)
	}
	pan, err := secret.NewPAN([]byte(s.PAN))
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	defer pan.Wipe()
	for _, m := range []struct {
		to   *secret.Bytes
		from secret.Bytes
	}{{&out.ac, k.AC}, {&out.smi, k.SMI}, {&out.smc, k.SMC}} {
		if *m.to, err = cryptogram.MasterKey(d, m.from, pan, s.PSN/10<<4|s.PSN%10); err != nil {
			return out, err
		}
	}
	return out, nil
}

// acSession is the key of one transaction's cryptograms.
func (k *cardKeys) acSession(atc uint16) (secret.Bytes, error) {
	switch k.session {
	case "csk":
		return cryptogram.SessionCSK(k.ac, [8]byte{byte(atc >> 8), byte(atc)})
	case "emv2000":
		return cryptogram.SessionEMV2000(k.ac, atc, cryptogram.Tree{Branch: 2, Height: 16})
	}
	return k.ac.Clone(), nil
}

// compute is the cryptogram over the terminal's data, AIP, ATC, and the CVR
// (CVN 10) or the whole IAD (CVN 18).
func (k *cardKeys) compute(a *application, atc uint16, iad []byte, t transaction) (ac [8]byte, err error) {
	var input []byte
	for _, e := range cryptogramData {
		input = append(input, t.value(e.Tag)...)
	}
	input = append(append(input, a.aip...), be16(atc)...)
	pad := cryptogram.Pad80
	if k.cvn == cvn10 {
		input, pad = append(input, iad[3:]...), cryptogram.PadZeros
	} else {
		input = append(input, iad...)
	}
	key, err := k.acSession(atc)
	if err != nil {
		return ac, err
	}
	defer key.Wipe()
	return cryptogram.AC(key, input, pad)
}

// verifyMAC checks the MAC that follows the first n bytes of a script command's
// data. It covers the header, ATC, cryptogram and those bytes.
func (k *cardKeys) verifyMAC(atc uint16, ac [8]byte, cmd apdu.Command, n int) (bool, error) {
	key, err := cryptogram.SessionVisa(k.smi, atc)
	if err != nil {
		return false, err
	}
	defer key.Wipe()
	input := append([]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}, be16(atc)...)
	input = append(append(input, ac[:]...), cmd.Data[:n]...)
	mac, err := cryptogram.MAC(key, input, cryptogram.Pad80)
	if err != nil {
		return false, err
	}
	got := cmd.Data[n:]
	return subtle.ConstantTimeCompare(got, mac[:len(got)]) == 1, nil
}
