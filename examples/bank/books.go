package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// books is a command about a ledger: bank audit, bank report, bank backup, bank again. A bank may
// serve from it meanwhile.
func books(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bank "+name, flag.ContinueOnError)
	f.SetOutput(stderr)
	store := f.String("store", "bank.db", "the ledger: a SQLite file, or postgres://USER@HOST/DATABASE")
	asJSON := f.Bool("json", false, "print one JSON object")
	to := f.String("to", "", "backup: the new file")
	mark := f.String("mark", "", "audit: a file that keeps the last entry's number and hash from one audit to the next; a ledger that was set back, or written anew, is found by it")
	day := f.String("day", "", "report: the day, YYYY-MM-DD in UTC; empty is today")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	from := time.Now().UTC().Truncate(24 * time.Hour)
	if *day != "" {
		var err error
		if from, err = time.Parse(time.DateOnly, *day); err != nil {
			fmt.Fprintf(stderr, "bank report: -day: want YYYY-MM-DD\n")
			return 2
		}
	}
	if name != "again" && f.NArg() > 0 || name == "again" && f.NArg() != 1 {
		fmt.Fprintf(stderr, "bank %s: unexpected arguments %q\n", name, f.Args())
		return 2
	}
	if (name == "backup") != (*to != "") {
		fmt.Fprintf(stderr, "bank %s: -to names the new file of a backup, and of that alone\n", name)
		return 2
	}
	db, l, err := bank.ReadStore(ctx, *store)
	if err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return 1
	}
	defer func() { _, _ = l.Close(), db.Close() }()
	var code int
	switch name {
	case "audit":
		code, err = auditOf(ctx, l, *mark, *asJSON, stdout)
	case "again":
		err = sendAgain(ctx, l, f.Arg(0), stdout)
	case "backup":
		if err = l.BackUp(ctx, *to); err == nil {
			fmt.Fprintf(stdout, "the ledger is in %s too\n", *to)
		}
	default:
		err = reportOf(ctx, l, from, *asJSON, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bank %s: %v\n", name, err)
		return 1
	}
	return code
}

// auditOf checks the ledger, and says what is wrong, first things first. Exit 1
// when anything is.
func auditOf(ctx context.Context, l ledger.Ledger, mark string, asJSON bool, w io.Writer) (int, error) {
	marks, err := readMark(mark)
	if err != nil {
		return 1, err
	}
	r, err := ledger.Audit(ctx, l, marks...)
	if err != nil {
		return 1, err
	}
	code := 0
	if len(r.Problems) > 0 {
		code = 1
	} else if err := writeMark(mark, r.Mark()); err != nil {
		return 1, err
	}
	if asJSON {
		if r.Problems == nil {
			r.Problems = []string{}
		}
		return code, json.NewEncoder(w).Encode(map[string]any{
			"entries": r.Entries, "orders": r.Orders, "authorisations": r.Authorisations, "pending": r.Pending, "asked": r.Asked,
			"hash": fmt.Sprintf("%x", r.Hash), "problems": r.Problems,
		})
	}
	fmt.Fprintf(w, "%d entries, %d orders, %d requests; %d booked and waiting for the card's last word, %d under way at the acquirer above\n",
		r.Entries, r.Orders, r.Authorisations, r.Pending, r.Asked)
	fmt.Fprintf(w, "chain of entries: %x\n", r.Hash)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "WRONG: %s\n", p)
	}
	if code == 0 {
		fmt.Fprintln(w, "everything holds")
	}
	return code, nil
}

// readMark reads a file of one line, an entry's number and hash. One that is not
// there marks nothing yet.
func readMark(path string) ([]ledger.Mark, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m ledger.Mark
	var hash []byte
	if _, err := fmt.Sscanf(string(b), "%d %x\n", &m.Number, &hash); err != nil || copy(m.Hash[:], hash) != len(m.Hash) {
		return nil, fmt.Errorf("%s: not a mark", path)
	}
	return []ledger.Mark{m}, nil
}

// writeMark replaces the file, never by a part of one.
func writeMark(path string, m ledger.Mark) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path+".new", fmt.Appendf(nil, "%d %x\n", m.Number, m.Hash), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// total is what one kind of entry comes to in one currency.
type total struct {
	Kind     string `json:"kind"`
	Currency string `json:"currency"`
	Count    int    `json:"count"`
	Minor    int64  `json:"minor"`
	Amount   string `json:"amount"`
}

// balance is what an account holds.
type balance struct {
	Account  string `json:"account"`
	Currency string `json:"currency"`
	Minor    int64  `json:"minor"`
	Amount   string `json:"amount"`
}

// message is one that the acquirer above has refused.
type message struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Times   int    `json:"times"`
	Created string `json:"created"`
}

// standing is what is open at a moment, beside the money.
type standing struct {
	owed    int
	refused []message
	scripts map[ledger.ScriptState]int
	keys    []host.KeyUse
}

func standingOf(tx ledger.Tx) (standing, error) {
	s := standing{refused: []message{}, scripts: map[ledger.ScriptState]int{}}
	err := tx.EachOutgoing(0, func(o ledger.Outgoing) error {
		if o.Refused {
			s.refused = append(s.refused, message{o.ID, o.Code, o.Refusals, o.Created.Format(time.DateTime)})
		} else {
			s.owed++
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	return s, tx.EachScript("", func(x ledger.Script) error { s.scripts[x.State]++; return nil })
}

func (s standing) print(w io.Writer) {
	for _, u := range s.keys {
		fmt.Fprintf(w, "%d terminals have keys of the base key %s\n", u.Terminals, u.Generation)
	}
	fmt.Fprintf(w, "%d messages are owed to the acquirer above\n", s.owed)
	for _, m := range s.refused {
		fmt.Fprintf(w, "  REFUSED by it with code %s, %d times: %s, of %s\n", m.Code, m.Times, m.ID, m.Created)
	}
	if n := s.scripts[ledger.ScriptOwed] + s.scripts[ledger.ScriptSent]; n > 0 || s.scripts[ledger.ScriptFailed] > 0 {
		fmt.Fprintf(w, "%d scripts are owed to cards, %d were refused by them for good\n", n, s.scripts[ledger.ScriptFailed])
	}
}

// sendAgain makes a message owed again that the acquirer above has refused.
func sendAgain(ctx context.Context, l ledger.Ledger, id string, w io.Writer) error {
	if err := host.SendAgain(ctx, l, id, time.Now()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s is owed again\n", id)
	return err
}

// reportOf shows a day's bookings by kind, the merchants' accounts as they are now,
// what is owed to the acquirer above and to cards, and what was refused.
func reportOf(ctx context.Context, l ledger.Ledger, from time.Time, asJSON bool, w io.Writer) error {
	until := from.Add(24 * time.Hour)
	sums := map[[2]string]*total{}
	balances := []balance{}
	var now standing
	err := l.View(ctx, func(tx ledger.Tx) error {
		clear(sums)
		balances = balances[:0]
		err := tx.EachEntry(func(b ledger.Booked) error {
			if b.Time.Before(from) || !b.Time.Before(until) {
				return nil
			}
			seen := map[string]bool{}
			for _, p := range b.Postings {
				if p.Amount.Minor <= 0 {
					continue
				}
				k := [2]string{string(b.Kind), p.Amount.Currency.Code()}
				if sums[k] == nil {
					sums[k] = &total{Kind: k[0], Currency: k[1]}
				}
				sums[k].Minor += p.Amount.Minor
				if !seen[k[1]] {
					seen[k[1]] = true
					sums[k].Count++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = tx.EachBalance(func(account, currency string, minor int64) error {
			if !bank.CardAccount(account) {
				balances = append(balances, balance{Account: account, Currency: currency, Minor: minor})
			}
			return nil
		})
		if err != nil {
			return err
		}
		now, err = standingOf(tx)
		return err
	})
	if err != nil {
		return err
	}
	if now.keys, err = host.KeysInUse(ctx, l); err != nil {
		return err
	}
	generations := map[string]int{}
	for _, u := range now.keys {
		generations[u.Generation] = u.Terminals
	}
	totals := []total{}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		t := *sums[k]
		t.Amount = decimal(t.Minor, t.Currency)
		totals = append(totals, t)
	}
	for i, b := range balances {
		balances[i].Amount = decimal(b.Minor, b.Currency)
	}
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{
			"day": from.Format(time.DateOnly), "totals": totals, "balances": balances, "terminals_by_base_key": generations,
			"owed_above": now.owed, "refused_above": now.refused,
			"scripts_owed": now.scripts[ledger.ScriptOwed] + now.scripts[ledger.ScriptSent], "scripts_refused": now.scripts[ledger.ScriptFailed],
		})
	}
	fmt.Fprintf(w, "%s (UTC)\n", from.Format(time.DateOnly))
	for _, t := range totals {
		fmt.Fprintf(w, "  %-10s %6d  %14s %s\n", t.Kind, t.Count, t.Amount, t.Currency)
	}
	fmt.Fprintln(w, "accounts, now")
	for _, b := range balances {
		fmt.Fprintf(w, "  %-28s %14s %s\n", b.Account, b.Amount, b.Currency)
	}
	now.print(w)
	return nil
}

func decimal(minor int64, currency string) string {
	c, err := money.ByCode(currency)
	if err != nil {
		return fmt.Sprint(minor)
	}
	return money.New(minor, c).Decimal()
}
