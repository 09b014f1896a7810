package payment

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/money"
)

// named is a device that has a name and nothing else.
type named struct{ Device }

func (named) Identity() (terminalID, merchantID string) { return "TERM0001", "M1" }

// TestLocalTimeOfWhatFollows: reversals and completions, read back from the
// journal, have the request's local time (DE 12 and 13) in the terminal's zone, and
// its transmission time (DE 7, and in DE 90) in UTC, over midnight too.
func TestLocalTimeOfWhatFollows(t *testing.T) {
	at := time.Date(2026, 11, 24, 23, 40, 12, 0, time.FixedZone("", -5*3600))
	u := &Unit{c: Config{Device: named{}, Now: func() time.Time { return at.Add(time.Hour) }}}
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []journal.State{journal.Reversal, journal.Completion, journal.Void} {
		b, err := json.Marshal(journal.Entry{
			Order: "A-1", Type: "sale", State: state, STAN: "000001", RRN: "632804000001", MTI: "0200", TransmissionTime: at.UTC(),
			ProcessingCode: "000000", Amount: money.New(1234, eur), EntryMode: "051", AuthCode: "123456", Reason: "4021",
		})
		if err != nil {
			t.Fatal(err)
		}
		var e journal.Entry
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		m, err := u.advice(e)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := acquirer.Default().Pack(m)
		if err != nil {
			t.Fatal(err)
		}
		x, err := acquirer.Default().Explain(packed)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range x.Fields {
			want, ok := map[int]string{7: "1125044012", 12: "234012", 13: "1124", 90: "0200000001" + "1125044012" + "0000000000000000000000"}[f.Number]
			if ok && f.Value != want {
				t.Errorf("%s: field %d is %s, want %s", state, f.Number, f.Value, want)
			}
		}
	}
}
