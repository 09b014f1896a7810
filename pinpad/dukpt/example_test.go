package dukpt_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/dukpt"
)

// file stands for a store that is durable, such as a record of trusted.Storage.
type file struct{ state []byte }

func (f *file) Load(context.Context) ([]byte, error) { return f.state, nil }

func (f *file) Save(_ context.Context, state []byte) error {
	f.state = append([]byte(nil), state...)
	return nil
}

func key(s string) secret.Bytes {
	b, err := hex.DecodeString(s)
	if err != nil {
		log.Fatal(err)
	}
	return secret.NewBytes(b)
}

// A device encrypts a PIN, and the host, which knows the base derivation key
// alone, reads it by the key serial number.
func Example() {
	ctx := context.Background()
	host, err := dukpt.NewHost(dukpt.AES128, key("FEDCBA9876543210F1F1F1F1F1F1F1F1"))
	if err != nil {
		log.Fatal(err)
	}
	id, err := hex.DecodeString("1234567890123456")
	if err != nil {
		log.Fatal(err)
	}
	initial, err := host.InitialKey(id)
	if err != nil {
		log.Fatal(err)
	}
	device, err := dukpt.NewDevice(ctx, dukpt.AES128, initial, id, &file{})
	if err != nil {
		log.Fatal(err)
	}
	initial.Wipe()

	pan, err := secret.NewPAN([]byte("4111111111111111"))
	if err != nil {
		log.Fatal(err)
	}
	pin := secret.CopyBytes([]byte("1234"))
	defer pin.Wipe()
	k, err := device.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer k.Wipe()
	block, format, err := k.EncryptPIN(pin, pan, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("format %d, %d bytes, KSN %X\n", format, len(block), k.KSN())

	h, err := host.Transaction(k.KSN())
	if err != nil {
		log.Fatal(err)
	}
	defer h.Wipe()
	got, err := h.DecryptPIN(block, pan)
	if err != nil {
		log.Fatal(err)
	}
	defer got.Wipe()
	fmt.Println(got, got.Equal(pin))
	// Output:
	// format 4, 16 bytes, KSN 123456789012345600000001
	// [redacted] true
}

// Working keys of every usage and type come from a transaction's key.
func ExampleTransactionFrom() {
	ksn, err := hex.DecodeString("123456789012345600000001")
	if err != nil {
		log.Fatal(err)
	}
	t, err := dukpt.TransactionFrom(dukpt.AES128, key("1273671EA26AC29AFA4D1084127652A1"), ksn)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Wipe()
	k, err := t.WorkingKey(dukpt.PINEncryption, dukpt.KeyAES128)
	if err != nil {
		log.Fatal(err)
	}
	defer k.Wipe()
	fmt.Printf("%X\n", k.Reveal())
	_, err = t.WorkingKey(dukpt.PINEncryption, dukpt.KeyAES256)
	fmt.Println(err)
	// Output:
	// AF8CB133A78F8DC2D1359F18527593FB
	// dukpt: key: a key of type AES-256 is stronger than AES-128, from which it would come
}
