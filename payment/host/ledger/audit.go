package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report is what an audit found.
type Report struct {
	Entries, Orders, Authorisations int
	// Pending is the number of authorisations that are booked and neither
	// completed nor reversed.
	Pending int
	// Asked is the number of requests that an acquirer above was asked about,
	// and whose answer is not known.
	Asked int
	// Hash is the last link of the chain of entries: kept elsewhere, it proves
	// later that nothing before it was changed.
	Hash [32]byte
	// Problems says what is wrong, first things first; empty when all is well.
	Problems []string
}

// Mark is an entry as it was once, kept where whoever writes the ledger can't
// change it: it proves later that what was booked by then still is.
type Mark struct {
	Number uint64
	Hash   [32]byte
}

// Mark is that of the last entry.
func (r Report) Mark() Mark { return Mark{uint64(r.Entries), r.Hash} }

// maxProblems bounds a report; one broken page breaks many entries.
const maxProblems = 100

// Audit reads the whole ledger and checks that every entry sums to zero, that
// the chain of hashes is whole, that balances are the sums of their postings,
// that the totals of terminals' batches are those of their payments, that each authorisation is booked, completed and booked back exactly as its
// state says, and that each order's state is that of its authorisation. The
// entries that were marked once have to be there as they were: a ledger that was
// set back, or written anew, has others. The error is that of the store; what is
// wrong in the ledger is in the report.
func Audit(ctx context.Context, l Ledger, marks ...Mark) (Report, error) {
	var a auditor
	err := l.View(ctx, func(tx Tx) error {
		a = auditor{
			marks:    marks,
			balances: map[[2]string]int64{},
			booked:   map[Key]map[Kind]Entry{},
			live:     map[string]Authorisation{},
			voided:   map[Key]Authorisation{},
			taken:    map[Key]Authorisation{},
			undone:   map[Key]bool{},
			asked:    map[Key]Authorisation{},
			refunds:  map[string]int64{},
			refunded: map[string]Order{},

			increments: map[string]Entry{},
			raised:     map[Key]int64{},
			captured:   map[Key]int64{},
			totals:     map[[2]string]*Totals{},
		}
		for _, step := range []func() error{
			func() error { return tx.EachEntry(a.entry) },
			func() error { return tx.EachBalance(a.balance) },
			func() error { return tx.EachAuthorisation(a.authorisation) },
			func() error { return tx.EachOrder(a.order) },
		} {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := step(); err != nil {
				return err
			}
		}
		if err := a.batches(tx); err != nil {
			return err
		}
		a.finish()
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("ledger: audit: %w", err)
	}
	return a.report, nil
}

type auditor struct {
	report   Report
	marks    []Mark
	balances map[[2]string]int64
	// booked are the entries of authorisations not yet seen.
	booked map[Key]map[Kind]Entry
	// live are the approved and completed authorisations by order.
	live map[string]Authorisation
	// voided and taken are the authorisations that a void undid, or that are
	// completed.
	voided, taken map[Key]Authorisation
	// undone are the voided ones that were completed before.
	undone map[Key]bool
	// asked are those whose answer is not known.
	asked map[Key]Authorisation
	// refunds are the sums of the live refunds by the order that they give
	// back of, refunded the orders that say so of themselves.
	refunds  map[string]int64
	refunded map[string]Order
	// increments are the entries of incrementals whose orders were not seen
	// yet, raised what they come to by authorisation.
	increments map[string]Entry
	raised     map[Key]int64
	// captured is what completions gave away of what was booked, and not back.
	captured map[Key]int64
	// totals are what the payments of a terminal come to in a currency.
	totals map[[2]string]*Totals
}

// total is what the payments of a terminal come to in a currency, so far.
func (a *auditor) total(terminal, currency string) *Totals {
	k := [2]string{terminal, currency}
	if a.totals[k] == nil {
		a.totals[k] = &Totals{}
	}
	return a.totals[k]
}

// count adds an order to the totals of its terminal, as its state says.
func (a *auditor) count(o Order, live, undone Authorisation) {
	t := a.total(o.Authorisation.Terminal, o.Amount.Currency.Code())
	sale := o.Type == "sale" || o.Type == "cashback"
	switch {
	case sale && o.State == OrderPaid:
		t.Debits.Add(live.Amount.Minor)
	case sale && o.State == OrderVoided:
		t.Debits.Add(undone.Amount.Minor)
	case o.Type == "completion" && o.State == OrderPaid:
		t.Debits.Add(o.Amount.Minor)
	case o.Type == "void" && o.State == OrderPaid && a.undone[o.Authorisation]:
		t.DebitReversals.Add(o.Amount.Minor)
	case o.Type == "refund" && o.State == OrderPaid:
		t.Credits.Add(live.Amount.Minor)
	}
}

// batches compares the batches' totals with what was booked.
func (a *auditor) batches(tx Tx) error {
	for _, k := range slices.SortedFunc(maps.Keys(a.totals), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		b, err := tx.Batch(k[0], k[1])
		if err != nil {
			return err
		}
		if want, got := *a.totals[k], b.Settled.Plus(b.Totals); b.Counted && want != got {
			a.wrong("batch %d of terminal %s in %s: it and those before count %d transactions, net %d; what is booked is %d, net %d",
				b.Number, k[0], k[1], got.Transactions(), got.Net(), want.Transactions(), want.Net())
		}
	}
	return nil
}

func (a *auditor) wrong(format string, v ...any) {
	if len(a.report.Problems) < maxProblems {
		a.report.Problems = append(a.report.Problems, fmt.Sprintf(format, v...))
	}
}

func (a *auditor) entry(b Booked) error {
	a.report.Entries++
	if b.Number != uint64(a.report.Entries) {
		a.wrong("entry %d (%s) stands where number %d belongs", b.Number, b.Key, a.report.Entries)
	}
	if want := Chain(a.report.Hash, b.Number, &b.Entry); want != b.Hash {
		a.wrong("entry %d (%s): its hash does not follow from its content and the entry before", b.Number, b.Key)
	}
	a.report.Hash = b.Hash
	for _, m := range a.marks {
		if m.Number == b.Number && m.Hash != b.Hash {
			a.wrong("entry %d (%s) is not the one that was marked: the ledger was written anew", b.Number, b.Key)
		}
	}
	if err := b.Check(); err != nil {
		a.wrong("entry %d: %v", b.Number, err)
	}
	for _, p := range b.Postings {
		id := [2]string{p.Account, p.Amount.Currency.Code()}
		s, ok := add(a.balances[id], p.Amount.Minor)
		if !ok {
			a.wrong("entry %d: sum of account %s out of range", b.Number, p.Account)
		}
		a.balances[id] = s
	}
	if b.Kind == KindOpening {
		return nil
	}
	m := a.booked[b.Authorisation]
	if m == nil {
		m = map[Kind]Entry{}
		a.booked[b.Authorisation] = m
	}
	if b.Kind == KindIncrement {
		a.increments[b.Key] = b.Entry
		whole := m[b.Kind]
		whole.Postings = append(whole.Postings, b.Postings...)
		m[b.Kind] = whole
		return nil
	}
	if _, twice := m[b.Kind]; twice {
		a.wrong("authorisation %s has two entries of kind %s", b.Authorisation, b.Kind)
	}
	m[b.Kind] = b.Entry
	return nil
}

func (a *auditor) balance(account, currency string, minor int64) error {
	id := [2]string{account, currency}
	if sum := a.balances[id]; sum != minor {
		a.wrong("account %s: balance %d %s, its postings sum to %d", account, minor, currency, sum)
	}
	delete(a.balances, id)
	return nil
}

// kindsOf are the entries that an authorisation in a state has; a reversal of
// what was never booked has none, and the void of what was held no completion.
func kindsOf(s AuthState) []Kind {
	switch s {
	case AuthApproved, AuthHeld:
		return []Kind{KindBook}
	case AuthCompleted:
		return []Kind{KindBook, KindComplete}
	case AuthReversed:
		return []Kind{KindBook, KindReverse}
	case AuthVoided:
		return []Kind{KindBook, KindComplete, KindVoid}
	}
	return nil
}

func (a *auditor) authorisation(v Authorisation) error {
	a.report.Authorisations++
	if !v.Amount.Currency.IsZero() {
		a.total(v.Key.Terminal, v.Amount.Currency.Code())
	}
	entries := a.booked[v.Key]
	delete(a.booked, v.Key)
	raise, raised := entries[KindIncrement]
	delete(entries, KindIncrement)
	if raised {
		a.raised[v.Key] = gain(raise)
		if v.State != AuthHeld && v.State != AuthCompleted && v.State != AuthVoided {
			a.wrong("authorisation %s is %s and was raised", v.Key, v.State)
		}
	}
	want := kindsOf(v.State)
	_, completed := entries[KindComplete]
	_, undone := entries[KindVoid]
	ok := len(entries) == len(want) || v.State == AuthReversed && len(entries) == 0 || v.State == AuthVoided && undone && !completed
	for k := range entries {
		ok = ok && slices.Contains(want, k)
	}
	if !ok {
		a.wrong("authorisation %s is %s and has entries of kind %s", v.Key, v.State, kindNames(entries))
		return nil
	}
	switch v.State {
	case AuthApproved, AuthHeld, AuthCompleted:
		if v.State == AuthApproved {
			a.report.Pending++
		}
		if v.State == AuthCompleted {
			a.taken[v.Key] = v
		}
		if o, twice := a.live[v.Order]; twice {
			a.wrong("order %s is booked twice: by %s and by %s", v.Order, o.Key, v.Key)
		}
		a.live[v.Order] = v
	case AuthVoided:
		a.voided[v.Key] = v
		a.undone[v.Key] = completed
	case AuthAsked:
		a.report.Asked++
		a.asked[v.Key] = v
	case AuthDeclined, AuthAnswered, AuthReversed:
	default:
		a.wrong("authorisation %s: state is not known", v.Key)
	}
	if b, ok := entries[KindBook]; ok {
		a.amounts(v, b, raise)
	}
	if c, ok := entries[KindComplete]; ok {
		left, given := completion(c, entries[KindBook], raise)
		if left {
			a.wrong("authorisation %s: its completion leaves a part of what was booked pending, or takes more", v.Key)
		}
		a.captured[v.Key] = given
	}
	if r, ok := entries[KindVoid]; ok && !cancels(entries[KindBook], raise, entries[KindComplete], r) {
		a.wrong("authorisation %s: its void does not take back what was booked", v.Key)
	}
	if r, ok := entries[KindReverse]; ok && !cancels(entries[KindBook], r) {
		a.wrong("authorisation %s: its reversal does not take back what was booked", v.Key)
	}
	return nil
}

// gain is what an entry moves.
func gain(e Entry) int64 {
	var sum int64
	for _, p := range e.Postings {
		if p.Amount.Minor > 0 {
			sum += p.Amount.Minor
		}
	}
	return sum
}

// completion compares an entry of completion with the bookings that it ends. left
// says that what they put aside is not what it takes; given is what it gives to
// others than it was taken from.
func completion(c Entry, booked ...Entry) (left bool, given int64) {
	waits, from := map[string]int64{}, map[string]bool{}
	for _, e := range booked {
		for _, p := range e.Postings {
			if p.Amount.Minor > 0 {
				waits[p.Account] += p.Amount.Minor
			} else {
				from[p.Account] = true
			}
		}
	}
	for _, p := range c.Postings {
		if _, ok := waits[p.Account]; ok {
			waits[p.Account] += p.Amount.Minor
		} else if p.Amount.Minor > 0 && !from[p.Account] {
			given += p.Amount.Minor
		}
	}
	for _, n := range waits {
		left = left || n != 0
	}
	return left, given
}

// amounts checks that what was booked, with what was held more, is the
// authorisation's amount.
func (a *auditor) amounts(v Authorisation, booked, raise Entry) {
	for _, p := range slices.Concat(booked.Postings, raise.Postings) {
		if p.Amount.Currency != v.Amount.Currency {
			a.wrong("authorisation %s: booked in %s, authorised in %s", v.Key, p.Amount.Currency, v.Amount.Currency)
			return
		}
	}
	if sum := gain(booked) + gain(raise); sum != v.Amount.Minor {
		a.wrong("authorisation %s: booked %d, authorised %d", v.Key, sum, v.Amount.Minor)
	}
}

// cancels reports whether entries together move nothing.
func cancels(entries ...Entry) bool {
	net := map[string]int64{}
	for _, e := range entries {
		for _, p := range e.Postings {
			net[p.Account+" "+p.Amount.Currency.Code()] += p.Amount.Minor
		}
	}
	for _, n := range net {
		if n != 0 {
			return false
		}
	}
	return true
}

func kindNames(m map[Kind]Entry) string {
	if len(m) == 0 {
		return "none"
	}
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (a *auditor) order(o Order) error {
	a.report.Orders++
	live, booked := a.live[o.ID]
	delete(a.live, o.ID)
	asked, isAsked := a.asked[o.Authorisation]
	undone, isVoided := a.voided[o.Authorisation]
	taken, isTaken := a.taken[o.Authorisation]
	_, refused := o.State.Refused()
	whole := o.Amount
	whole.Minor += o.Tip
	if !o.Authorisation.IsZero() {
		a.count(o, live, undone)
	}
	switch {
	case o.Type == "completion" && booked:
		a.wrong("order %s is a completion and booked by %s", o.ID, live.Key)
	case o.Type == "completion" && o.State == OrderPaid && (!isTaken || taken.Order != o.Original):
		a.wrong("order %s is a completion of %s, which is not completed", o.ID, o.Original)
	case o.Type == "completion" && o.State == OrderPaid && a.captured[o.Authorisation] != o.Amount.Minor:
		a.wrong("order %s is for %s, and %d was taken of what was held for %s", o.ID, o.Amount, a.captured[o.Authorisation], o.Original)
	case o.Type == "completion" && o.State == OrderPaid:
	case o.Type == "incremental" && booked:
		a.wrong("order %s is an incremental and booked by %s", o.ID, live.Key)
	case o.Type == "incremental" && o.State == OrderPaid:
		a.increment(o)
	case refused && (o.Type != "incremental" && o.Type != "void" && o.Type != "completion" || booked):
		a.wrong("order %s, a %s, is refused", o.ID, o.Type)
	case refused:
	case o.State == OrderVoided && (!isVoided || undone.Order != o.ID):
		a.wrong("order %s is voided, its authorisation is not", o.ID)
	case o.State == OrderVoided && booked:
		a.wrong("order %s is voided and booked by %s", o.ID, live.Key)
	case o.State == OrderVoided:
	case o.Type == "void" && booked:
		a.wrong("order %s is a void and booked by %s", o.ID, live.Key)
	case o.Type == "void" && o.State == OrderPaid && (!isVoided || undone.Order != o.Original):
		a.wrong("order %s is a void of %s, which is not voided", o.ID, o.Original)
	case o.Type == "void" && o.State == OrderPaid:
	case o.State == OrderPending && isAsked && !booked && asked.Order == o.ID:
	case o.State == OrderOpen && booked:
		a.wrong("order %s is open and booked by %s", o.ID, live.Key)
	case o.State == OrderOpen:
	case !booked:
		a.wrong("order %s is %s and nothing is booked for it", o.ID, o.State)
	case o.Authorisation != live.Key:
		a.wrong("order %s names %s and is booked by %s", o.ID, o.Authorisation, live.Key)
	case o.Type == "preauth" && o.Amount.Currency == live.Amount.Currency && o.Amount.Minor+a.raised[live.Key] == live.Amount.Minor && o.State != OrderPending && live.State != AuthApproved:
	case whole != live.Amount && !(live.ResponseCode == "10" && o.Amount.Currency == live.Amount.Currency && live.Amount.Minor < o.Amount.Minor):
		a.wrong("order %s is for %s and booked with %s", o.ID, whole, live.Amount)
	case o.State == OrderPending && live.State != AuthApproved, o.State == OrderHeld && live.State != AuthHeld, o.State == OrderPaid && live.State != AuthCompleted:
		a.wrong("order %s is %s, its authorisation %s", o.ID, o.State, live.State)
	case o.State != OrderPending && o.State != OrderHeld && o.State != OrderPaid:
		a.wrong("order %s: state is not known", o.ID)
	}
	if o.Original != "" && booked {
		a.refunds[o.Original] += o.Amount.Minor
	}
	if o.Refunded != 0 {
		a.refunded[o.ID] = o
	}
	return nil
}

// IncrementKey is the key of the entry of an incremental order.
func IncrementKey(of Key, order string) string {
	return string(KindIncrement) + "/" + of.String() + "/" + order
}

// increment checks that an incremental order was booked, for what it raised.
func (a *auditor) increment(o Order) {
	key := IncrementKey(o.Authorisation, o.ID)
	e, ok := a.increments[key]
	delete(a.increments, key)
	switch {
	case !ok:
		a.wrong("order %s is %s and nothing is booked for it", o.ID, o.State)
	case e.Authorisation != o.Authorisation || gain(e) != o.Amount.Minor:
		a.wrong("order %s is for %s and booked with %d for %s", o.ID, o.Amount, gain(e), e.Authorisation)
	}
}

// finish reports what nothing accounts for, in a stable order.
func (a *auditor) finish() {
	var rest []string
	for _, m := range a.marks {
		if m.Number > uint64(a.report.Entries) {
			rest = append(rest, fmt.Sprintf("the ledger ends with entry %d, and had %d: it was set back", a.report.Entries, m.Number))
		}
	}
	for id, sum := range a.balances {
		if sum != 0 {
			rest = append(rest, fmt.Sprintf("account %s has postings in %s and no balance", id[0], id[1]))
		}
	}
	for k := range a.booked {
		rest = append(rest, fmt.Sprintf("entries belong to authorisation %s, which there is not", k))
	}
	for key := range a.increments {
		rest = append(rest, fmt.Sprintf("entry %s belongs to no incremental order", key))
	}
	for id, v := range a.live {
		rest = append(rest, fmt.Sprintf("authorisation %s is booked for order %s, which there is not", v.Key, id))
	}
	for id, sum := range a.refunds {
		if o := a.refunded[id]; o.Refunded != sum {
			rest = append(rest, fmt.Sprintf("order %s: %d is given back, it says %d", id, sum, o.Refunded))
		}
		delete(a.refunded, id)
	}
	for id, o := range a.refunded {
		rest = append(rest, fmt.Sprintf("order %s says that %d is given back, and no refund is booked", id, o.Refunded))
	}
	slices.Sort(rest)
	for _, s := range rest {
		a.wrong("%s", s)
	}
}
