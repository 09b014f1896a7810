package c2_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
)

var mastercard = []byte{0xA0, 0x00, 0x00, 0x00, 0x04, 0x10, 0x10}

// newTap is a reader that can do everything, online and offline: limits of 100.00
// (200.00 with a device), a floor of 20.00, verification above 50.00.
func newTap(t testing.TB, minor int64, alter func(*c2.Config)) *taptest.Tap {
	t.Helper()
	c := c2.Config{
		CAKeys:           taptest.Keys(t),
		TransactionLimit: taptest.Limit(10000), DeviceLimit: taptest.Limit(20000), FloorLimit: taptest.Limit(2000), CVMLimit: taptest.Limit(5000),
		Relay: &c2.Relay{}, TornRecords: 3, ReadBalance: true, Accounts: []string{"5"},
		Application: emv.Application{
			Version: [2]byte{0x00, 0x96}, TACOnline: [5]byte{0xF4, 0x50, 0x84, 0x80, 0x0C}, TACDefault: [5]byte{0xF4, 0x50, 0x84, 0x80, 0x0C},
		},
	}
	if alter != nil {
		alter(&c)
	}
	k, err := c2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return &taptest.Tap{
		Terminal:     taptest.Terminal(),
		Combinations: []contactless.Combination{{AID: mastercard, Kernel: contactless.Kernel2, Run: k}},
		Transaction:  emv.Transaction{Amount: taptest.Euro(t, minor), Time: taptest.Now()},
		PIN:          taptest.Pad(emv.PINEntered),
	}
}
