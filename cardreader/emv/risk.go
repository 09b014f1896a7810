package emv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/emv/tags"
)

// manageRisk is terminal risk management (Book 3, 10.6). Version 4.4 has it done
// whether the card's AIP asks for it or not.
func (s *Session) manageRisk(ctx context.Context) error {
	if s.t.ForceOnline {
		s.tvr.Set(tags.TVRMerchantForcedOnline)
	}
	if x := s.k.c.Exceptions; x != nil && x.Listed(s.pan, s.psn()) {
		s.tvr.Set(tags.TVRExceptionFile)
		s.because(StepRisk, "the card is on the exception file")
	}
	if err := s.floorLimit(); err != nil {
		return err
	}
	if err := s.velocity(ctx); err != nil {
		return err
	}
	s.tsi.Set(tags.TSIRiskPerformed)
	s.tell(StepRisk, "TVR %s", s.tvr)
	return nil
}

// floorLimit checks the floor limit, counting what was approved for the card
// already, and selects at random below it (10.6.1, 10.6.2).
func (s *Session) floorLimit() error {
	amount := s.t.Amount.Minor
	if l := s.k.c.Log; l != nil {
		sum, err := s.t.Amount.Add(s.recent(l))
		if err != nil {
			return fmt.Errorf("emv: %s: %w", StepRisk, err)
		}
		amount = sum.Minor
	}
	floor, r := s.app.FloorLimit, s.app.Random
	if uint64(max(amount, 0)) >= floor {
		s.tvr.Set(tags.TVRFloorLimitExceeded)
		return nil
	}
	// Only a terminal that may approve offline and can go online selects.
	if kind := s.k.c.Terminal.Type; r.TargetPercent == 0 && r.MaxTargetPercent == 0 || kind.OnlineOnly() || kind.OfflineOnly() {
		return nil
	}
	// A number from 1 to 99, all as likely.
	n, err := below(s.k.c.Rand, 99)
	if err != nil {
		return err
	}
	if n+1 <= percent(uint64(s.t.Amount.Minor), floor, r) {
		s.tvr.Set(tags.TVRRandomlySelected)
		s.tell(StepRisk, "selected at random for online processing")
	}
	return nil
}

// percent is the chance of being selected: the target below the threshold,
// rising to the maximum towards the floor limit (10.6.2).
func percent(amount, floor uint64, r RandomSelection) int {
	if amount < r.Threshold {
		return r.TargetPercent
	}
	span := floor - r.Threshold
	if span == 0 {
		return r.MaxTargetPercent
	}
	// Amounts have at most 12 digits: nothing overflows.
	return r.TargetPercent + int(uint64(r.MaxTargetPercent-r.TargetPercent)*(amount-r.Threshold)/span)
}

// velocity checks how long the card has been offline (10.6.3).
func (s *Session) velocity(ctx context.Context) error {
	lower, upper := s.get(tags.LowerConsecutiveOfflineLimit), s.get(tags.UpperConsecutiveOfflineLimit)
	if len(lower) != 1 || len(upper) != 1 {
		return nil
	}
	atc, err := s.getData(ctx, StepRisk, tags.ATC, "ATC")
	if err != nil {
		return err
	}
	last, err := s.getData(ctx, StepRisk, tags.LastOnlineATC, "last online ATC")
	if err != nil {
		return err
	}
	missing := len(atc) != 2 || len(last) != 2
	if missing {
		// Table 35 of 7.5.
		s.tvr.Set(tags.TVRICCDataMissing)
	}
	if len(last) == 2 && binary.BigEndian.Uint16(last) == 0 {
		s.tvr.Set(tags.TVRNewCard)
	}
	if missing || binary.BigEndian.Uint16(atc) <= binary.BigEndian.Uint16(last) {
		s.tvr.Set(tags.TVRLowerConsecutiveLimit)
		s.tvr.Set(tags.TVRUpperConsecutiveLimit)
		return nil
	}
	offline := binary.BigEndian.Uint16(atc) - binary.BigEndian.Uint16(last)
	if offline <= uint16(lower[0]) {
		return nil
	}
	// The upper limit is looked at only beyond the lower one.
	s.tvr.Set(tags.TVRLowerConsecutiveLimit)
	if offline > uint16(upper[0]) {
		s.tvr.Set(tags.TVRUpperConsecutiveLimit)
	}
	return nil
}

// below returns a uniform number under n, n at most 256.
func below(random io.Reader, n int) (int, error) {
	if n < 1 || n > 256 {
		return 0, errors.New("emv: random selection out of range")
	}
	limit := 256 - 256%n
	var b [1]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("emv: randomness: %w", err)
		}
		if int(b[0]) < limit {
			return int(b[0]) % n, nil
		}
	}
}
