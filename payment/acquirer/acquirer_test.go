package acquirer

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// today is the clock of the tests.
var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// full returns the dialects that carry everything.
func full(t testing.TB) []*Dialect {
	t.Helper()
	var out []*Dialect
	for _, d := range Dialects()[:3] {
		out = append(out, d.WithClock(func() time.Time { return today }))
	}
	return out
}

func currencyOf(t testing.TB, code string) money.Currency {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pan(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func track(t testing.TB, s string) secret.Track2 {
	t.Helper()
	v, err := secret.Track2FromTag(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// request is a chip sale with everything that a unit sends.
func request(t testing.TB) *Message {
	t.Helper()
	a := money.New(1234, currencyOf(t, "EUR"))
	return &Message{
		MTI: "0200", PAN: pan(t, "4761739001010010"), ProcessingCode: ProcessingSale, Amount: &a,
		TransmissionTime: time.Date(2026, 3, 1, 11, 59, 58, 0, time.UTC), STAN: "000042",
		LocalTime: time.Date(2026, 3, 1, 12, 59, 58, 0, time.UTC), Expiry: "3112", EntryMode: "051", PSN: "001",
		ConditionCode: "00", Track2: track(t, "4761739001010010D31122010000012345678F"),
		RRN: "606011000042", TerminalID: "TERM0001", MerchantID: "MERCHANT",
		PINBlock: unhex(t, "00112233445566778899AABBCCDDEEFF"), PINFormat: 4, PINKSN: unhex(t, "123456789012345600000001"),
		ICC:    unhex(t, "9F2608FD19D0F54D38DFB99F2701809F10120110A04000220000000000000000000000FF9F370437ED4D4D9F360201CA950500000010009A032603019C01009F02060000000012345F2A020978820239009F1A0202769F0306000000000000"),
		Order:  "order 1/2026",
		MACKSN: unhex(t, "FFFF9876543210E00001"),
	}
}

var secrets = cmp.Options{
	cmp.Comparer(func(a, b secret.PAN) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b secret.Track2) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b secret.Bytes) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b money.Currency) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// sum is a MAC for tests: eight bytes that depend on each byte and its place.
func sum(data []byte) ([]byte, error) {
	var s [8]byte
	h := uint64(14695981039346656037)
	for _, b := range data {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for i := range s {
		s[i] = byte(h >> (8 * i))
	}
	return s[:], nil
}

func check(_ *Message, data, mac []byte) error {
	if want, _ := sum(data); !bytes.Equal(want, mac) {
		return errBadMAC
	}
	return nil
}

type macError struct{}

func (macError) Error() string { return "wrong" }

var errBadMAC = macError{}

func TestSealAndOpen(t *testing.T) {
	for _, d := range full(t) {
		t.Run(d.Name(), func(t *testing.T) {
			want := request(t)
			b, err := d.Seal(want, sum)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Open(b, check)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, secrets); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := d.Seal(got, sum)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("sealed again: %v, other bytes: %t", err, !bytes.Equal(again, b))
			}
			if reflect.DeepEqual(got.MAC, make([]byte, 8)) {
				t.Error("no MAC")
			}
		})
	}
}
