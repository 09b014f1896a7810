package apdu_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/apdu"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    apdu.Command
		want string
	}{
		{"case 1", apdu.Command{CLA: 0x00, INS: 0x20, P1: 0x01, P2: 0x80}, "00200180"},
		{"case 2", apdu.Command{INS: 0xB2, P1: 1, P2: 0x0C, Ne: 16}, "00B2010C10"},
		{"case 2, all", apdu.Command{INS: 0xB2, P1: 1, P2: 0x0C, Ne: 256}, "00B2010C00"},
		{"case 3", apdu.Command{INS: 0x82, Data: []byte{1, 2}}, "00820000020102"},
		{"case 4", apdu.Command{INS: 0xA4, P1: 4, Data: []byte{0xA0}, Ne: 256}, "00A4040001A000"},
		{"case 2 extended", apdu.Command{INS: 0xB0, Ne: 257}, "00B00000000101"},
		{"case 2 extended, all", apdu.Command{INS: 0xB0, Ne: 65536}, "00B00000000000"},
		{"case 3 extended", apdu.Command{INS: 0xD0, Data: make([]byte, 256)}, "00D00000000100" + strings.Repeat("00", 256)},
		{"case 4 extended by Ne", apdu.Command{INS: 0xD0, Data: []byte{7}, Ne: 300}, "00D0000000000107012C"},
		{"case 4 extended by data", apdu.Command{INS: 0xD0, Data: make([]byte, 256), Ne: 1}, "00D00000000100" + strings.Repeat("00", 256) + "0001"},
		{"255 bytes are short", apdu.Command{INS: 0xD0, Data: make([]byte, 255)}, "00D00000FF" + strings.Repeat("00", 255)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.c.Append([]byte{0xEE})
			if err != nil {
				t.Fatal(err)
			}
			if g := hexOf(got[1:]); g != tt.want || got[0] != 0xEE {
				t.Fatalf("%s, want %s", g, tt.want)
			}
			back, err := apdu.ParseCommand(got[1:])
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.c, back); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestCommandTooLong(t *testing.T) {
	for _, c := range []apdu.Command{{Data: make([]byte, 65536)}, {Ne: 65537}, {Ne: -1}} {
		got, err := c.Append([]byte{1})
		if !errors.Is(err, apdu.ErrMalformed) || len(got) != 1 {
			t.Errorf("%d data bytes, Ne %d: %d bytes, %v", len(c.Data), c.Ne, len(got), err)
		}
	}
}

func TestParseCommandMalformed(t *testing.T) {
	for _, in := range []string{
		"", "00", "00A4", "00A404",
		"00A40400 02 A0",              // data cut off
		"00A40400 01 A0 00 00",        // two bytes after the data
		"00A40400 00 00",              // extended length cut off
		"00A40400 00 0000 01",         // extended Lc 0 with data
		"00A40400 00 0002 A0",         // extended data cut off
		"00A40400 00 0001 A0 00",      // extended Le of one byte
		"00A40400 00 0001 A0 0000 00", // a byte too many
	} {
		if c, err := apdu.ParseCommand(unhex(t, in)); !errors.Is(err, apdu.ErrMalformed) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", in, c, err)
		}
	}
}

// TestEMVCommands holds what the books' coding of each command comes to.
func TestEMVCommands(t *testing.T) {
	pse := []byte("1PAY.SYS.DDF01")
	for _, tt := range []struct {
		name string
		c    apdu.Command
		want string
	}{
		{"SELECT of the PSE", apdu.Select(pse, false), "00A404000E315041592E5359532E444446303100"},
		{"SELECT next", apdu.Select(unhex(t, "A000000003"), true), "00A4040205A00000000300"},
		{"READ RECORD is B2, not B3", apdu.ReadRecord(1, 1), "00B2010C00"},
		{"READ RECORD of file 30", apdu.ReadRecord(30, 5), "00B205F400"},
		{"GET PROCESSING OPTIONS", apdu.GetProcessingOptions([]byte{0x83, 0}), "80A8000002830000"},
		{"GENERATE AC", apdu.GenerateAC(apdu.RefARQC, []byte{1}), "80AE8000010100"},
		{"GENERATE AC with CDA", apdu.GenerateAC(apdu.RefTC|apdu.RefCDA, []byte{1}), "80AE5000010100"},
		{"EXTERNAL AUTHENTICATE", apdu.ExternalAuthenticate(unhex(t, "1122334455667788")), "00820000081122334455667788"},
		{"INTERNAL AUTHENTICATE", apdu.InternalAuthenticate(unhex(t, "01020304")), "00880000040102030400"},
		{"VERIFY, plaintext", apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")), "0020008008241234FFFFFFFFFF"},
		{"VERIFY, enciphered", apdu.Verify(apdu.VerifyEnciphered, []byte{1}), "002000880101"},
		{"GET DATA", apdu.GetData(0x9F17), "80CA9F1700"},
		{"GET CHALLENGE", apdu.GetChallenge(), "0084000000"},
	} {
		got, err := tt.c.Append(nil)
		if err != nil || hexOf(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, hexOf(got), err, tt.want)
		}
	}
}

func TestResponse(t *testing.T) {
	r, err := apdu.ParseResponse(unhex(t, "9F170103 9000"))
	if err != nil || hexOf(r.Data) != "9F170103" || r.SW != apdu.StatusOK || !r.SW.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	if got := hexOf(r.Append([]byte{0xEE})); got != "EE9F1701039000" {
		t.Errorf("Append: %s", got)
	}
	for _, in := range []string{"", "90"} {
		if _, err := apdu.ParseResponse(unhex(t, in)); !errors.Is(err, apdu.ErrMalformed) {
			t.Errorf("%q: %v, want ErrMalformed", in, err)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{
		"00200180", "00B2010C00", "00820000020102", "00A4040001A000", "00B00000000101", "00B00000000000",
		"00D0000000000107012C", "00A4040002A0", "00A40400000000", "80CA9F1700", "",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := apdu.ParseCommand(in)
		if err != nil {
			if !errors.Is(err, apdu.ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		out, err := c.Append(nil)
		if err != nil {
			t.Fatalf("% X was read and can't be written: %v", in, err)
		}
		// An extended form that needs not be one becomes short; else the bytes
		// are the same.
		if len(out) == len(in) && !bytes.Equal(out, in) {
			t.Fatalf("% X became % X", in, out)
		}
		back, err := apdu.ParseCommand(out)
		if err != nil {
			t.Fatal(err)
		}
		if c.Data == nil {
			c.Data = back.Data
		}
		if d := cmp.Diff(c, back); d != "" {
			t.Fatalf("-want +got\n%s", d)
		}
	})
}
