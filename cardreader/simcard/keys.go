package simcard

import (
	"errors"

	"github.com/payunit/payunit/cardreader/apdu"
)

type cardKeys struct{}

func deriveKeys(k *PKI, s *Application) (cardKeys, error) { return cardKeys{}, nil }

func (k *cardKeys) ac(a *application, atc uint16, iad []byte, t transaction) (ac [8]byte, err error) {
	return ac, nil
}

func (k *cardKeys) verifyMAC(a *application, atc uint16, ac [8]byte, cmd apdu.Command, n int) (bool, error) {
	return false, nil
}

func (k *cardKeys) newPIN(a *application, atc uint16, ac [8]byte, p2 byte, data []byte, old string) (string, error) {
	return "", errors.New("x")
}

func (c *Card) authenticateIssuer(iad []byte, arc string) authResult { return authFailed }
