package emv_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

const testAID = "A0000000031010"

// plain is a card without data authentication that does what its fields say.
type plain struct {
	t testing.TB
	// select_ answers SELECT by name in hex, "+" after it for the next one;
	// a name that is not in it gets 6A82. "|" separates a status word.
	select_ map[string]string
	pse     []string // the records of the directory
	gpo     string   // the answer to GET PROCESSING OPTIONS, "" makes one of aip
	aip     [2]byte
	afl     []byte
	// objects are in record 1 of file 2; records replaces them.
	objects map[tlv.Tag]string
	records map[string]string // "file/record"
	data    map[tlv.Tag]string
	// ac are answers to GENERATE AC; when they run out the card gives what it
	// is asked for.
	ac        []string
	verify    []apdu.Status
	external  apdu.Status
	script    map[string]apdu.Status
	transport func(n int, c apdu.Command) error

	log []apdu.Command
}

var _ cardreader.Card = (*plain)(nil)

func newPlain(t testing.TB) *plain {
	return &plain{
		t:       t,
		select_: map[string]string{testAID: fci(testAID, "")},
		afl:     []byte{0x10, 1, 1, 0},
		objects: map[tlv.Tag]string{
			tags.PAN: "4761739001010119", tags.PANSequenceNumber: "01", tags.ExpirationDate: "311231", tags.EffectiveDate: "240101",
			tags.IssuerCountryCode: "0276", tags.AUC: "FFC0", tags.ApplicationCurrencyCode: "0978",
			tags.CDOL1: "9F02069505", tags.CDOL2: "8A0295059B02", tags.CVMList: "00000000000000001F00",
			tags.IACDenial: "0000000000", tags.IACOnline: "0000000000", tags.IACDefault: "0000000000",
		},
		external: apdu.StatusOK,
	}
}

// fci makes file control information with more of the proprietary template.
func fci(aid, more string) string {
	a5 := tlv.Append(nil, tags.ApplicationLabel, []byte("TEST"))
	a5 = append(a5, bin(more)...)
	b := tlv.Append(nil, tags.DFName, bin(aid))
	b = tlv.Append(b, tags.FCIProprietaryTemplate, a5)
	return hex.EncodeToString(tlv.Append(nil, tags.FCITemplate, b))
}

// bin reads the hex of this package's own constants.
func bin(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func (c *plain) ATR() []byte  { return []byte{0x3B, 0x00} }
func (c *plain) Close() error { return nil }

func (c *plain) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd, err := apdu.ParseCommand(bytes.Clone(b))
	if err != nil {
		c.t.Errorf("command %X: %v", b, err)
		return []byte{0x67, 0x00}, nil
	}
	c.log = append(c.log, cmd)
	if c.transport != nil {
		if err := c.transport(len(c.log), cmd); err != nil {
			return nil, err
		}
	}
	if len(c.log) > 2000 {
		c.t.Fatal("the kernel does not end")
	}
	return c.answer(cmd), nil
}

func done(s string) []byte { return append(bin(s), 0x90, 0x00) }

func status(s apdu.Status) []byte { return []byte{s.SW1(), s.SW2()} }

func (c *plain) answer(cmd apdu.Command) []byte {
	switch cmd.INS {
	case apdu.INSSelect:
		if string(cmd.Data) == "1PAY.SYS.DDF01" && c.pse != nil {
			return done("6F1E840E315041592E5359532E4444463031A50C8801015F2D02656E9F110101")
		}
		name := fmt.Sprintf("%X", cmd.Data)
		if cmd.P2 == 0x02 {
			name += "+"
		}
		if r, ok := c.select_[name]; ok {
			if data, sw, both := strings.Cut(r, "|"); both {
				return append(bin(data), bin(sw)...)
			}
			if len(r) == 4 {
				return bin(r)
			}
			return done(r)
		}
		return status(apdu.StatusFileNotFound)
	case apdu.INSGetProcessingOptions:
		if len(c.gpo) == 4 {
			return bin(c.gpo)
		}
		if c.gpo != "" {
			return done(c.gpo)
		}
		return append(tlv.Append(nil, tags.ResponseFormat1, append(c.aip[:], c.afl...)), 0x90, 0x00)
	case apdu.INSReadRecord:
		return c.record(cmd)
	case apdu.INSGetData:
		t := tlv.Tag(cmd.P1)<<8 | tlv.Tag(cmd.P2)
		if v, ok := c.data[t]; ok {
			return append(tlv.Append(nil, t, bin(v)), 0x90, 0x00)
		}
		return status(apdu.StatusReferenceNotFound)
	case apdu.INSVerify:
		s := apdu.StatusOK
		if len(c.verify) > 0 {
			s, c.verify = c.verify[0], c.verify[1:]
		}
		return status(s)
	case apdu.INSExternalAuthenticate:
		return status(c.external)
	case apdu.INSGenerateAC:
		if len(c.ac) > 0 {
			r := c.ac[0]
			c.ac = c.ac[1:]
			if len(r) == 4 {
				return bin(r)
			}
			return done(r)
		}
		return done("8012" + hex.EncodeToString([]byte{cmd.P1 & 0xC0}) + "0007" + "0102030405060708" + "06010A03A00000")
	}
	if s, ok := c.script[fmt.Sprintf("%X", cmd.INS)]; ok {
		return status(s)
	}
	return status(apdu.StatusINSNotSupported)
}

func (c *plain) record(cmd apdu.Command) []byte {
	if cmd.P2>>3 == 1 && c.pse != nil {
		if int(cmd.P1) > len(c.pse) {
			return status(apdu.StatusRecordNotFound)
		}
		return done(c.pse[cmd.P1-1])
	}
	if c.records != nil {
		r, ok := c.records[fmt.Sprintf("%d/%d", cmd.P2>>3, cmd.P1)]
		if !ok {
			return status(apdu.StatusRecordNotFound)
		}
		return done(r)
	}
	var b []byte
	var list []tlv.Tag
	for t := range c.objects {
		list = append(list, t)
	}
	slices.Sort(list)
	for _, t := range list {
		if c.objects[t] != "" {
			b = tlv.Append(b, t, bin(c.objects[t]))
		}
	}
	return append(tlv.Append(nil, tags.RecordTemplate, b), 0x90, 0x00)
}

// sent returns the commands with an instruction.
func (c *plain) sent(ins byte) []apdu.Command {
	var out []apdu.Command
	for _, cmd := range c.log {
		if cmd.INS == ins {
			out = append(out, cmd)
		}
	}
	return out
}

// testTerminal goes online when an action code says so, and has action codes of
// zero.
func testTerminal() emv.Terminal {
	return emv.Terminal{
		Type: 0x22, Capabilities: tags.CapabilitiesValue{0xE0, 0xF8, 0xC8}, Additional: tags.AdditionalCapabilitiesValue{0x70, 0, 0xF0, 0xA0, 0x01},
		Country: 276, IFDSerial: "00000001", ID: "TERM0001", MerchantID: "MERCHANT0000001", MerchantCategory: "5999",
		Applications: []emv.Application{{AID: bin(testAID), Partial: true, Version: [2]byte{0, 0x8C}, FloorLimit: 100000, DefaultDDOL: bin("9F3704")}},
	}
}

// bench is a terminal, a card and a transaction, to be altered.
type bench struct {
	t      testing.TB
	term   emv.Terminal
	card   *plain
	holder *holder
	trade  emv.Transaction
	alter  func(*emv.Config)
}

func newBench(t testing.TB) *bench {
	return &bench{
		t: t, term: testTerminal(), card: newPlain(t), holder: &holder{pin: "1234", entry: emv.PINEntered},
		trade: emv.Transaction{Amount: euros(t, 1234), Counter: 7, Time: time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC)},
	}
}

func (b *bench) app() *emv.Application { return &b.term.Applications[0] }

// start runs up to the first GENERATE AC.
func (b *bench) start() (*emv.Session, error) {
	b.t.Helper()
	return b.startOn(b.card)
}

func (b *bench) startOn(c cardreader.Card) (*emv.Session, error) {
	b.t.Helper()
	k := kernel(b.t, b.holder, func(c *emv.Config) {
		c.Terminal = b.term
		if b.alter != nil {
			b.alter(c)
		}
	})
	return k.Start(context.Background(), c, b.trade)
}

// must runs up to the first GENERATE AC and fails the test on an error.
func (b *bench) must() *emv.Session {
	b.t.Helper()
	s, err := b.start()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	return s
}

func eur(minor int64) money.Amount {
	c, err := money.ByCode("EUR")
	if err != nil {
		panic(err)
	}
	return money.New(minor, c)
}
