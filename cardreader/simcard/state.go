package simcard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// StateStore keeps what a card's memory keeps without power. A card calls it
// from one goroutine at a time.
type StateStore interface {
	// Load returns what Save was last given, nil for a card never used.
	Load() ([]byte, error)
	// Save returns when the state is kept. The card calls it before it answers
	// the command that changed something; on an error it answers 6581.
	Save(state []byte) error
}

// ErrState says that a stored state can't be this card's.
var ErrState = errors.New("simcard: stored state")

const stateVersion = 1

// state is the memory of a card; its JSON form is the state file.
type state struct {
	Version      int        `json:"simcard_state"`
	Profile      string     `json:"profile"`
	CardBlocked  bool       `json:"card_blocked"`
	PIN          string     `json:"pin"` // a published test PIN
	PINTries     int        `json:"pin_tries"`
	Applications []appState `json:"applications"`
}

// appState is the memory of one application.
type appState struct {
	ATC           uint16 `json:"atc"`
	LastOnlineATC uint16 `json:"last_online_atc"`
	Blocked       bool   `json:"blocked"`
	LowerLimit    byte   `json:"lower_limit"` // 9F14
	UpperLimit    byte   `json:"upper_limit"` // 9F23
	// OfflineLimit is 9F54 where the issuer has changed it.
	OfflineLimit *int64 `json:"offline_limit,omitempty"`
	// IssuerRecords are the issuer's own records, hex, where it has changed them.
	IssuerRecords map[byte]string `json:"issuer_records,omitempty"`
	// OfflineCount and OfflineAmount are the transactions approved offline
	// since the last one that was completed online.
	OfflineCount  int   `json:"offline_count"`
	OfflineAmount int64 `json:"offline_amount"`
	// What the CVR of the next transaction tells of the last one.
	OnlineIncomplete bool `json:"online_incomplete"`
	AuthFailed       bool `json:"issuer_auth_failed"`
	AuthMissing      bool `json:"issuer_auth_missing"`
	Scripts          int  `json:"scripts"`
	ScriptFailed     bool `json:"script_failed"`
	// Tap is what is remembered of a tap that went online.
	Tap *pendingTap `json:"tap,omitempty"`
	// Log holds the transaction log, hex, newest first (Book 3, Annex D).
	Log []string `json:"log,omitempty"`
}

func (c *Card) loadState() error {
	b, err := c.store.Load()
	if err != nil {
		return fmt.Errorf("simcard: loading the state: %w", err)
	}
	if len(b) == 0 {
		c.state, err = c.freshState()
		return err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %v", ErrState, err)
	}
	switch {
	case s.Version != stateVersion:
		return fmt.Errorf("%w: version %d, want %d", ErrState, s.Version, stateVersion)
	case s.Profile != c.profile.Name:
		return fmt.Errorf("%w: of profile %q, not %q", ErrState, s.Profile, c.profile.Name)
	case len(s.Applications) != len(c.apps):
		return fmt.Errorf("%w: %d applications, want %d", ErrState, len(s.Applications), len(c.apps))
	case s.PINTries < 0 || s.PINTries > pinTryLimit || !validPIN(s.PIN):
		return fmt.Errorf("%w: PIN", ErrState)
	}
	c.state = s
	return nil
}

// saveLocked reports whether the state is kept.
func (c *Card) saveLocked() bool {
	b, err := json.Marshal(c.state)
	return err == nil && c.store.Save(b) == nil
}

type memoryStore struct{ b []byte }

func (m *memoryStore) Load() ([]byte, error) { return m.b, nil }

func (m *memoryStore) Save(b []byte) error {
	m.b = append(m.b[:0], b...)
	return nil
}

type fileStore struct{ path string }

// FileState keeps the state in a file of JSON, replaced as a whole on each
// change. The file need not exist.
func FileState(path string) StateStore { return fileStore{path} }

func (f fileStore) Load() ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (f fileStore) Save(b []byte) error {
	t, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	_, err = t.Write(append(b, '\n'))
	if e := t.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(t.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(t.Name())
	}
	return err
}
