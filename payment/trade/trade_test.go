package trade

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
)

func TestEnvelope(t *testing.T) {
	e, err := Encode(KindTradeRequest, 0x01020304, TradeRequest{Order: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	wire := e.Append(nil)
	want := "\x01\x01\x01\x02\x03\x04" + `{"order":"A-1"}`
	if d := cmp.Diff(want, string(wire)); d != "" {
		t.Fatal(d)
	}
	got, err := Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	var r TradeRequest
	if err := got.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(TradeRequest{Order: "A-1"}, r); d != "" {
		t.Fatal(d)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"nothing":       "",
		"cut header":    "\x01\x01\x00\x00\x00",
		"other version": "\x02\x01\x00\x00\x00\x00",
		"kind 0":        "\x01\x00\x00\x00\x00\x00",
		"kind 10":       "\x01\x0A\x00\x00\x00\x00",
		"kind 16":       "\x01\x10\x00\x00\x00\x00",
		"kind 19":       "\x01\x13\x00\x00\x00\x00",
	} {
		if _, err := Parse([]byte(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":          ``,
		"no JSON":          `order`,
		"cut":              `{"order":"A`,
		"unknown member":   `{"order":"A","amount":"1"}`,
		"trailing bytes":   `{"order":"A"} {}`,
		"wrong type":       `{"order":1}`,
		"trailing garbage": `{"order":"A"}x`,
	} {
		var r TradeRequest
		if err := (Envelope{Kind: KindTradeRequest, Body: []byte(body)}).Decode(&r); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTradeRoundTrip(t *testing.T) {
	jpy, err := money.ByCode("JPY")
	if err != nil {
		t.Fatal(err)
	}
	want := Trade{Order: "A", Type: Sale, State: Open, Amount: money.New(1234, jpy), Merchant: "Shop", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	e, err := Encode(KindTrade, 1, want)
	if err != nil {
		t.Fatal(err)
	}
	var got Trade
	if err := e.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); d != "" {
		t.Fatal(d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x00\x00\x01{\"order\":\"A\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if d := cmp.Diff(b, e.Append(nil)); d != "" {
			t.Fatal(d)
		}
		for _, v := range []any{&TradeRequest{}, &Trade{}, &Cancel{}, &Enrol{}, &Grant{}, &Error{}} {
			if err := e.Decode(v); err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
		}
	})
}
