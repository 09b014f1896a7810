package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// Kind says what an entry is for.
type Kind string

// The kinds of entries.
const (
	KindOpening  Kind = "opening"  // an account is given its first balance
	KindBook     Kind = "book"     // an approved request
	KindComplete Kind = "complete" // its completion
	KindReverse  Kind = "reverse"  // its reversal
	KindVoid     Kind = "void"     // the undoing of what was completed
	// KindIncrement is what is held more for a pre-authorisation; there may be
	// several.
	KindIncrement Kind = "increment"
)

// Entry is a set of postings that belong together and sum to zero in each
// currency.
type Entry struct {
	// Key is the idempotency key: it is booked once.
	Key  string
	Kind Kind
	// Authorisation is the request that the entry is for; zero for an opening.
	Authorisation Key
	// Cause says in words why it was booked.
	Cause    string
	Time     time.Time
	Postings []Posting
}

// Posting moves an amount to an account; a negative one, away from it.
type Posting struct {
	Account string
	Amount  money.Amount
}

// Booked is an entry as it stands in the ledger.
type Booked struct {
	Entry
	// Number counts the entries from 1, without gaps.
	Number uint64
	// Hash is the entry's link in the chain: see Chain.
	Hash [32]byte
}

// limits of an entry, far above what a payment needs.
const (
	maxPostings = 16
	maxName     = 128
)

// Check says whether e may be booked: it has a key, two postings or more, none
// of zero, and sums to zero in each currency. Errors wrap ErrInvalid.
func (e *Entry) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: entry %s: %s", ErrInvalid, e.Key, fmt.Sprintf(format, a...))
	}
	if !name(e.Key) {
		return fmt.Errorf("%w: entry without a usable key", ErrInvalid)
	}
	switch e.Kind {
	case KindOpening:
		if !e.Authorisation.IsZero() {
			return bad("an opening belongs to no authorisation")
		}
	case KindBook, KindComplete, KindReverse, KindVoid, KindIncrement:
		if err := e.Authorisation.Check(); err != nil {
			return bad("it belongs to no authorisation")
		}
	default:
		return bad("kind is not known")
	}
	if len(e.Postings) < 2 || len(e.Postings) > maxPostings {
		return bad("%d postings, want 2 to %d", len(e.Postings), maxPostings)
	}
	sums := map[money.Currency]int64{}
	for i, p := range e.Postings {
		if !name(p.Account) {
			return bad("posting %d has no usable account", i)
		}
		if p.Amount.Currency.IsZero() || p.Amount.Minor == 0 {
			return bad("posting %d has no amount", i)
		}
		s, ok := add(sums[p.Amount.Currency], p.Amount.Minor)
		if !ok {
			return bad("posting %d: sum out of range", i)
		}
		sums[p.Amount.Currency] = s
	}
	for c, s := range sums {
		if s != 0 {
			return bad("postings in %s sum to %d, not to zero", c, s)
		}
	}
	return nil
}

func name(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func add(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, false
	}
	return a + b, true
}

// Same reports whether o books the same: everything but the time and the words.
func (e *Entry) Same(o *Entry) bool {
	return e.Key == o.Key && e.Kind == o.Kind && e.Authorisation == o.Authorisation && slices.Equal(e.Postings, o.Postings)
}

// Chain is the hash of an entry and of everything booked before it: SHA-256
// over the previous hash (32 zero bytes for the first), the number (8 bytes, big
// endian), and then, each with its length in 4 bytes before it: key, kind,
// authorisation, cause, time in microseconds since 1970 (8 bytes), and for each
// posting account, currency and minor units (8 bytes).
func Chain(previous [32]byte, number uint64, e *Entry) [32]byte {
	b := make([]byte, 0, 512)
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, number)
	text := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	whole := func(n int64) {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	text(e.Key)
	text(string(e.Kind))
	text(e.Authorisation.String())
	text(e.Cause)
	whole(e.Time.UnixMicro())
	for _, p := range e.Postings {
		text(p.Account)
		text(p.Amount.Currency.Code())
		whole(p.Amount.Minor)
	}
	return sha256.Sum256(b)
}
