package keyblock

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// TestWrapReproduces makes published blocks again, character for character, from
// header, key and the padding that lies in them.
func TestWrapReproduces(t *testing.T) {
	for _, k := range []known{
		{KeyBlock: "E0084B0TV16N0000B2AE5E26BBA7F246E84D5EA24167E208A6B66EF2E27E55A52DB52F0AEACB94C57547", KBPK: "3235362D62697420414553207772617070696E67202849534F20323030333829"},
		{KeyBlock: "D0144P0AE00E00002C77FA3F4A553BED6E88AE5C172A4166E3D4ACA8E2AC71C158A476FAC12C13C3829DE55D3AB54C48F4C4FEF7AC75E90FC47F1B77E7B19A73ED46E64410082557", KBPK: "88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6"},
		{KeyBlock: "D0144D0AN00N0000127862F945C2DED04530FAF7CDBC8B0BA10C7AA79BD5E0C2C5D6AC173BF588E4B19ACF1357178D50EA0AB193228E13958304FC6149632DFDCADF3A5B3D57E814", KBPK: "4141414141414141414141414141414141414141414141414141414141414141"},
		{KeyBlock: "D0112B0TN00N000037DB9B046B7B0048785690759580ABC3B9842AB4BB7717B49E92528E575785D8123559376A2553B27BE94F054F4E971C", KBPK: "4141414141414141414141414141414141414141414141414141414141414141"},
		{KeyBlock: "B0120B0TX12S0100KS1800604B120F929280000015CEB14B76D551F21EC43A75390FA118A98C6CB049E3B9E864A5F4A8B9A5108A6DB5635C95B042D7", KBPK: "1D22BF32387C600AD97F9B97A51311AC"},
		{KeyBlock: "B0096M3TC00E0000D578DACC2286C7D10F20DEA88799CA8A2F44E0CC21226A2158D5DC8FD5C78E621327DA956C678808", KBPK: "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB"},
		{KeyBlock: "B0096M3TC00E0000C7C6FE86A5DE769C20DCA238C52341378B484D544A9764D43963C3B2824AE56C2D07A565DD3AB342", KBPK: "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCC"},
	} {
		t.Run(k.KeyBlock[:8], func(t *testing.T) {
			kbpk := unhex(t, k.KBPK)
			h, key, err := Unwrap(kbpk, k.KeyBlock)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Wrap(kbpk, h, key, bytes.NewReader(padding(t, kbpk, k.KeyBlock, key)))
			if err != nil || got != k.KeyBlock {
				t.Errorf("%s, want %s: %v", got, k.KeyBlock, err)
			}
		})
	}
}

// padding deciphers what lies behind the key of a block.
func padding(t *testing.T, kbpk secret.Bytes, block string, key secret.Bytes) []byte {
	t.Helper()
	h, at, err := parse(block)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProtection(h.Version, kbpk)
	if err != nil {
		t.Fatal(err)
	}
	body, err := hex.DecodeString(block[at:])
	if err != nil {
		t.Fatal(err)
	}
	n := len(body) - p.macLen
	payload, ok := p.open([]byte(block[:at]), body[:n], body[n:])
	if !ok {
		t.Fatal("the block does not verify")
	}
	return payload[2+key.Len():]
}
