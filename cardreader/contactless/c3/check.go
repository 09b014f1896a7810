package c3

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// seePhone is for how long the field stays off and the message on while the
// cardholder looks at the device (5.2.2.2).
const seePhone = 1300 * time.Millisecond

// tagProgram is the application program identifier (Book C-3, A.2).
const tagProgram tlv.Tag = 0x9F5A

func (t *transaction) asksTTQ() bool {
	dol, err := tlv.ParseDOL(t.d.Get(tags.PDOL))
	return err == nil && dol.Contains(tags.TTQ)
}

// limits applies the dynamic reader limits of the card's programme, the one whose
// identifier agrees longest (5.1). False when they do not allow contactless.
func (t *transaction) limits() bool {
	t.ttq = *t.a.Indicators.TTQ
	var best *Program
	id := t.d.Get(tagProgram)
	for i := range t.k.c.Programs {
		p := &t.k.c.Programs[i]
		if bytes.HasPrefix(id, p.ID) && (best == nil || len(p.ID) > len(best.ID)) {
			best = p
		}
	}
	if best == nil {
		return true
	}
	set := best.Settings
	set.TTQ = t.a.Settings.TTQ
	i := contactless.Preprocess(set, t.a.Transaction)
	t.ttq = *i.TTQ
	t.d.Set(tags.TTQ, t.ttq[:])
	t.a.Tell(emv.StepInitiate, "limits of card programme %X", best.ID)
	return !i.NotAllowed
}

// lengths are those that the steps below rely on (Book C-3, A.2).
var lengths = [...]struct {
	tag      tlv.Tag
	min, max int
}{
	{tags.AIP, 2, 2}, {tags.ATC, 2, 2}, {tags.ApplicationCryptogram, 8, 8}, {tags.IssuerApplicationData, 1, 32}, {tags.CTQ, 2, 2},
	{tags.CID, 1, 1}, {tags.ExpirationDate, 3, 3}, {tags.PANSequenceNumber, 1, 1}, {tags.AUC, 2, 2}, {tags.IssuerCountryCode, 2, 2},
	{tags.CAPublicKeyIndex, 1, 1}, {tags.CardAuthenticationRelatedData, 5, 16}, {tags.AvailableOfflineSpending, 6, 6},
}

// check looks for what the card has to have given, and of what form (5.4.2). The
// cryptogram comes with the processing options: what lacks it is a magnetic
// stripe card in chip's clothes.
func (t *transaction) check() error {
	if t.d.Get(tags.ApplicationCryptogram) == nil {
		return &emv.CardError{Step: emv.StepRead, Tag: tags.ApplicationCryptogram, Reason: "missing: the card has no qVSDC, and magnetic stripe mode is not taken"}
	}
	for _, tag := range []tlv.Tag{tags.AIP, tags.ATC, tags.IssuerApplicationData, tags.Track2} {
		if t.d.Get(tag) == nil {
			return &emv.CardError{Step: emv.StepRead, Tag: tag, Reason: "mandatory and missing"}
		}
	}
	for _, l := range lengths {
		if v := t.d.Get(l.tag); v != nil && (len(v) < l.min || len(v) > l.max) {
			return &emv.CardError{Step: emv.StepRead, Tag: l.tag, Reason: fmt.Sprintf("%d bytes, want %d to %d", len(v), l.min, l.max)}
		}
	}
	if err := t.d.Identify(); err != nil {
		return err
	}
	t.aip = tags.AIPValue(t.d.Get(tags.AIP))
	if v := t.d.Get(tags.CTQ); v != nil {
		t.ctq, t.hasCTQ = tags.CTQValue(v), true
	}
	if v := t.d.Get(tags.FormFactorIndicator); len(v) == 4 {
		// 4.1.1.1: the technology is the reader's own business.
		t.d.Replace(tags.FormFactorIndicator, []byte{v[0], v[1], v[2], v[3] & 0xF0})
	}
	t.kind = t.cryptogramType()
	t.d.Cryptogram = t.kind
	return nil
}

// cryptogramType is the type of the cryptogram: the card's word, else what its
// verification results say of it (5.4.3.1).
func (t *transaction) cryptogramType() tags.Cryptogram {
	if v := t.d.Get(tags.CID); len(v) == 1 {
		return tags.CIDValue(v[0]).Cryptogram()
	}
	// Bits 6 and 5 of the data's fifth byte, whoever wrote it; the layout without
	// a length of its own has them in the fourth.
	v := t.d.Get(tags.IssuerApplicationData)
	var bits byte
	switch iad := tags.ParseIAD(v); {
	case iad.Format == tags.IADVisa2:
		bits = iad.CVR[0]
	case len(v) >= 5:
		bits = v[4]
	default:
		return tags.AAC
	}
	cid := bits << 2 & 0xC0
	t.d.Replace(tags.CID, []byte{cid})
	return tags.CIDValue(cid).Cryptogram()
}

// ofScheme reports whether the card number is one of the combination's scheme.
func (t *transaction) ofScheme() bool {
	if t.k.c.Accounts == nil {
		return true
	}
	pan := string(t.d.PAN.Reveal())
	for _, a := range t.k.c.Accounts {
		if strings.HasPrefix(pan, a) {
			return true
		}
	}
	return false
}
