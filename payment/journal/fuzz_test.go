package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// copying is a memory whose records are handed out as copies: their readers wipe
// them.
type copying struct{ memory }

func (s *copying) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := s.memory.Get(ctx, name)
	return bytes.Clone(b), err
}

// records are one of each kind, as the journal writes them, by name.
func records(f *testing.F, order string) map[string][]byte {
	f.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		f.Fatal(err)
	}
	s := &memory{m: map[string][]byte{}}
	j := New(s)
	at := time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	e := Entry{
		Order: order, Type: "sale", State: Advice, STAN: "000001", RRN: "632812000001", MTI: "0100", TransmissionTime: at, ProcessingCode: "000000",
		Amount: money.New(1234, eur), EntryMode: "051", AuthCode: "123456", Reason: "4021", ICC: []byte{0x9F, 0x26, 0}, Attempts: 2,
		Account: &Account{PAN: []byte("4761739001010010"), PSN: "01", Expiry: "3112"}, Result: json.RawMessage(`{"outcome":"approved","list":[1,null]}`),
	}
	for _, err := range []error{
		j.Put(f.Context(), e),
		j.Keep(f.Context(), order, e.Result),
		j.Book(f.Context(), Item{Order: order, Type: "refund", Effect: Credit, TransmissionTime: at, Amount: e.Amount}),
		j.PutClosing(f.Context(), 0, "EUR", Closing{STAN: "000002", Time: at, Final: true, Uploaded: 3, Done: e.Result}),
		j.put(f.Context(), batchNumber, 0),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	return s.m
}

// FuzzRecords: whatever a record holds, reading it ends in ErrCorrupt or in
// something that is written and read again as the same bytes, and as the same debts
// whichever way it is asked for.
func FuzzRecords(f *testing.F) {
	const order = "A-1"
	whole := records(f, order)
	for _, b := range whole {
		f.Add(b)
	}
	for _, s := range []string{``, `null`, `{}`, `[]`, `{"order":"A-1"} {}`, `{"amount":{"minor":1,"currency":"EUR"},"icc":"","result":null,"account":{}}`, `{"amount":{"minor":1e3}}`, `18446744073709551615`, `-1`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx := t.Context()
		// again reads the record in the place of one kind, writes what was read,
		// and does so once more.
		again := func(name string, cycle func(*Journal) (read bool, err error)) {
			t.Helper()
			// What was read is wiped: a storage hands copies out.
			s := &copying{memory{m: maps.Clone(whole)}}
			s.m[name] = bytes.Clone(b)
			var first []byte
			for n := range 3 {
				read, err := cycle(New(s))
				switch {
				case n == 0 && errors.Is(err, ErrCorrupt):
					return
				case err != nil || !read:
					t.Fatalf("%s: %q can't be read and written: %v", name, s.m[name], err)
				case n == 1:
					first = bytes.Clone(s.m[name])
				case n == 2 && !bytes.Equal(first, s.m[name]):
					t.Errorf("%s: %q became %q", name, first, s.m[name])
				}
			}
		}
		again(key("journal", order), func(j *Journal) (bool, error) {
			e, ok, err := j.Entry(ctx, order)
			all, pending := j.Pending(ctx)
			if (err == nil) != (pending == nil) {
				t.Fatalf("as an entry: %v, among all: %v", err, pending)
			}
			if err != nil {
				return false, err
			}
			if len(all) != 1 || diff(e, all[0]) != "" {
				t.Errorf("among all debts it is another: %s", diff(e, all[0]))
			}
			// Under its own name: what the record says its order is may be anything.
			return ok, j.put(ctx, key("journal", order), e)
		})
		again(key("result", order), func(j *Journal) (bool, error) {
			r, ok, err := j.Result(ctx, order)
			if err != nil {
				return false, err
			}
			return ok, j.Keep(ctx, order, r)
		})
		again(key(batchName(0), order), func(j *Journal) (bool, error) {
			items, err := j.Items(ctx, 0)
			if err != nil {
				return false, err
			}
			return len(items) == 1, j.put(ctx, key(batchName(0), order), items[0])
		})
		again(closingName(0, "EUR"), func(j *Journal) (bool, error) {
			c, ok, err := j.Closing(ctx, 0, "EUR")
			if err != nil {
				return false, err
			}
			return ok, j.PutClosing(ctx, 0, "EUR", c)
		})
		again(batchNumber, func(j *Journal) (bool, error) {
			n, err := j.Batch(ctx)
			if err != nil {
				return false, err
			}
			return true, j.put(ctx, batchNumber, n)
		})
	})
}

// TestAmountWithoutCurrency: a debt and an item that don't say of what currency
// they are can't be read, rather than written as what can't be.
func TestAmountWithoutCurrency(t *testing.T) {
	s := &copying{memory{m: map[string][]byte{key("journal", "o"): []byte(`{"amount":{"minor":5}}`), key(batchName(0), "o"): []byte(`{"order":"o"}`)}}}
	j := New(s)
	if _, _, err := j.Entry(t.Context(), "o"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Entry: %v", err)
	}
	if _, err := j.Pending(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Pending: %v", err)
	}
	if _, err := j.Items(t.Context(), 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Items: %v", err)
	}
}
