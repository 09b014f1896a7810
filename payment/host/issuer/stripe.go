package issuer

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/ledger"
)

// Entry is how the terminal came by the card's data.
type Entry uint8

// The entries.
const (
	EntryChip     Entry = iota // from the chip, inserted or tapped
	EntryStripe                // from the stripe of a card without a chip
	EntryFallback              // from the stripe of a card whose chip could not be read
	EntryManual                // from what is printed on the card
)

// String names the entry.
func (e Entry) String() string {
	switch e {
	case EntryStripe:
		return "magnetic stripe"
	case EntryFallback:
		return "fallback"
	case EntryManual:
		return "manual entry"
	}
	return "chip"
}

// DefaultValueTries is how many wrong card verification values in a row a card
// allows: three digits are soon guessed. Its holder, who pays by chip and PIN, gets
// all of them back.
const DefaultValueTries = 5

// discretionary is where the discretionary data of track 2 begins behind the
// separator, and valueAt where the card verification value stands in it: behind
// the PIN verification key index and value.
const (
	discretionary = 4 + 3
	valueAt       = 1 + 4
	valueLen      = 3
)

// unchipped decides about a card whose chip says nothing: there is no cryptogram,
// and what speaks for the card is its verification value.
func (i *Issuer) unchipped(tx ledger.Tx, k *card, state *ledger.Card, r Request) (code, reason string, err error) {
	service := magstripe.ServiceCode(r.Track2.ServiceCode())
	switch {
	case len(r.ICC) > 0:
		return CodeFormat, "field 55 beside data of a stripe or of manual entry", nil
	case r.late():
		return CodeNotHonoured, "approved without the issuer, and without a chip", nil
	case i.refuses(r.Entry):
		return CodeNotPermitted, "the issuer takes no " + r.Entry.String(), nil
	case k.cvk.Len() == 0 && i.c.CVK.Len() == 0:
		return CodeNotPermitted, "the issuer has no key for the card's verification values", nil
	case r.Entry == EntryManual && !r.Track2.IsZero(), r.Entry != EntryManual && (r.Track2.IsZero() || r.CVV2.Len() > 0):
		return CodeFormat, "the data are not those of " + r.Entry.String(), nil
	case r.Entry == EntryStripe && service.Chip():
		return CodeNotHonoured, "a card with a chip, of which the terminal says nothing", nil
	case r.Entry == EntryFallback && !service.Chip():
		return CodeNotHonoured, "fallback of a card without a chip", nil
	case r.Entry != EntryManual && service.CashOnly():
		return CodeNotPermitted, "the card is good for cash alone", nil
	}
	if r.Entry != EntryManual {
		if pan, perr := r.Track2.PAN(); perr != nil || !pan.Equal(r.PAN) || r.Track2.Expiry() != r.Expiry {
			return CodeFormat, "the account number or the expiry is not the track's", nil
		}
	}
	if code, reason, err = i.value(tx, k, r, string(service)); err != nil || code != "" {
		return code, reason, err
	}
	if r.Entry != EntryManual && service.PIN() == magstripe.PINRequired && r.PIN.Len() == 0 && !r.Credit {
		return CodeNotHonoured, "the service code asks for a PIN, and none came", nil
	}
	if code, reason = i.issued(k, state, r); code == "" {
		code, reason, err = i.permitted(k, state, r)
	}
	return code, reason, err
}

// numbered returns the card of a number with the lowest sequence number, which
// neither a stripe nor a print tells; nil when there is none.
func (c *Cards) numbered(pan secret.PAN) *card {
	for tens := range byte(10) {
		for ones := range byte(10) {
			if k := c.find(pan, tens<<4|ones); k != nil {
				return k
			}
		}
	}
	return nil
}

func (i *Issuer) refuses(e Entry) bool {
	for _, no := range i.c.RefuseEntries {
		if no == e {
			return true
		}
	}
	return false
}

// value checks the card verification value: the stripe's, which is always there,
// or the printed one, where it was entered. Wrong ones are counted, so that nobody
// tries them out.
func (i *Issuer) value(tx ledger.Tx, k *card, r Request, service string) (code, reason string, err error) {
	value := r.CVV2
	if r.Entry == EntryManual {
		if value.Len() == 0 {
			return "", "", nil
		}
		service = serviceCVV2
	} else {
		at := r.PAN.Len() + 1 + discretionary + valueAt
		track := r.Track2.Reveal()
		if len(track) < at+valueLen {
			return CodeNotHonoured, "the stripe has no card verification value", nil
		}
		value = secret.CopyBytes(track[at : at+valueLen])
		defer value.Wipe()
	}
	tries, err := k.valueTries(tx)
	if err != nil {
		return "", "", err
	}
	if tries.PINTries == 0 {
		return CodeNotHonoured, "too many wrong card verification values", nil
	}
	cvk := k.cvk
	if cvk.Len() == 0 {
		cvk = i.c.CVK
	}
	good, err := VerifyCVV(cvk, r.PAN, k.expiry, service, value)
	if err != nil {
		return "", "", fmt.Errorf("issuer: card verification value: %w", err)
	}
	if good {
		if tries.PINTries == DefaultValueTries {
			return "", "", nil
		}
		tries.PINTries = DefaultValueTries
		return "", "", tx.PutCard(tries)
	}
	tries.PINTries--
	return CodeNotHonoured, fmt.Sprintf("the card verification value is wrong, tries left: %d", tries.PINTries), tx.PutCard(tries)
}

// valueTries reads how many card verification values may be tried.
func (k *card) valueTries(tx ledger.Tx) (ledger.Card, error) {
	ref := k.ref + "/value"
	tries, err := tx.Card(ref)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Card{Ref: ref, PINTries: DefaultValueTries}, nil
	}
	return tries, err
}

// forgive gives a card its tries of verification values back: whoever has its
// number can use them up, and only its holder pays by chip and PIN.
func (i *Issuer) forgive(tx ledger.Tx, k *card) error {
	tries, err := k.valueTries(tx)
	if err != nil || tries.PINTries == DefaultValueTries {
		return err
	}
	tries.PINTries = DefaultValueTries
	return tx.PutCard(tries)
}
