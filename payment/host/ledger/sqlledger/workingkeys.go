package sqlledger

import "github.com/payunit/payunit/payment/host/ledger"

const sqliteWorkingKeys = `CREATE TABLE working_keys (
		zone TEXT NOT NULL,
		usage TEXT NOT NULL,
		number INTEGER NOT NULL,
		block TEXT NOT NULL,
		created INTEGER NOT NULL,
		until INTEGER NOT NULL,
		PRIMARY KEY (zone, usage, number)
	) WITHOUT ROWID`

const postgresWorkingKeys = `CREATE TABLE working_keys (
		zone TEXT COLLATE "C" NOT NULL,
		usage TEXT COLLATE "C" NOT NULL,
		number BIGINT NOT NULL,
		block TEXT NOT NULL,
		created BIGINT NOT NULL,
		until BIGINT NOT NULL,
		PRIMARY KEY (zone, usage, number)
	)`

const workingKeyColumns = "zone, usage, number, block, created, until"

var putWorkingKey = upsert("working_keys", workingKeyColumns, "zone, usage, number")

// PutWorkingKey writes a key.
func (t *tx) PutWorkingKey(k ledger.WorkingKey) error {
	if err := k.Check(); err != nil {
		return err
	}
	return t.exec("writing a working key", putWorkingKey, k.Zone, k.Usage, int64(k.Number), k.Block, micros(k.Created), micros(k.Until))
}

// DeleteWorkingKey removes a key.
func (t *tx) DeleteWorkingKey(zone, usage string, number uint64) error {
	return t.exec("removing a working key", "DELETE FROM working_keys WHERE zone = ? AND usage = ? AND number = ?", zone, usage, int64(number))
}

// EachWorkingKey walks over a zone's keys.
func (t *tx) EachWorkingKey(zone string, fn func(ledger.WorkingKey) error) error {
	return t.each("reading working keys", "SELECT "+workingKeyColumns+" FROM working_keys WHERE zone = ? ORDER BY usage, number", []any{zone},
		func(scan func(...any) error) error {
			var k ledger.WorkingKey
			var number, created, until int64
			if err := scan(&k.Zone, &k.Usage, &number, &k.Block, &created, &until); err != nil {
				return err
			}
			k.Number, k.Created, k.Until = uint64(number), moment(created), moment(until)
			return fn(k)
		})
}
