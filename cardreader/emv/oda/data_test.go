package oda_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/oda"
)

func TestDDA(t *testing.T) {
	k := chainKeys()[2]
	un := []byte{0x8B, 0x55, 0x63, 0x3B}
	for n := 2; n <= 8; n++ {
		number := bytes.Repeat([]byte{byte(n)}, n)
		block, err := oda.BuildDDA(number, un, k.len())
		if err != nil {
			t.Fatal(err)
		}
		got, err := oda.VerifyDDA(k.public(), k.sign(block), un)
		if err != nil || !bytes.Equal(got, number) {
			t.Errorf("number of %d bytes: %X, %v", n, got, err)
		}
	}
	for _, n := range []int{0, 1, 9} {
		if _, err := oda.BuildDDA(make([]byte, n), un, k.len()); !errors.Is(err, oda.ErrBuild) {
			t.Errorf("number of %d bytes: %v", n, err)
		}
	}
}

// Dynamic data whose inner lengths lie.
func TestDynamicLengths(t *testing.T) {
	k := chainKeys()[2]
	for _, c := range []struct {
		name   string
		change func(block []byte)
		reason string
	}{
		{"hash algorithm", func(b []byte) { b[2] = 3 }, "hash algorithm 03"},
		{"no dynamic data", func(b []byte) { b[3] = 0 }, "no dynamic data"},
		{"longer than the block", func(b []byte) { b[3] = byte(k.len() - 24) }, "does not fit"},
		{"255 bytes", func(b []byte) { b[3] = 255 }, "does not fit"},
		{"number of 1 byte", func(b []byte) { b[4] = 1 }, "dynamic number of 1"},
		{"number of 9 bytes", func(b []byte) { b[4] = 9 }, "dynamic number of 9"},
		{"number cut off", func(b []byte) { b[3] = 5 }, "dynamic number of 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			block, err := oda.BuildDDA(make([]byte, 8), nil, k.len())
			if err != nil {
				t.Fatal(err)
			}
			c.change(block)
			oda.Rehash(block)
			_, err = oda.VerifyDDA(k.public(), k.sign(block), nil)
			failsWith(t, err, oda.StepDynamic, c.reason)
		})
	}
	// The longest dynamic data that fit.
	block, err := oda.BuildDDA(make([]byte, 8), nil, k.len())
	if err != nil {
		t.Fatal(err)
	}
	block[3] = byte(k.len() - 25)
	oda.Rehash(block)
	if _, err := oda.VerifyDDA(k.public(), k.sign(block), nil); err != nil {
		t.Errorf("dynamic data to the last byte: %v", err)
	}
}

func TestCDA(t *testing.T) {
	k := chainKeys()[2]
	un, transaction := []byte{1, 2, 3, 4}, oda.TransactionData([]byte("P"), []byte("C1"), []byte("C2"), []byte("R"))
	if string(transaction) != "PC1C2R" {
		t.Errorf("transaction data %q", transaction)
	}
	ac := [8]byte{0x55, 0xB6, 0x40, 0x8D, 0xBC, 0x98, 0x51, 0x31}
	block, err := oda.BuildCDA([]byte{1, 2, 3}, 0x40, ac, transaction, un, k.len())
	if err != nil {
		t.Fatal(err)
	}
	got, err := oda.VerifyCDA(k.public(), k.sign(block), un, transaction)
	if err != nil {
		t.Fatal(err)
	}
	want := oda.Combined{Number: []byte{1, 2, 3}, CID: 0x40, Cryptogram: ac, Hash: got.Hash}
	if d := cmp.Diff(want, got); d != "" || got.Hash == [20]byte{} {
		t.Errorf("(-want +got)\n%s", d)
	}
	// A plain dynamic signature is no combined one.
	plain, err := oda.BuildDDA([]byte{1, 2, 3}, un, k.len())
	if err != nil {
		t.Fatal(err)
	}
	_, err = oda.VerifyCDA(k.public(), k.sign(plain), un, transaction)
	failsWith(t, err, oda.StepDynamic, "cut off after 4 bytes")
	if _, err := oda.BuildCDA([]byte{1, 2}, 0, ac, nil, nil, 50); !errors.Is(err, oda.ErrBuild) {
		t.Errorf("in a key of 50 bytes: %v", err)
	}
}

func TestStaticData(t *testing.T) {
	aip := [2]byte{0x5C, 0x00}
	rec := func(sfi byte, b ...byte) oda.Record { return oda.Record{SFI: sfi, Data: b} }
	long := append([]byte{0x70, 0x81, 0x80}, make([]byte, 128)...)
	for _, c := range []struct {
		name    string
		records []oda.Record
		list    []byte
		want    []byte
		reason  string
	}{
		{"nothing", nil, nil, nil, ""},
		{"template without its header", []oda.Record{rec(1, 0x70, 2, 0x5A, 0)}, nil, []byte{0x5A, 0}, ""},
		{"two in order, AIP", []oda.Record{rec(2, 0x70, 2, 0x5A, 0), rec(1, 0x70, 2, 0x57, 0)}, []byte{0x82}, []byte{0x5A, 0, 0x57, 0, 0x5C, 0}, ""},
		{"long length", []oda.Record{{SFI: 10, Data: long}}, nil, make([]byte, 128), ""},
		{"file 11 whole", []oda.Record{rec(11, 0x70, 2, 0x5A, 0)}, nil, []byte{0x70, 2, 0x5A, 0}, ""},
		{"file 30, what is in the template is its owner's", []oda.Record{rec(30, 0x70, 3, 1, 1, 0xFF)}, nil, []byte{0x70, 3, 1, 1, 0xFF}, ""},
		{"file 30, no TLV", []oda.Record{rec(30, 1, 2, 3)}, nil, nil, "record 1, of file 30, is no template 70"},
		{"file 12, no template", []oda.Record{rec(2, 0x70, 0), rec(12, 0xFF)}, nil, nil, "record 2, of file 12, is no template 70"},
		{"file 0", []oda.Record{rec(0, 0x70, 0)}, nil, nil, "file 0"},
		{"file 31", []oda.Record{rec(31, 0x70, 0)}, nil, nil, "file 31"},
		{"no template", []oda.Record{rec(1, 0x5A, 0)}, nil, nil, "no template 70"},
		{"bytes behind", []oda.Record{rec(1, 0x70, 0, 0)}, nil, nil, "no template 70"},
		{"bytes before", []oda.Record{rec(1, 0, 0x70, 0)}, nil, nil, "no template 70"},
		{"two templates", []oda.Record{rec(1, 0x70, 0, 0x70, 0)}, nil, nil, "no template 70"},
		{"cut off", []oda.Record{rec(1, 0x70, 3, 0x5A, 0)}, nil, nil, "no template 70"},
		{"empty record", []oda.Record{rec(1)}, nil, nil, "no template 70"},
		{"list with another tag", nil, []byte{0x82, 0x5A}, nil, "the AIP"},
		{"list of the AIP twice", nil, []byte{0x82, 0x82}, nil, "the AIP"},
		{"empty list", nil, []byte{}, nil, "the AIP"},
		{"broken list", nil, []byte{0x9F}, nil, "the AIP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := oda.StaticData(c.records, c.list, aip)
			if c.reason != "" {
				failsWith(t, err, oda.StepRecords, c.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestFDDAData(t *testing.T) {
	un, amount, currency := [4]byte{1, 2, 3, 4}, [6]byte{0, 0, 0, 0, 0x10, 0}, [2]byte{0x09, 0x78}
	got, err := oda.FDDAData(un, amount, currency, nil)
	if err != nil || !bytes.Equal(got, un[:]) {
		t.Errorf("version 00: %X, %v", got, err)
	}
	got, err = oda.FDDAData(un, amount, currency, []byte{1, 0xAA, 0xBB, 0xCC, 0xDD, 0x80, 0})
	if err != nil || !bytes.Equal(got, unhex(t, "01020304"+"000000001000"+"0978"+"01AABBCCDD8000")) {
		t.Errorf("version 01: %X, %v", got, err)
	}
	for _, bad := range [][]byte{{2, 0, 0, 0, 0}, {1, 0, 0, 0}, make([]byte, 17)} {
		_, err = oda.FDDAData(un, amount, currency, bad)
		failsWith(t, err, oda.StepDynamic, "fDDA")
	}
}

func TestBuildErrors(t *testing.T) {
	k := chainKeys()
	pub := k[1].public()
	pan := panOf(t, chainPAN)
	for name, err := range map[string]error{
		"identifier of 2 digits":   second(oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: "12", Key: pub}, 100)),
		"identifier of 9 digits":   second(oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: "123456789", Key: pub}, 100)),
		"identifier with a letter": second(oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: "12345A", Key: pub}, 100)),
		"no key":                   second(oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: "123456"}, 100)),
		"key longer than signer":   second(oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: "123456", Key: pub}, k[1].len()-1)),
		"signer too short":         second(oda.BuildICCCertificate(oda.ICCCertificate{PAN: pan, Key: oda.PublicKey{Modulus: []byte{1}, Exponent: []byte{3}}}, 41, nil)),
		"no PAN":                   second(oda.BuildICCCertificate(oda.ICCCertificate{Key: pub}, 100, nil)),
	} {
		if !errors.Is(err, oda.ErrBuild) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := oda.BuildSDA([2]byte{}, nil, 25); !errors.Is(err, oda.ErrBuild) {
		t.Errorf("SDA in 25 bytes: %v", err)
	}
}

func second(_, _ []byte, err error) error { return err }
