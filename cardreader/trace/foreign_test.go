package trace_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/trace"
)

// The same two exchanges in every form: SELECT of the payment system environment,
// which is not there, and a record.
const (
	spyTool = `SCardStatus
 i hCard: 0x0000B8BE
 o bAtrLen 0x00000004 (4)
 o bAtr 3B 60 00 00
 => Command successful. (SCARD_S_SUCCESS [0x00000000])  [0.000100]
	SCardTransmit
	 i hCard: 0x0000B8BE
	 i pioSendPci.dwProtocol: 0x00000001
	 i bSendLength 0x00000014 (20)
	 i bSendBuffer
	 i  0000 00 A4 04 00 0E 31 50 41 59 2E 53 59 53 2E 44 44 .....1PAY.SYS.DD
	 i  0010 46 30 31 00                                     F01.
	 o pioRecvPci.dwProtocol: 0x00000001
	 o bRecvLength 0x00000002 (2)
	 o bRecvBuffer
	 o  0000 6A 82                                           j.
	 => Command successful. (SCARD_S_SUCCESS [0x00000000])  [0.002234]
SCardTransmit
 i bSendBuffer
 i  0000 00 B2 01 0C 00                                  .....
 o bRecvBuffer
 o  0000 70 10 31 32 33 34 35 36 37 38 39 3A 3B 3C 3D 3E p.123456789:;<=>
 o  0010 3F 40 90 00                                     ?@..
` + " \x1b[32m=> Command successful. (SCARD_S_SUCCESS [0x00000000])  [0.002234]\x1b[0m\n" + `SCardTransmit
 i bSendBuffer
 i  0000 00 B2 02 0C 00                                  .....
 o bRecvBuffer
 o  NULL
 => Card was removed. (SCARD_W_REMOVED_CARD [0x80100069])  [0.002234]
`
	spyLibrary = `7f01@>|1700000000|999000|SCardTransmit
7f01@0x0000B8BE
7f01@0x00000001
7f02@>|1700000000|999100|SCardStatus
7f02@0x0000B8BF
7f01@00 A4 04 00 0E 31 50 41 59 2E 53 59 53 2E 44 44 46 30 31 00
7f02@<|1700000000|999200|SCardStatus|Command successful.|0x00000000
7f01@0x00000002
7f01@6A 82
7f01@<|1700000001|001234|SCardTransmit|Command successful.|0x00000000
7f01@>|1700000002|000000|SCardTransmit
7f01@0x0000B8BE
7f01@00 B2 01 0C 00
7f01@0x00000014
7f01@70 10 31 32 33 34 35 36 37 38 39 3A 3B 3C 3D 3E 3F 40 90 00
7f01@<|1700000002|002234|SCardTransmit|Command successful.|0x00000000
`
	pcscdText = `00000000 [140017007589056] ../src/pcscdaemon.c:563:main() pcsc-lite 1.9.9 daemon ready.
00000120 [140017007589056] ../src/eventhandler.c:292:EHStatusHandlerThread() powerState: POWER_STATE_POWERED
00000050 [140017007589056] Card ATR: 3B 60 00 00
00000008 [140017007589056] ../src/winscard.c:1597:SCardTransmit() Send Protocol: T=0
00000005 [140017007589056] APDU: 00 A4 04 00 0E 31 50 41 59 2E 53 59 53 2E 44 44 46 30 31 00
00000004 [140017007589056] ifdhandler.c:1384:IFDHTransmitToICC() usb:058f/9540 (lun: 0)
00002230 [140017007589056] SW: 6A 82
00000255 [140017007589056] APDU: 00 B2 01 0C 00
00002234 [140017007589056] SW: 70 10 31 32 33 34 35 36 37 38 39 3A 3B 3C 3D 3E 3F 40 90 00
00000010 [140017007589056] APDU: 00 B2 02 0C 00
`
	plainText = `# a session
ATR: 3B 60 00 00
> 00A404000E315041592E5359532E444446303100
< 6A82

=> 00 B2 01 0C 00
<= 70 10 31 32 33 34 35 36 37 38
<= 39 3A 3B 3C 3D 3E 3F 40 SW: 9000
> 00B2020C00
`
	transcriptText = `[{"id":"a session","interface":"contact","steps":[
 {"cmd":"00A404000E315041592E5359532E444446303100","resp":"6A82"},{"cmd":"","resp":"6985"},
 {"cmd":"00B2010C00","resp":"70103132333435363738393A3B3C3D3E3F409000"}]},{"id":"empty","steps":[{"cmd":"","resp":"6A82"}]}]`
)

func TestParseAny(t *testing.T) {
	const took = 2234 * time.Microsecond
	atr := []byte{0x3B, 0x60, 0, 0}
	for _, c := range []struct {
		name, text string
		form       trace.Form
		atr        []byte
		took       time.Duration
		protocol   cardreader.Protocol
		skipped    int
	}{
		{"pcsc-spy", spyTool, trace.FormSpy, atr, took, cardreader.T0, 0},
		{"pcsc-spy's library", spyLibrary, trace.FormSpy, nil, took, cardreader.ProtocolUnknown, 0},
		{"pcscd", pcscdText, trace.FormPCSCD, atr, took, cardreader.T0, 0},
		{"pcscd, the end of its log", pcscdText[strings.Index(pcscdText, "00000005"):], trace.FormPCSCD, nil, took, cardreader.ProtocolUnknown, 0},
		{"lines", plainText, trace.FormLines, atr, 0, cardreader.ProtocolUnknown, 0},
		{"lines of another machine", strings.ReplaceAll(plainText, "\n", "\r\n"), trace.FormLines, atr, 0, cardreader.ProtocolUnknown, 0},
		{"lines by name", "C-APDU: 00A404000E315041592E5359532E444446303100\nR-APDU: 6A82\nC-APDU: 00B2010C00\nR-APDU: 70103132333435363738393A3B3C3D3E3F409000", trace.FormLines, nil, 0, cardreader.ProtocolUnknown, 0},
		{"transcripts", transcriptText, trace.FormTranscripts, nil, 0, cardreader.ProtocolUnknown, 1},
		{"one transcript", transcriptText[1 : strings.Index(transcriptText, "]},")+2], trace.FormTranscripts, nil, 0, cardreader.ProtocolUnknown, 1},
		{"trace", `{"trace":1,"interface":"contact","atr":"3B600000"}` + "\n" + `{"us":2234,"cmd":"00A404000E315041592E5359532E444446303100","resp":"6A82"}` + "\n" +
			`{"us":2234,"cmd":"00B2010C00","resp":"70103132333435363738393A3B3C3D3E3F409000"}`, trace.FormTrace, atr, took, cardreader.ProtocolUnknown, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, form, err := trace.ParseAny(strings.NewReader(c.text))
			if err != nil || form != c.form || len(list) != 1 {
				t.Fatalf("%s, %d sessions, %v", form, len(list), err)
			}
			s := list[0]
			want := []trace.Exchange{
				{Took: c.took, Command: unhex(t, "00A404000E315041592E5359532E444446303100"), Response: unhex(t, "6A82")},
				{Took: c.took, Command: unhex(t, "00B2010C00"), Response: unhex(t, "70103132333435363738393A3B3C3D3E3F409000")},
			}
			for i := range s.Exchanges {
				// pcscd counts what lies between its own lines.
				if d := s.Exchanges[i].Took - c.took; c.form == trace.FormPCSCD && d >= 0 && d < 10*time.Microsecond {
					s.Exchanges[i].Took = c.took
				}
			}
			if d := cmp.Diff(want, s.Exchanges); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if !bytes.Equal(s.ATR, c.atr) || s.Protocol != c.protocol || s.Skipped != c.skipped {
				t.Errorf("ATR %X, %s, %d skipped", s.ATR, s.Protocol, s.Skipped)
			}
		})
	}
}

// TestParseAnyContactless: a reader's made-up answer to reset tells how the card
// was reached.
func TestParseAnyContactless(t *testing.T) {
	list, _, err := trace.ParseAny(strings.NewReader("ATR: 3B8F8001804F0CA000000306030001000000006A\n> 00A40400\n< 6A82"))
	if err != nil || list[0].Interface != cardreader.Contactless || list[0].Protocol != cardreader.TCL {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestSessionName: a name does nothing to a terminal.
func TestSessionName(t *testing.T) {
	list, _, err := trace.ParseAny(strings.NewReader("{\"id\":\"a\\u001b[2Jb\\u202e\",\"steps\":[{\"cmd\":\"00A40400\",\"resp\":\"9000\"}]}"))
	if err != nil || list[0].Name != "a?[2Jb?" {
		t.Errorf("%d sessions, %v", len(list), err)
	}
}

// BenchmarkExplain explains a recording of 10,000 commands.
func BenchmarkExplain(b *testing.B) {
	file, _ := recorded(b, "default", trace.Options{RevealCardholderData: true})
	one, err := trace.Parse(strings.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	tr := one.Clone()
	for len(tr.Exchanges) < 10000 {
		tr.Exchanges = append(tr.Exchanges, one.Clone().Exchanges...)
	}
	tr.Exchanges = tr.Exchanges[:10000]
	b.ReportAllocs()
	for b.Loop() {
		if steps := tr.Explain(false); len(steps) != 10000 || len(tr.Story()) == 0 {
			b.Fatalf("%d steps", len(steps))
		}
	}
}

func TestParseAnyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"nothing":                {"", 1},
		"text":                   {"a letter", 1},
		"response first":         {"# note\n< 9000", 2},
		"half a digit":           {"> 00A4040\n< 9000", 1},
		"short command":          {"> 00A4\n< 9000", 2},
		"no status word":         {"> 00A40400\n< 90", 2},
		"no answer at all":       {"> 00A40400", 1},
		"broken ATR":             {"ATR: 3B6\n> 00A40400\n< 9000", 1},
		"pcscd, cut":             {"00000005 APDU: 00 A4 04 0\n00000005 SW: 90 00", 1},
		"pcscd, short answer":    {"00000005 APDU: 00 A4 04 00\n00000005 SW: 90", 2},
		"spy without exchanges":  {"SCardEstablishContext\n => Command successful.", 2},
		"steps that are none":    {`{"steps":1}`, 1},
		"steps not hexadecimal":  {`{"steps":[{"cmd":"zz","resp":"9000"}]}`, 1},
		"no steps":               {`[{"id":"x","steps":[]}]`, 1},
		"not JSON":               {"[{\n\"steps\":[}", 2},
		"a number and a bracket": {"[4761739001010010]", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := trace.ParseAny(strings.NewReader(c.text))
			var e *trace.Error
			if !errors.As(err, &e) || !errors.Is(err, trace.ErrFormat) || e.Line != c.line {
				t.Fatalf("%v, want line %d", err, c.line)
			}
			if strings.Contains(err.Error(), "4761") {
				t.Error("the content is in the error")
			}
		})
	}
	if _, _, err := trace.ParseAny(brokenReader{}); err == nil || errors.Is(err, trace.ErrFormat) {
		t.Errorf("a reader's own error: %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestForeignSecrets: a PIN and a card number in a foreign log are not shown.
func TestForeignSecrets(t *testing.T) {
	for _, text := range []string{
		"> 0020008008241234FFFFFFFFFF\n< 9000\n> 00B2010C00\n< 700A5A084761739001010010 9000",
		"00000001 APDU: 00 20 00 80 08 24 12 34 FF FF FF FF FF\n00000001 SW: 90 00\n00000001 APDU: 00 B2 01 0C 00\n00000001 SW: 70 0A 5A 08 47 61 73 90 01 01 00 10 90 00",
	} {
		list, _, err := trace.ParseAny(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for reveal, hidden := range map[bool][]string{false: {"241234", "4761739001010010"}, true: {"241234"}} {
			said := fmt.Sprintf("%+v", list[0].Explain(reveal))
			for _, h := range hidden {
				if strings.Contains(said, h) {
					t.Errorf("reveal %v shows %s", reveal, h)
				}
			}
		}
	}
}

// TestSharedTranscriptsAsTheyAre reads the file of known sessions as people bring it.
func TestSharedTranscriptsAsTheyAre(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.Open(filepath.Join(dir, "..", "shared", "vectors", "emv", "transcripts.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	defer f.Close()
	list, form, err := trace.ParseAny(f)
	if err != nil || form != trace.FormTranscripts || len(list) < 20 {
		t.Fatalf("%s, %d sessions, %v", form, len(list), err)
	}
	for _, s := range list {
		if s.Name == "" || len(s.Explain(false)) != len(s.Exchanges) {
			t.Errorf("%q: %d exchanges", s.Name, len(s.Exchanges))
		}
	}
}

// anyKey has a key for every index, so that certificates of any kind are opened.
type anyKey struct{}

func (anyKey) CAKey(rid oda.RID, index byte) (oda.CAKey, bool) {
	return oda.CAKey{RID: rid, Index: index, Modulus: bytes.Repeat([]byte{0xC1}, 64), Exponent: []byte{3}}, true
}

func (anyKey) Revoked(oda.RID, byte, [3]byte) bool { return false }

func FuzzParseAny(f *testing.F) {
	for _, s := range []string{spyTool, spyLibrary, pcscdText, plainText, transcriptText, `{"trace":1,"interface":"contact","atr":""}` + "\n" + `{"us":1,"cmd":"00A40400","resp":"9000"}`} {
		f.Add([]byte(s))
	}
	f.Add([]byte("> 00A4040007A000000003101000\n< 6F098407A00000000310109000\n> 80A8000002830000\n< 800600000801010 19000\n> 00B2010C00\n< 70528F01019F3201039040" +
		strings.Repeat("11", 64) + "5A0847617390010100109F4B00 9000\n> 00820000\n< 9000"))
	// Bytes that are no UTF-8, and letters longer or shorter in lower case.
	f.Add([]byte("> 00B2010C00\n< \xff\xff\xffSW"))
	f.Add([]byte("> 00B2010C00\n< \xe2\x84\xaa\xe2\x84\xaa SW12\n\xe2\x84\xaaSEND 00"))
	f.Add([]byte("7f01@>|SCardTransmit\n7f01@00 000000\n7f01@00 00\n7f01@<|100000|0|SCard0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _, err := trace.ParseAny(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, s := range list {
			// What was read can be written in our own form, and read again.
			var out bytes.Buffer
			if _, err := s.WriteTo(&out); err != nil {
				t.Fatal(err)
			}
			again, err := trace.Parse(&out)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range again.Exchanges {
				if !bytes.Equal(e.Command, s.Exchanges[i].Command) || !bytes.Equal(e.Response, s.Exchanges[i].Response) {
					t.Fatalf("exchange %d differs", i)
				}
			}
			s.Explain(false)
			s.Story()
			s.CheckODA(anyKey{}, today())
		}
	})
}
