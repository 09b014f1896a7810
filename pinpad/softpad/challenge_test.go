package softpad

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/pinpad"
)

// refusing is a card that answers every command with the same.
type refusing struct {
	card
	answer []byte
	sent   []byte
}

func (c *refusing) Transmit(_ context.Context, b []byte) ([]byte, error) {
	c.sent = append(c.sent, b[1])
	return bytes.Clone(c.answer), nil
}

// TestNoChallenge: without eight bytes from GET CHALLENGE no PIN is enciphered,
// and none is sent (EMV 4.4 Book 2, 7.2).
func TestNoChallenge(t *testing.T) {
	key := &oda.PublicKey{Modulus: bytes.Repeat([]byte{0xFF}, 128), Exponent: []byte{3}}
	for name, answer := range map[string][]byte{
		"not supported": {0x6D, 0x00},
		"seven bytes":   {1, 2, 3, 4, 5, 6, 7, 0x90, 0x00},
		"nine bytes":    {1, 2, 3, 4, 5, 6, 7, 8, 9, 0x90, 0x00},
		"a warning":     {1, 2, 3, 4, 5, 6, 7, 8, 0x62, 0x81},
	} {
		p, err := New(Config{Panel: &script{keys: "1234E"}})
		if err != nil {
			t.Fatal(err)
		}
		c := &refusing{answer: answer}
		if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, c, key); !errors.Is(err, oda.ErrFailed) || !bytes.Equal(c.sent, []byte{0x84}) {
			t.Errorf("%s: error %v, sent %X", name, err, c.sent)
		}
	}
}
