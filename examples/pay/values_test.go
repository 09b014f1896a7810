package main

import (
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/money"
)

func amount(t *testing.T) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(1234, c)
}

func resultOf() payment.Result { return payment.Result{} }
