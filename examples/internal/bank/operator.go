package bank

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
)

// Operator is the issuer's desk: it reads and writes the ledger of a bank that
// serves, or does not.
type Operator struct {
	db     *sql.DB
	ledger *sqlledger.Ledger
	issuer *issuer.Issuer
}

// ErrCard: a card is not known, or not told apart from others.
var ErrCard = errors.New("bank: card")

// OpenOperator opens the desk of the bank with that store, those cards and keys.
// The store has to be there.
func OpenOperator(ctx context.Context, c Config) (*Operator, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	cards, err := (&Bank{c: c}).cards()
	if err != nil {
		return nil, err
	}
	o := &Operator{}
	if o.issuer, err = newIssuer(c, cards); err != nil {
		cards.Wipe()
		return nil, err
	}
	if o.db, o.ledger, err = ReadStore(ctx, c.Store); err != nil {
		o.issuer.Close()
		return nil, err
	}
	return o, nil
}

func newIssuer(c Config, cards *issuer.Cards) (*issuer.Issuer, error) {
	return issuer.New(issuer.Config{Cards: cards, CVK: testkeys.PKI().CVK, CountersInAnyOrder: true, Key: c.Keys.Registry, Now: c.Now})
}

// Close closes the ledger.
func (o *Operator) Close() error {
	o.issuer.Close()
	return errors.Join(o.ledger.Close(), o.db.Close())
}

// Card finds one card by its number, whole or masked, or by its reference. Errors
// wrap ErrCard, and don't quote it.
func (o *Operator) Card(name string) (issuer.Known, error) {
	switch found := o.issuer.Find(name); len(found) {
	case 0:
		return issuer.Known{}, fmt.Errorf("%w: not one of this issuer's; want its number, as it is or with the middle hidden (476173******0010), or its reference", ErrCard)
	case 1:
		return found[0], nil
	default:
		return issuer.Known{}, fmt.Errorf("%w: %d cards are meant; name its reference, as the list has it", ErrCard, len(found))
	}
}

// Instruct owes a card a command, from its next payment on.
func (o *Operator) Instruct(ctx context.Context, in issuer.Instruction) (s ledger.Script, err error) {
	err = o.ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		s, err = o.issuer.Instruct(ctx, tx, in)
		return err
	})
	return s, err
}

// Script is a command for a card, for people.
type Script struct {
	ledger.Script
	// Masked is the card's number with the middle hidden; empty for a card that
	// the issuer does not know any more.
	Masked string
}

// Scripts returns the commands for a card, by its reference, or for all.
func (o *Operator) Scripts(ctx context.Context, ref string) (all []Script, err error) {
	err = o.ledger.View(ctx, func(tx ledger.Tx) error {
		all = nil
		return tx.EachScript(ref, func(s ledger.Script) error {
			k, _ := o.issuer.Card(s.Card)
			s.Data = nil
			all = append(all, Script{s, k.Masked})
			return nil
		})
	})
	return all, err
}
