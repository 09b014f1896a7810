package journal

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

// memory is a trusted.Storage whose calls can be made to fail.
type memory struct {
	m    map[string][]byte
	fail error
}

func (s *memory) Get(_ context.Context, name string) ([]byte, error) {
	b, ok := s.m[name]
	if s.fail != nil {
		return nil, s.fail
	}
	if !ok {
		return nil, trusted.ErrNotFound
	}
	return b, nil
}

func (s *memory) Put(_ context.Context, name string, value []byte) error {
	if s.fail != nil {
		return s.fail
	}
	s.m[name] = append([]byte(nil), value...)
	return nil
}

func (s *memory) Delete(_ context.Context, name string) error {
	if s.fail != nil {
		return s.fail
	}
	delete(s.m, name)
	return nil
}

func (s *memory) List(_ context.Context, prefix string) ([]string, error) {
	var out []string
	for n := range s.m {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out, s.fail
}

func example(t *testing.T, order string) Entry {
	t.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return Entry{
		Order: order, Type: "sale", State: Reversal, STAN: "000001", RRN: "632812000001", MTI: "0200",
		TransmissionTime: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), ProcessingCode: "000000",
		Amount: money.New(1234, eur), EntryMode: "051", Reason: "4021",
	}
}

// diff compares amounts by their text: a currency's fields are its own.
func diff(want, got Entry) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b money.Amount) bool { return a == b }))
}

func TestADebtFromReversalToSettled(t *testing.T) {
	s := &memory{m: map[string][]byte{}}
	j := New(s)
	want := example(t, "order 1 / with ÿ")
	if err := j.Put(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := New(s).Entry(t.Context(), want.Order)
	if err != nil || !ok {
		t.Fatalf("entry: %v %v", ok, err)
	}
	if d := diff(want, got); d != "" {
		t.Fatal(d)
	}
	want.State, want.ICC, want.Result = Completion, []byte{0x9F, 0x26}, json.RawMessage(`{"outcome":"approved"}`)
	if err := j.Put(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	all, err := j.Pending(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	if d := diff(want, all[0]); d != "" {
		t.Fatal(d)
	}
	if err := j.Settle(t.Context(), want.Order, want.Result); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := j.Entry(t.Context(), want.Order); ok || err != nil {
		t.Fatalf("still owed: %v %v", ok, err)
	}
	r, ok, err := j.Result(t.Context(), want.Order)
	if err != nil || !ok || string(r) != string(want.Result) {
		t.Fatalf("result %s %v %v", r, ok, err)
	}
	if _, ok, err := j.Result(t.Context(), "another"); ok || err != nil {
		t.Fatalf("another order has a result: %v %v", ok, err)
	}
}

// TestSettleKeepsTheResultFirst: a failure between the two writes may leave a
// debt that is paid twice, which the server answers alike, and never a payment
// whose result is lost.
func TestSettleKeepsTheResultFirst(t *testing.T) {
	s := &memory{m: map[string][]byte{}}
	j := New(s)
	e := example(t, "o")
	if err := j.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	s.fail = trusted.ErrStorageFull
	if err := j.Settle(t.Context(), "o", json.RawMessage(`{}`)); !errors.Is(err, trusted.ErrStorageFull) {
		t.Fatalf("Settle: %v", err)
	}
	s.fail = nil
	if _, ok, err := j.Entry(t.Context(), "o"); !ok || err != nil {
		t.Fatalf("the debt is gone: %v %v", ok, err)
	}
}

func TestForeignFormat(t *testing.T) {
	s := &memory{m: map[string][]byte{}}
	j := New(s)
	if err := j.Put(t.Context(), example(t, "o")); err != nil {
		t.Fatal(err)
	}
	for n := range s.m {
		s.m[n] = []byte("not this")
	}
	if _, _, err := j.Entry(t.Context(), "o"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Entry: %v", err)
	}
	if _, err := j.Pending(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Pending: %v", err)
	}
}
