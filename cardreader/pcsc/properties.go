package pcsc

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
)

// Numbers of PC/SC part 10: a feature (2.3), and a property of the list that the
// feature gives (2.6.14).
const (
	featureTLVProperties   = 0x12
	propertyMaxAPDUData    = 0x0A
	longestShortData       = 256
	longestShortCommandLen = 4 + 1 + 255 + 1
)

// features reads the control codes of the features that a reader has: a list of
// tag, length 4 and code, big endian.
func features(b []byte) map[byte]uint32 {
	out := map[byte]uint32{}
	for len(b) >= 6 && b[1] == 4 {
		out[b[0]] = binary.BigEndian.Uint32(b[2:6])
		b = b[6:]
	}
	return out
}

// property finds one in the list of tag, length and value.
func property(b []byte, tag byte) []byte {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == tag {
			return b[2 : 2+int(b[1])]
		}
		b = b[2+int(b[1]):]
	}
	return nil
}

// maxData asks the reader for the longest data of an APDU, 0 when it does not
// say.
func maxData(h handle) int {
	b, err := h.control(featureRequest, nil)
	if err != nil {
		return 0
	}
	code, ok := features(b)[featureTLVProperties]
	if !ok {
		return 0
	}
	if b, err = h.control(code, nil); err != nil {
		return 0
	}
	v := property(b, propertyMaxAPDUData)
	if len(v) != 4 {
		return 0
	}
	// A reader without extended length says 0, which is that of short ones.
	return max(longestShortData, int(binary.LittleEndian.Uint32(v)))
}

// checkLength refuses a command of extended length to a reader that says it has
// none: some drop the connection instead of an error.
func (c *Card) checkLength(ctx context.Context, command []byte) error {
	if len(command) <= longestShortCommandLen && (len(command) < 7 || command[4] != 0) {
		return nil
	}
	var refused bool
	_, err := c.do(ctx, "asking the reader for its properties", func(h handle) ([]byte, error) {
		if c.maxData == nil {
			n := maxData(h)
			c.maxData = &n
		}
		// No error here: nothing is wrong with the card, which Close is to reset.
		refused = *c.maxData > 0 && *c.maxData <= longestShortData
		return nil, nil
	})
	if err == nil && refused {
		err = fmt.Errorf("pcsc: transmitting: %w: the reader %q has no extended length", cardreader.ErrProtocol, c.reader)
	}
	return err
}

// UID returns the identifier of a contactless card by the reader's own command
// (PC/SC part 3, 3.2.2.1.3): the UID of type A, the PUPI of type B. It is drawn
// anew by many phones. Errors: ErrProtocol for a contact card, or a reader that
// does not tell, and those of Transmit.
func (c *Card) UID(ctx context.Context) ([]byte, error) {
	if !c.pseudo {
		return nil, fmt.Errorf("pcsc: UID: %w: a contact card has none", cardreader.ErrProtocol)
	}
	b, err := c.Transmit(ctx, []byte{0xFF, 0xCA, 0x00, 0x00, 0x00})
	if err != nil {
		return nil, err
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return nil, fmt.Errorf("pcsc: UID: %w: %w", cardreader.ErrProtocol, err)
	}
	if !r.SW.OK() || len(r.Data) == 0 {
		return nil, fmt.Errorf("pcsc: UID: %w: the reader answers %v", cardreader.ErrProtocol, r.SW)
	}
	return slices.Clone(r.Data), nil
}
