package bank

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/payment/trade"
)

// ParseEntry reads a list of ways in which a card's data may come beside the chip:
// "stripe,fallback,manual"; "" grants none.
func ParseEntry(list string) (trade.EntryPolicy, error) {
	var p trade.EntryPolicy
	if list == "" {
		return p, nil
	}
	for _, way := range strings.Split(list, ",") {
		switch way {
		case "stripe":
			p.Stripe = true
		case "fallback":
			p.Fallback = true
		case "manual":
			p.Manual = true
		default:
			return trade.EntryPolicy{}, fmt.Errorf("%q is none of stripe, fallback, manual", way)
		}
	}
	return p, nil
}
