package keyblock

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"strings"
)

// CheckMethod says how a key check value is made (X9.143, 6.3.6.7; X9.24-1:2017,
// annex A).
type CheckMethod byte

// The methods: a block of zeros enciphered, or its CMAC.
const (
	CheckZeros CheckMethod = 0
	CheckCMAC  CheckMethod = 1
)

// CheckValue makes the data of KC, the check value of the wrapped key, of KP, that
// of the protection key, or of PK, that of the key for export.
func CheckValue(id string, m CheckMethod, value []byte) Block {
	return Block{ID: id, Data: fmt.Sprintf("%02X%X", byte(m), value)}
}

// CheckValue returns what a header says of a check value: id is "KC", "KP" or
// "PK". Errors wrap ErrFormat, also when the header has none.
func (h Header) CheckValue(id string) (CheckMethod, []byte, error) {
	data, ok := h.Find(id)
	if !ok {
		return 0, nil, fmt.Errorf("%w: no optional block %s", ErrFormat, id)
	}
	return parseCheckValue(data)
}

func parseCheckValue(s string) (CheckMethod, []byte, error) {
	if !isHex(s) || len(s) < 4 || len(s) > 2+2*16 || s[:2] != "00" && s[:2] != "01" {
		return 0, nil, fmt.Errorf("%w: key check value", ErrFormat)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: key check value", ErrFormat)
	}
	return CheckMethod(b[0]), b[1:], nil
}

// InitialKeyID makes the block that names an initial DUKPT key: IK for the 8 bytes
// of AES DUKPT, KS for the 10 bytes of a key serial number of TDES DUKPT.
func InitialKeyID(id []byte) Block {
	name := "KS"
	if len(id) == 8 {
		name = "IK"
	}
	return Block{ID: name, Data: strings.ToUpper(hex.EncodeToString(id))}
}

// InitialKeyID returns the id that IK or KS gives, 8 bytes or as many as KS has.
func (h Header) InitialKeyID() (id []byte, ok bool) {
	for _, name := range []string{"IK", "KS"} {
		if data, found := h.Find(name); found {
			b, err := hex.DecodeString(data)
			return b, err == nil
		}
	}
	return nil, false
}

// HashOf returns the hash of an HMAC key that HM names (X9.143, 6.3.6.5).
func (h Header) HashOf() (crypto.Hash, bool) {
	data, ok := h.Find("HM")
	if !ok {
		return 0, false
	}
	return hashOf(data)
}

func hashOf(code string) (crypto.Hash, bool) {
	h, ok := map[string]crypto.Hash{
		"10": crypto.SHA1, "20": crypto.SHA224, "21": crypto.SHA256, "22": crypto.SHA384, "23": crypto.SHA512, "24": crypto.SHA512_224, "25": crypto.SHA512_256,
		"30": crypto.SHA3_224, "31": crypto.SHA3_256, "32": crypto.SHA3_384, "33": crypto.SHA3_512,
	}[code]
	// 40 and 41, SHAKE128 and SHAKE256, are no hashes for HMAC here.
	return h, ok
}
