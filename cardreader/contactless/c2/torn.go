package c2

import (
	"bytes"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// insRecover is RECOVER AC (Book C-2, 5.8).
const insRecover = 0xD0

// tornRecord is a transaction whose card was lost while it made its cryptogram
// (Book C-2, 4.6.1): the card may have counted it. It is kept as it was, for
// asking the card what it answered.
type tornRecord struct {
	pan     secret.PAN
	psn     string
	at      time.Time
	run     transaction
	related []byte // DRDOL related data
}

func (r *tornRecord) wipe() {
	r.run.d.Wipe()
	r.pan.Wipe()
	clear(r.related)
}

// of reports whether the answer that was lost would be about a payment: its
// amounts, currency and kind are what the cryptogram is over. The book leaves that
// to the terminal, which learns the torn transaction's amount from the outcome.
func (r *tornRecord) of(t *transaction) bool {
	for _, tag := range []tlv.Tag{tags.AmountAuthorised, tags.AmountOther, tags.TransactionCurrencyCode, tags.TransactionType} {
		torn, _ := r.run.d.Value(tag)
		now, _ := t.d.Value(tag)
		if !bytes.Equal(torn, now) {
			return false
		}
	}
	return true
}

// tornLog is the log of torn transactions.
type tornLog struct {
	max  int
	life time.Duration

	mu      sync.Mutex
	records []*tornRecord // oldest first
}

// put keeps a torn transaction; the oldest goes when the log is full.
func (l *tornLog) put(r *tornRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	for len(l.records) > l.max {
		l.records[0].wipe()
		l.records = l.records[1:]
	}
}

// take takes the torn transaction of a card out, nil for none. Those that are too
// old are wiped.
func (l *tornLog) take(pan secret.PAN, psn string, now time.Time) *tornRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found *tornRecord
	kept := l.records[:0]
	for _, r := range l.records {
		switch {
		case now.Sub(r.at) > l.life:
			r.wipe()
		case found == nil && r.psn == psn && r.pan.Equal(pan):
			found = r
		default:
			kept = append(kept, r)
		}
	}
	l.records = kept
	return found
}

// clean wipes all (the book's CLEAN signal).
func (l *tornLog) clean() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		r.wipe()
	}
	l.records = nil
}

// recoverable reports whether a card that is lost now can be asked later (S9.5).
func (t *transaction) recoverable() bool {
	return t.k.c.TornRecords > 0 && len(t.d.Get(tags.DRDOL)) > 0
}

// remember keeps the transaction in the log. Its data are the log's from now on.
func (t *transaction) remember() error {
	related, err := t.d.Fill(stepRecover, tags.DRDOL, t.d.Get(tags.DRDOL))
	if err != nil {
		return err
	}
	t.k.torn.put(&tornRecord{pan: t.d.PAN.Clone(), psn: t.d.PSN(), at: t.a.Config.Now(), run: *t, related: related})
	t.d = nil
	return nil
}

// recover asks a card for the answer that was lost (S10). It reports false when
// the card has none, and a new cryptogram is to be asked for.
func (t *transaction) recover(r *tornRecord) recovery {
	return recovery{t: t, r: r, command: apdu.Command{CLA: 0x80, INS: insRecover, Data: r.related, Ne: 256}}
}

// recovery is a RECOVER AC under way.
type recovery struct {
	t       *transaction
	r       *tornRecord
	command apdu.Command
}

// restore goes on with the torn transaction, in the place of the present one: what
// the card signed is about that one.
func (x recovery) restore() {
	torn := x.r.run
	torn.a, torn.k = x.t.a, x.t.k
	torn.reasons = append([]string{"the transaction is the one that was torn before"}, torn.reasons...)
	x.t.d.Wipe()
	*x.t = torn
	x.r.pan.Wipe()
}

// tryAgainRestart is the outcome of a loss that leaves nothing to recover (S9.10)
// or much (S9.14).
func (t *transaction) lostAtCryptogram() (contactless.Outcome, error) {
	out := t.presentAgain("the card was taken away while it made its cryptogram")
	if !t.recoverable() {
		return out, nil
	}
	if err := t.remember(); err != nil {
		return contactless.Outcome{}, err
	}
	return out, nil
}
