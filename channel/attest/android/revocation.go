package android

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// Revocations knows certificates that were revoked. An error means that it could
// not be asked.
type Revocations interface {
	Revoked(ctx context.Context, serial *big.Int) (bool, error)
}

// ErrStatusList: a status list can't be read, or is too old to go by.
var ErrStatusList = errors.New("android: status list")

// StatusList is the list of certificates that Google publishes at
// https://android.googleapis.com/attestation/status. Whoever runs the server
// fetches it; this package opens no connections. It is safe for concurrent use.
type StatusList struct {
	entries map[string]struct{}
	fresh   func() bool
}

var _ Revocations = (*StatusList)(nil)

// maxStatusList bounds a list, in bytes.
const maxStatusList = 64 << 20

// ParseStatusList reads a list that was fetched at a time, and is to be gone by
// until it is maxAge old; now nil means time.Now. A certificate that has an entry
// does not count, whatever its status is called. Errors wrap ErrStatusList.
func ParseStatusList(r io.Reader, fetched time.Time, maxAge time.Duration, now func() time.Time) (*StatusList, error) {
	if now == nil {
		now = time.Now
	}
	b, err := io.ReadAll(io.LimitReader(r, maxStatusList+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatusList, err)
	}
	if len(b) > maxStatusList {
		return nil, fmt.Errorf("%w: over %d bytes", ErrStatusList, maxStatusList)
	}
	var list struct {
		Entries map[string]struct {
			Status string `json:"status"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(b, &list); err != nil || list.Entries == nil {
		return nil, fmt.Errorf("%w: no JSON object with entries", ErrStatusList)
	}
	s := &StatusList{entries: map[string]struct{}{}, fresh: func() bool {
		age := now().Sub(fetched)
		return age >= -time.Hour && age < maxAge
	}}
	for serial := range list.Entries {
		s.entries[serial] = struct{}{}
	}
	return s, nil
}

// Revoked implements Revocations. The list names serial numbers in lower case
// hex without leading zeros, older entries in decimal.
func (s *StatusList) Revoked(_ context.Context, serial *big.Int) (bool, error) {
	if !s.fresh() {
		return false, fmt.Errorf("%w: too old to go by", ErrStatusList)
	}
	_, hex := s.entries[serial.Text(16)]
	_, decimal := s.entries[serial.Text(10)]
	return hex || decimal, nil
}
