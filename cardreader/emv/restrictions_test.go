package emv_test

import (
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// TestUsageControl gives a card one bit of the AUC that decides, and takes it
// away again (Book 3, 10.4.2).
func TestUsageControl(t *testing.T) {
	const home, abroad = "0276", "0528"
	for name, c := range map[string]struct {
		kind     byte
		other    int64
		terminal tags.TerminalTypeValue
		country  string
		need     [2]byte // each bit of these is needed
		either   bool    // any of the bits of need does, besides the place
		place    byte
	}{
		"domestic cash":          {kind: 0x01, country: home, need: [2]byte{tags.AUCDomesticCash, 0}},
		"international cash":     {kind: 0x01, country: abroad, need: [2]byte{tags.AUCInternationalCash, 0}},
		"domestic sale":          {country: home, need: [2]byte{tags.AUCDomesticGoods | tags.AUCDomesticServices, 0}, either: true},
		"international sale":     {country: abroad, need: [2]byte{tags.AUCInternationalGoods | tags.AUCInternationalServices, 0}, either: true},
		"domestic cashback":      {kind: 0x09, other: 100, country: home, need: [2]byte{tags.AUCDomesticGoods, tags.AUCDomesticCashback}},
		"international cashback": {kind: 0x09, other: 100, country: abroad, need: [2]byte{tags.AUCInternationalGoods, tags.AUCInternationalCashback}},
		"cashback by amount":     {other: 100, country: home, need: [2]byte{tags.AUCDomesticGoods, tags.AUCDomesticCashback}},
		"cash at an ATM":         {kind: 0x01, terminal: 0x14, country: home, need: [2]byte{tags.AUCDomesticCash, 0}, place: tags.AUCATMs},
		"country unknown":        {country: ""},
		"refund":                 {kind: 0x20, country: home},
	} {
		place := tags.AUCOtherThanATMs
		if c.place != 0 {
			place = c.place
		}
		run := func(auc [2]byte) bool {
			b := newBench(t)
			b.trade.Type = c.kind
			if c.other > 0 {
				b.trade.Other = eur(c.other)
			}
			if c.terminal != 0 {
				b.term.Type = c.terminal
				b.term.Additional[0] |= tags.AddCash
			}
			b.card.objects[tags.IssuerCountryCode] = c.country
			b.card.objects[tags.AUC] = fmt.Sprintf("%X", auc)
			return !b.must().Outcome().TVR.Has(tags.TVRServiceNotAllowed)
		}
		t.Run(name, func(t *testing.T) {
			enough := [2]byte{c.need[0] | place, c.need[1]}
			if !run(enough) {
				t.Errorf("AUC %X is not enough", enough)
			}
			if run([2]byte{enough[0] &^ place, enough[1]}) {
				t.Error("allowed without the bit for the place")
			}
			all := [2]byte{0xFF, 0xC0}
			if c.either {
				if run([2]byte{all[0] &^ c.need[0], all[1]}) {
					t.Error("allowed without any bit for the service")
				}
				return
			}
			for i := range c.need {
				for bit := byte(0x80); bit != 0; bit >>= 1 {
					// Services stand in for goods.
					if c.need[i]&bit == 0 || i == 0 && bit&(tags.AUCDomesticGoods|tags.AUCInternationalGoods) != 0 {
						continue
					}
					less := all
					less[i] &^= bit
					if run(less) {
						t.Errorf("allowed with AUC %X", less)
					}
				}
			}
		})
	}
}

// TestRandomSelection counts how often a biased selection picks (Book 3, 10.6.2).
func TestRandomSelection(t *testing.T) {
	for name, c := range map[string]struct {
		amount int64
		random emv.RandomSelection
		want   int // of the 99 numbers
		kind   tags.TerminalTypeValue
	}{
		"online only":            {10, emv.RandomSelection{Threshold: 500, TargetPercent: 99, MaxTargetPercent: 99}, 0, 0x21},
		"offline only":           {10, emv.RandomSelection{Threshold: 500, TargetPercent: 99, MaxTargetPercent: 99}, 0, 0x23},
		"below the threshold":    {499, emv.RandomSelection{Threshold: 500, TargetPercent: 20, MaxTargetPercent: 60}, 20, 0x22},
		"at the threshold":       {500, emv.RandomSelection{Threshold: 500, TargetPercent: 20, MaxTargetPercent: 60}, 20, 0x22},
		"half way":               {750, emv.RandomSelection{Threshold: 500, TargetPercent: 20, MaxTargetPercent: 60}, 40, 0x22},
		"just below the floor":   {999, emv.RandomSelection{Threshold: 500, TargetPercent: 20, MaxTargetPercent: 60}, 59, 0x22},
		"never":                  {10, emv.RandomSelection{}, 0, 0x22},
		"always below threshold": {10, emv.RandomSelection{Threshold: 500, TargetPercent: 99, MaxTargetPercent: 99}, 99, 0x22},
	} {
		t.Run(name, func(t *testing.T) {
			picked := 0
			for n := range 99 {
				b := newBench(t)
				b.card.aip[0] = tags.AIPRisk
				b.term.Type = c.kind
				b.app().FloorLimit, b.app().Random = 1000, c.random
				b.trade.Amount.Minor = c.amount
				// Four bytes of unpredictable number come first.
				b.alter = func(k *emv.Config) { k.Rand = &fixed{[]byte{1, 2, 3, 4, byte(n)}} }
				if b.must().Outcome().TVR.Has(tags.TVRRandomlySelected) {
					picked++
				}
			}
			if picked != c.want {
				t.Errorf("picked %d of 99, want %d", picked, c.want)
			}
		})
	}
}

type fixed struct{ b []byte }

func (f *fixed) Read(p []byte) (int, error) {
	n := copy(p, f.b)
	f.b = f.b[n:]
	if n == 0 {
		return 0, fmt.Errorf("no more")
	}
	return n, nil
}
