package journal_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

// lending is a storage that remembers the slices that went through it.
type lending struct {
	trusted.Storage
	record []byte
	lent   [][]byte
}

func (l *lending) Put(_ context.Context, _ string, b []byte) error {
	l.record, l.lent = bytes.Clone(b), append(l.lent, b)
	return nil
}

func (l *lending) Get(context.Context, string) ([]byte, error) {
	b := bytes.Clone(l.record)
	l.lent = append(l.lent, b)
	return b, nil
}

func (l *lending) List(context.Context, string) ([]string, error) { return []string{"journal/1"}, nil }

// TestAccountWiped: of an offline approval's account nothing is left in what the
// journal wrote and read, nor, once it is wiped, in an entry.
func TestAccountWiped(t *testing.T) {
	s := &lending{}
	j := journal.New(s)
	pan := []byte("4761739001010010")
	if err := j.Put(t.Context(), journal.Entry{Order: "A-1", State: journal.Advice, Amount: amount(t), Account: &journal.Account{PAN: pan}}); err != nil {
		t.Fatal(err)
	}
	one, ok, err := j.Entry(t.Context(), "A-1")
	if err != nil || !ok || !bytes.Equal(one.Account.PAN, pan) {
		t.Fatalf("%v, %v", ok, err)
	}
	all, err := j.Pending(t.Context())
	if err != nil || len(all) != 1 || !bytes.Equal(all[0].Account.PAN, pan) {
		t.Fatalf("%d, %v", len(all), err)
	}
	one.Wipe()
	all[0].Wipe()
	(&journal.Entry{}).Wipe()
	for i, b := range append(s.lent, one.Account.PAN, all[0].Account.PAN) {
		if len(b) == 0 || !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("slice %d was not wiped", i)
		}
	}
}

// TestCorruptRecordGivesNoAccount: of a debt that can't be read whole nobody gets a
// part, which nobody would wipe.
func TestCorruptRecordGivesNoAccount(t *testing.T) {
	for _, record := range []string{
		`{"order":"A-1","account":{"pan":"NDc2MTczOTAwMTAxMDAxMA=="}}`,
		`{"account":{"pan":"NDc2MTczOTAwMTAxMDAxMA=="},"amount":{"minor":1,"currency":"EUR"},"attempts":"x"}`,
	} {
		s := &lending{record: []byte(record)}
		j := journal.New(s)
		e, ok, err := j.Entry(t.Context(), "A-1")
		if !errors.Is(err, journal.ErrCorrupt) || ok || e.Account != nil {
			t.Errorf("%v, %v, account %v", ok, err, e.Account)
		}
		if all, err := j.Pending(t.Context()); !errors.Is(err, journal.ErrCorrupt) || all != nil {
			t.Errorf("%d debts, %v", len(all), err)
		}
	}
}

func amount(t *testing.T) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(1234, c)
}
