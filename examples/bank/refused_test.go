package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/payment/host/ledger"
)

// TestReportRefused: what the bank above has refused is in the report, until it is
// to be sent again.
func TestReportRefused(t *testing.T) {
	store := filepath.Join(t.TempDir(), "bank.db")
	db, l, err := bank.OpenStore(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	k := ledger.Key{Terminal: "P0000001", STAN: "000001", RRN: "606305000001"}
	err = l.Update(t.Context(), func(tx ledger.Tx) error {
		for n, o := range []ledger.Outgoing{{ID: "standin/" + k.String(), Refused: true, Refusals: 5, Code: "14"}, {ID: "completion/" + k.String()}} {
			o.Number, o.Authorisation, o.Message, o.Created = uint64(n+1), k, []byte{1}, at
			if err := tx.PutOutgoing(o); err != nil {
				return err
			}
		}
		for n, s := range []ledger.ScriptState{ledger.ScriptOwed, ledger.ScriptSent, ledger.ScriptDone, ledger.ScriptFailed} {
			if err := tx.PutScript(ledger.Script{Number: uint64(n + 1), Card: "c", Command: "block", State: s, Created: at, Changed: at}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	try := func(code int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(t.Context(), args, &out, &errs); got != code {
			t.Errorf("%v: exit %d: %s%s", args, got, out.String(), errs.String())
		}
		return out.String()
	}
	type report struct {
		Owed    int       `json:"owed_above"`
		Refused []message `json:"refused_above"`
		Scripts int       `json:"scripts_owed"`
		Failed  int       `json:"scripts_refused"`
	}
	read := func() (r report) {
		t.Helper()
		if err := json.Unmarshal([]byte(try(0, "report", "-json", "-store", store)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := report{1, []message{{"standin/" + k.String(), "14", 5, "2026-03-04 05:06:07"}}, 2, 1}
	if d := cmp.Diff(want, read()); d != "" {
		t.Error(d)
	}
	if s := try(0, "report", "-store", store); !strings.Contains(s, "REFUSED by it with code 14, 5 times: standin/") || !strings.Contains(s, "2 scripts are owed to cards, 1 were refused") {
		t.Error(s)
	}
	try(2, "again", "-store", store)
	try(1, "again", "-store", store, "completion/"+k.String())
	try(0, "again", "-store", store, "standin/"+k.String())
	if d := cmp.Diff(report{2, []message{}, 2, 1}, read()); d != "" {
		t.Error(d)
	}
}
