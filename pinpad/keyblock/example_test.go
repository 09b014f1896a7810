package keyblock_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/keyblock"
)

// A PIN key that came in a block encrypts PINs, and makes no MAC.
func ExampleOpen() {
	b, err := hex.DecodeString("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6")
	if err != nil {
		log.Fatal(err)
	}
	kbpk, err := keyblock.NewKey(keyblock.Header{Version: 'D', Usage: "K1", Algorithm: 'A', Mode: 'D', KeyVersion: "00", Exportability: 'N'}, secret.NewBytes(b))
	if err != nil {
		log.Fatal(err)
	}
	defer kbpk.Wipe()
	key, err := keyblock.Open(kbpk, "D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D207E2E417C07156A27E8E31DA05F7425509593D03A457DC34")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Wipe()
	kcv, err := key.KCV()
	if err != nil {
		log.Fatal(err)
	}
	pan, err := secret.NewPAN([]byte("4111111111111111"))
	if err != nil {
		log.Fatal(err)
	}
	block, err := key.EncryptPIN(4, secret.CopyBytes([]byte("1234")), pan, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("check value %X, PIN block of %d bytes\n", kcv, len(block))
	_, err = key.MAC([]byte("a message"), 0)
	fmt.Println(err)
	// Output:
	// check value 08793E25AB, PIN block of 16 bytes
	// keyblock: not what the key may be used for: to generate MAC, a key of usage P0, algorithm A, mode E: usage and mode do not allow it
}
