package sqlledger

import (
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
)

const sqliteScripts = `CREATE TABLE scripts (
		number INTEGER PRIMARY KEY,
		card TEXT NOT NULL,
		command TEXT NOT NULL,
		data BLOB NOT NULL,
		early INTEGER NOT NULL,
		state TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		atc INTEGER NOT NULL,
		sent INTEGER NOT NULL,
		refused INTEGER NOT NULL,
		result INTEGER NOT NULL,
		created INTEGER NOT NULL,
		changed INTEGER NOT NULL
	)`

const postgresScripts = `CREATE TABLE scripts (
		number BIGINT PRIMARY KEY,
		card TEXT COLLATE "C" NOT NULL,
		command TEXT NOT NULL,
		data BYTEA NOT NULL,
		early BIGINT NOT NULL,
		state TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		atc BIGINT NOT NULL,
		sent BIGINT NOT NULL,
		refused BIGINT NOT NULL,
		result BIGINT NOT NULL,
		created BIGINT NOT NULL,
		changed BIGINT NOT NULL
	)`

const scriptsByCard = `CREATE INDEX scripts_by_card ON scripts (card, number)`

const scriptColumns = "number, card, command, data, early, state, authorisation, atc, sent, refused, result, created, changed"

var putScript = upsert("scripts", scriptColumns, "number")

func scanScript(scan func(...any) error) (ledger.Script, error) {
	var s ledger.Script
	var number, created, changed int64
	var auth string
	err := scan(&number, &s.Card, &s.Command, &s.Data, &s.Early, &s.State, &auth, &s.ATC, &s.Sent, &s.Refused, &s.Result, &created, &changed)
	if err != nil {
		return s, err
	}
	s.Number, s.Data, s.Created, s.Changed = uint64(number), bytesOf(s.Data), moment(created), moment(changed)
	if s.Authorisation, err = ledger.ParseKey(auth); err != nil {
		return s, fmt.Errorf("sqlledger: script: %w", err)
	}
	return s, nil
}

// Script returns a script by its number, or ErrNotFound.
func (t *tx) Script(number uint64) (ledger.Script, error) {
	var s ledger.Script
	err := t.one("script", "SELECT "+scriptColumns+" FROM scripts WHERE number = ?", []any{int64(number)}, func(scan func(...any) error) (err error) {
		s, err = scanScript(scan)
		return err
	})
	return s, err
}

// PutScript writes a script.
func (t *tx) PutScript(s ledger.Script) error {
	if err := s.Check(); err != nil {
		return err
	}
	return t.exec("writing a script", putScript, int64(s.Number), s.Card, s.Command, blob(s.Data), whole(s.Early), string(s.State), s.Authorisation.String(),
		int64(s.ATC), s.Sent, s.Refused, int64(s.Result), micros(s.Created), micros(s.Changed))
}

// EachScript walks over a card's scripts, or over all.
func (t *tx) EachScript(card string, fn func(ledger.Script) error) error {
	where, args := "", []any(nil)
	if card != "" {
		where, args = " WHERE card = ?", []any{card}
	}
	return t.each("reading scripts", "SELECT "+scriptColumns+" FROM scripts"+where+" ORDER BY number", args, func(scan func(...any) error) error {
		s, err := scanScript(scan)
		if err != nil {
			return err
		}
		return fn(s)
	})
}
