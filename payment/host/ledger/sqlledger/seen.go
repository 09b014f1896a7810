package sqlledger

import (
	"bytes"

	"github.com/payunit/payunit/payment/host/ledger"
)

// seen are the rows that a transaction has read last: they are there, and nobody
// else changes them before it ends. What is read again comes from here, and of
// what is written again, only what can have changed is.
type seen struct {
	order    ledger.Order
	terminal ledger.Terminal
	auth     ledger.Authorisation
}

// sameUnit reports whether two states of a terminal differ in nothing but the keys
// that were used.
func sameUnit(a, b ledger.Terminal) bool {
	return a.ID == b.ID && a.Number == b.Number && bytes.Equal(a.DeviceKey, b.DeviceKey) && a.MerchantID == b.MerchantID && a.Merchant == b.Merchant &&
		a.PINFormat == b.PINFormat && a.Generation == b.Generation && a.Device == b.Device && a.DeviceClass == b.DeviceClass && a.Assurance == b.Assurance &&
		a.Activation == b.Activation && a.Enrolled.Equal(b.Enrolled)
}

// sameAnswer reports whether two states of an authorisation differ in nothing but
// what became of it after its answer.
func sameAnswer(a, b ledger.Authorisation) bool {
	return a.Key == b.Key && a.Transmitted.Equal(b.Transmitted) && a.Order == b.Order && a.Amount == b.Amount && a.Card == b.Card && a.Account == b.Account &&
		bytes.Equal(a.Content, b.Content) && a.ResponseCode == b.ResponseCode && a.AuthCode == b.AuthCode && bytes.Equal(a.ICC, b.ICC) && a.Created.Equal(b.Created)
}
