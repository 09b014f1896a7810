package c2

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Relay are a reader's numbers for the relay resistance protocol (Book C-2, 3.10
// and table 4.3). The zero value of each is the book's default. The protocol
// bounds how far away the card can be by time alone; a relay faster than the
// grace period is not noticed.
type Relay struct {
	// MinGrace and MaxGrace (DF8132, DF8133) widen the times that the card
	// states: 2 ms, 5 ms.
	MinGrace, MaxGrace time.Duration
	// CommandTime and ResponseTime (DF8134, DF8135) are how long the exchange
	// takes on the reader's radio: 1.8 ms, 2.4 ms.
	CommandTime, ResponseTime time.Duration
	// Accuracy (DF8136) is how far above the card's minimum a measurement may
	// be: 30 ms.
	Accuracy time.Duration
	// Mismatch (DF8137) is how far apart, in percent, the card's and the
	// reader's transmission times may be: 50.
	Mismatch int
}

// unit is what the protocol counts time in.
const unit = 100 * time.Microsecond

func (r Relay) defaults() Relay {
	def := func(d *time.Duration, units int) {
		if *d == 0 {
			*d = time.Duration(units) * unit
		}
	}
	def(&r.MinGrace, 0x0014)
	def(&r.MaxGrace, 0x0032)
	def(&r.CommandTime, 0x0012)
	def(&r.ResponseTime, 0x0018)
	def(&r.Accuracy, 0x012C)
	if r.Mismatch == 0 {
		r.Mismatch = 0x32
	}
	return r
}

// maxRelayTries is how often a slow exchange is made again (SR1.25).
const maxRelayTries = 2

// insRelay is EXCHANGE RELAY RESISTANCE DATA (Book C-2, 5.3).
const insRelay = 0xEA

// measurement is one exchange of the protocol.
type measurement struct {
	// terminal is the entropy that was sent, device, minimum, maximum and
	// transmission what came back, in the card's coding.
	terminal, device                [4]byte
	minimum, maximum, transmission  uint16
	measured                        uint16
	rawMin, rawMax, rawTransmission [2]byte
}

// resistRelay measures how long the card takes for an exchange that a relay would
// lengthen (S3R1, SR1).
func (t *transaction) resistRelay(ctx context.Context) error {
	if t.k.c.Relay == nil || t.aip[1]&aipRelay == 0 {
		t.d.TVR.Set(tvrRelayNotPerformed)
		return nil
	}
	c := t.k.c.Relay.defaults()
	for try := 0; ; try++ {
		m, err := t.measure(ctx, c)
		if err != nil {
			return err
		}
		t.relay = m
		t.d.Set(tags.RelayCounter, []byte{byte(try)})
		if int(m.measured) < int(m.minimum)-units(c.MinGrace) {
			// Faster than the card says that it can be.
			return &emv.CardError{Step: emv.StepInitiate, Tag: tags.RelayMinTime, Reason: "the card answered sooner than it can"}
		}
		if int(m.measured) <= int(m.maximum)+units(c.MaxGrace) {
			break
		}
		if try == maxRelayTries {
			t.d.TVR.Set(tvrRelayTimeLimits)
			t.because("the card took longer than it says: it may be far away")
			break
		}
		un := make([]byte, 4)
		if _, err := io.ReadFull(t.a.Config.Rand, un); err != nil {
			return fmt.Errorf("c2: relay resistance entropy: %w", err)
		}
		t.d.Set(tags.UnpredictableNumber, un)
	}
	t.d.TVR.Set(tvrRelayPerformed)
	if t.relay.suspicious(c) {
		t.d.TVR.Set(tvrRelayThreshold)
	}
	t.a.Tell(emv.StepInitiate, "relay resistance: %s, the card says %s to %s", time.Duration(t.relay.measured)*unit,
		time.Duration(t.relay.minimum)*unit, time.Duration(t.relay.maximum)*unit)
	return nil
}

// suspicious reports whether the times disagree beyond the thresholds (SR1.28).
func (m *measurement) suspicious(c Relay) bool {
	card, reader := int(m.transmission), units(c.ResponseTime)
	if card != 0 && reader != 0 && (card*100/reader < c.Mismatch || reader*100/card < c.Mismatch) {
		return true
	}
	return max(0, int(m.measured)-int(m.minimum)) > units(c.Accuracy)
}

// units rounds a time up to units of the protocol.
func units(d time.Duration) int { return int((d + unit - 1) / unit) }

// measure makes one exchange. The entropy is the unpredictable number, which the
// cryptogram covers too.
func (t *transaction) measure(ctx context.Context, c Relay) (*measurement, error) {
	un, _ := t.d.Value(tags.UnpredictableNumber)
	m := &measurement{terminal: [4]byte(un)}
	t.d.Set(tags.TerminalRelayEntropy, bytes.Clone(un))
	began := t.a.Config.Now()
	r, err := t.a.Send(ctx, emv.StepInitiate, "EXCHANGE RELAY RESISTANCE DATA", apdu.Command{CLA: 0x80, INS: insRelay, Data: un, Ne: 256})
	took := t.a.Config.Now().Sub(began)
	if err != nil {
		return nil, err
	}
	if !r.SW.OK() {
		return nil, &emv.StatusError{Step: emv.StepInitiate, Command: "EXCHANGE RELAY RESISTANCE DATA", SW: r.SW}
	}
	list, err := tlv.Parse(r.Data)
	if err != nil || len(list) != 1 || list[0].Tag != tags.ResponseFormat1 || len(list[0].Value) != 10 {
		return nil, &emv.CardError{Step: emv.StepInitiate, Reason: "the relay resistance data are not ten bytes in format 1", Err: err}
	}
	v := list[0].Value
	m.device = [4]byte(v[:4])
	m.rawMin, m.rawMax, m.rawTransmission = [2]byte(v[4:6]), [2]byte(v[6:8]), [2]byte(v[8:10])
	m.minimum, m.maximum, m.transmission = binary.BigEndian.Uint16(v[4:]), binary.BigEndian.Uint16(v[6:]), binary.BigEndian.Uint16(v[8:])
	// SR1.18: what the radio itself takes is not the card's time.
	air := units(c.CommandTime) + min(int(m.transmission), units(c.ResponseTime))
	m.measured = uint16(min(max(int(took/unit)-air, 0), 0xFFFF))
	for tag, b := range map[tlv.Tag][]byte{tags.DeviceRelayEntropy: v[:4], tags.RelayMinTime: v[4:6], tags.RelayMaxTime: v[6:8], tags.RelayDeviceTransmission: v[8:10]} {
		t.d.Replace(tag, b)
	}
	t.d.Set(tags.RelayMeasured, binary.BigEndian.AppendUint16(nil, m.measured))
	return m, nil
}

// signedRelay is what a combined signature ends with when the protocol was
// carried out (Book C-2, table 6.2).
func (m *measurement) signedRelay() []byte {
	b := append(m.terminal[:len(m.terminal):len(m.terminal)], m.device[:]...)
	b = append(b, m.rawMin[:]...)
	b = append(b, m.rawMax[:]...)
	return append(b, m.rawTransmission[:]...)
}
