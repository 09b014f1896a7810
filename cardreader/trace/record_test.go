package trace_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

// TestContract: a recorded card is still a card.
func TestContract(t *testing.T) {
	for _, profile := range []string{"default", "t0"} {
		t.Run(profile, func(t *testing.T) {
			cardtest.Run(t, func() cardreader.Reader {
				p, err := simcard.LookupProfile(profile)
				if err != nil {
					t.Fatal(err)
				}
				c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
				if err != nil {
					t.Fatal(err)
				}
				open := func() (io.WriteCloser, error) { return &closer{Writer: io.Discard}, nil }
				return trace.RecordReader(c.Reader("recorded"), open, trace.Options{})
			})
		})
	}
}

// TestRecordAndReplay records a payment with every protocol and method of data
// authentication, and pays again with the recording: byte for byte the same.
func TestRecordAndReplay(t *testing.T) {
	for _, profile := range []string{"default", "t0"} {
		t.Run(profile, func(t *testing.T) {
			file, want := recorded(t, profile, trace.Options{RevealCardholderData: true})
			tr := parse(t, file)
			if tr.Masked || tr.Match != trace.MatchCommand || len(tr.Exchanges) < 6 {
				t.Fatalf("masked %v, match %v, %d exchanges", tr.Masked, tr.Match, len(tr.Exchanges))
			}
			c := trace.NewCard(tr)
			got := pay(t, c)
			if err := c.Err(); err != nil {
				t.Fatal(err)
			}
			if n := c.Unused(); n != 0 {
				t.Errorf("%d exchanges were not used", n)
			}
			if d := cmp.Diff(want, got, cmpopts.EquateComparable(emv.CVMethod{})); d != "" {
				t.Errorf("-recorded +replayed\n%s", d)
			}
			for i, e := range tr.Exchanges {
				if e.Took != 250*time.Microsecond {
					t.Errorf("exchange %d took %v", i+1, e.Took)
				}
			}
		})
	}
}

// TestTerminalData: the recorder finds in the commands what a replay needs.
func TestTerminalData(t *testing.T) {
	file, _ := recorded(t, "default", trace.Options{Terminal: map[tlv.Tag][]byte{tags.TerminalIdentification: []byte("TERM0001"), tags.TransactionType: {0x09}}})
	tr := parse(t, file)
	for tag, want := range map[tlv.Tag]string{
		tags.AmountAuthorised: "000000001234", tags.TransactionDate: "261124", tags.TransactionCurrencyCode: "0978",
		tags.TerminalCountryCode: "0276", tags.TerminalIdentification: hex.EncodeToString([]byte("TERM0001")),
		tags.TransactionType: "09", // given, and not what the command says
	} {
		if got := hex.EncodeToString(tr.Terminal[tag]); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
	if len(tr.Terminal[tags.UnpredictableNumber]) != 4 {
		t.Errorf("9F37: %X", tr.Terminal[tags.UnpredictableNumber])
	}
	for _, tag := range []tlv.Tag{tags.TVR, tags.CVMResults, tags.TSI} {
		if v, ok := tr.Terminal[tag]; ok {
			t.Errorf("%s, which the terminal works out, is noted: %X", tag, v)
		}
	}
	if d, ok := tr.Date(); !ok || !d.Equal(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Date: %v, %v", d, ok)
	}
}

// forms are the ways in which a number may be written.
func forms(digits string) []string {
	padded := digits
	if len(padded)%2 == 1 {
		padded += "F"
	}
	return []string{digits, padded, strings.ToUpper(hex.EncodeToString([]byte(digits)))}
}

// TestNothingSecretIsRecorded looks in a masked trace for the PAN, the PIN block
// and the rest of the track, whichever way they may be written; and makes sure
// that they are in the one that is not masked.
func TestNothingSecretIsRecorded(t *testing.T) {
	for _, profile := range []string{"default", "t0", "offline-pin"} {
		t.Run(profile, func(t *testing.T) {
			pan := pans(t, profile)[0]
			open, _ := recorded(t, profile, trace.Options{RevealCardholderData: true})
			masked, _ := recorded(t, profile, trace.Options{})
			if !strings.Contains(open, forms(pan)[1]) {
				t.Fatal("the open trace has no PAN: the test proves nothing")
			}
			for _, s := range append(forms(pan), "241234FFFFFFFFFF") {
				if strings.Contains(strings.ToUpper(masked), s) {
					t.Errorf("%s is in the trace", s)
				}
			}
			if profile == "offline-pin" && !strings.Contains(open, "241234FFFFFFFFFF") {
				t.Error("the open trace has no PIN block: the test proves nothing")
			}
			// Neither is it in the certificates, for whoever has the CA's key.
			for _, r := range parse(t, masked).CheckODA(caKeys(t), today()) {
				for _, c := range r.Checks {
					if c.Step == "ICC certificate" && c.OK {
						t.Error("the card's certificate, which holds the PAN, can be recovered")
					}
				}
			}
			if tr := parse(t, masked); !tr.Masked || tr.Match != trace.MatchHeader {
				t.Errorf("masked %v, match %v", tr.Masked, tr.Match)
			}
		})
	}
}

// TestMaskedReplay: a masked trace is still good for a run, which ends in a card
// that could not be authenticated.
func TestMaskedReplay(t *testing.T) {
	file, want := recorded(t, "default", trace.Options{})
	c := trace.NewCard(parse(t, file))
	got := pay(t, c)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	if got.CryptogramType != want.CryptogramType || !bytes.Equal(got.AID, want.AID) {
		t.Errorf("%v %X, want %v %X", got.CryptogramType, got.AID, want.CryptogramType, want.AID)
	}
}

func exchange(t testing.TB, pairs ...string) *trace.Trace {
	t.Helper()
	s := `{"trace":1,"interface":"contact","atr":""}` + "\n"
	for i := 0; i < len(pairs); i += 2 {
		s += fmt.Sprintf("{\"us\":1,\"cmd\":%q,\"resp\":%q}\n", strings.ReplaceAll(pairs[i], " ", ""), strings.ReplaceAll(pairs[i+1], " ", ""))
	}
	return parse(t, s)
}

func TestMask(t *testing.T) {
	const read = "00B2010C00"
	for _, tt := range []struct {
		name     string
		in, want []string
	}{
		{"PAN of 16", []string{read, "70 0A 5A08 4761739001010010 9000"}, []string{read, "70 0A 5A08 4761730000000010 9000"}},
		{"PAN of 19", []string{read, "70 0C 5A0A 6234567890123456789F 9000"}, []string{read, "70 0C 5A0A 6234560000000006789F 9000"}},
		{"PAN of 12", []string{read, "70 08 5A06 501234567890 9000"}, []string{read, "70 08 5A06 000000007890 9000"}},
		{"what is no PAN", []string{read, "70 06 5A04 476173AA 9000"}, []string{read, "70 06 5A04 00000000 9000"}},
		{"track 2", []string{read, "70 15 5713 4761739001010010D31122011143804400000F 9000"}, []string{read, "70 15 5713 4761730000000010D31120000000000000000F 9000"}},
		{"what is no track 2", []string{read, "70 05 5703 123456 9000"}, []string{read, "70 05 5703 000000 9000"}},
		{"contactless track 2", []string{"80A8000002830000", "77 16 9F6B13 4761739001010010D31122011143804400000F 9000"}, []string{"80A8000002830000", "77 16 9F6B13 4761730000000010D31120000000000000000F 9000"}},
		{"name", []string{read, "70 06 5F2003 414243 9000"}, []string{read, "70 06 5F2003 202020 9000"}},
		{"expiry and service code stay", []string{read, "70 0B 5F2403 311231 5F3002 0201 9000"}, []string{read, "70 0B 5F2403 311231 5F3002 0201 9000"}},
		{"certificates", []string{read, "70 09 9F4602 AABB 9302 CCDD 9000"}, []string{read, "70 09 9F4602 0000 9302 0000 9000"}},
		{"an unknown tag with a PAN", []string{read, "70 0B DF7908 4761739001010010 9000"}, []string{read, "70 0B DF7908 0000000000000000 9000"}},
		{"an unknown tag without one", []string{read, "70 05 DF7902 4761 9000"}, []string{read, "70 05 DF7902 4761 9000"}},
		{"the PAN elsewhere, before", []string{"80CADF7900", "9F10 09 00 4761739001010010 9000", read, "70 0A 5A08 4761739001010010 9000"},
			[]string{"80CADF7900", "9F10 09 00 4761730000000010 9000", read, "70 0A 5A08 4761730000000010 9000"}},
		{"the PAN in a command, off by a digit", []string{read, "70 0A 5A08 4761739001010010 9000", "80AE800009 04761739001010010F 00", "9000"},
			[]string{read, "70 0A 5A08 4761730000000010 9000", "80AE800009 04761730000000010F 00", "9000"}},
		{"the PAN as characters", []string{read, "70 0A 5A08 4761739001010010 9000", "80CA9F1000", "9F10 10 34373631373339303031303130303130 9000"},
			[]string{read, "70 0A 5A08 4761730000000010 9000", "80CA9F1000", "9F10 10 34373631373330303030303030303130 9000"}},
		{"track 1", []string{read, "70 1A 5618 42 34373631373339303031303130303130 5E 412F42 5E 3331 9000", "80CA9F1000", "9F10 08 4761739001010010 9000"},
			[]string{read, "70 1A 5618" + strings.Repeat("20", 24) + "9000", "80CA9F1000", "9F10 08 4761730000000010 9000"}},
		{"VERIFY", []string{"0020008008 241234FFFFFFFFFF", "9000"}, []string{"0020008008 0000000000000000", "9000"}},
		{"VERIFY that is no command", []string{"0020008008 241234", "6700"}, []string{"0020008008 000000", "6700"}},
		{"PIN CHANGE", []string{"8424000202 AABB", "9000"}, []string{"8424000202 0000", "9000"}},
		{"in two pieces", []string{read, "70 0A 5A08 47617390 6104", "00C0000004", "01010010 9000"}, []string{read, "70 0A 5A08 47617300 6104", "00C0000004", "00000010 9000"}},
		{"in three pieces, a tag cut", []string{read, "70 0A 5A 6109", "00C0000009", "08 47617390 6104", "00C0000004", "01010010 9000"},
			[]string{read, "70 0A 5A 6109", "00C0000009", "08 47617300 6104", "00C0000004", "00000010 9000"}},
		{"the second piece never came", []string{read, "70 0A 5A08 47617390 6104"}, []string{read, "00 00 0000 00000000 6104"}},
		{"malformed after a good object", []string{read, "9F0702FF80 5A08 476173 9000"}, []string{read, "9F0702FF80 0000 000000 9000"}},
		{"malformed in a template", []string{read, "70 0A 9F0702FF80 5A08 476173 9000"}, []string{read, "70 0A 9F0702FF80 0000 000000 9000"}},
		{"a response to what is no command", []string{"00B2010C0500", "70 0A 5A08 4761739001010010 9000"}, []string{"00B2010C0500", "70 0A 5A08 4761730000000010 9000"}},
		{"a challenge", []string{"0084000000", "0102030405060708 9000"}, []string{"0084000000", "0102030405060708 9000"}},
		{"6Cxx", []string{read, "6C0C", "00B2010C0C", "70 0A 5A08 4761739001010010 9000"}, []string{read, "6C0C", "00B2010C0C", "70 0A 5A08 4761730000000010 9000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := exchange(t, tt.want...)
			got := exchange(t, tt.in...).Mask()
			if d := cmp.Diff(want.Exchanges, got.Exchanges); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestMaskTerminal(t *testing.T) {
	tr := exchange(t, "00B2010C00", "70 0A 5A08 4761739001010010 9000")
	tr.Terminal = map[tlv.Tag][]byte{tags.TransactionPIN: {0x12, 0x34}, tags.TransactionDate: {0x26, 0x11, 0x24}, tags.MerchantName: []byte("4761739001010010")}
	got := tr.Mask()
	want := map[tlv.Tag][]byte{tags.TransactionPIN: {0, 0}, tags.TransactionDate: {0x26, 0x11, 0x24}, tags.MerchantName: []byte("4761730000000010")}
	if d := cmp.Diff(want, got.Terminal); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// plain is a card with no further ability.
type plain struct{ closed error }

func (plain) ATR() []byte { return []byte{0x3B, 0x00} }
func (plain) Transmit(_ context.Context, c []byte) ([]byte, error) {
	if c[1] == 0xFF {
		return nil, cardreader.ErrCardRemoved
	}
	return []byte{0x90, 0x00}, nil
}
func (p plain) Close() error { return p.closed }

func TestAbilities(t *testing.T) {
	c := trace.Record(plain{}, io.Discard, trace.Options{})
	if _, ok := c.(cardreader.Resetter); ok {
		t.Error("a card that can't be reset became one that can")
	}
	if _, ok := c.(cardreader.RemovalWaiter); ok {
		t.Error("a card that can't wait became one that can")
	}
	if p := c.(cardreader.Protocoler).Protocol(); p != cardreader.ProtocolUnknown {
		t.Errorf("protocol %v", p)
	}
	sim := trace.Record(simulated(t, "t0"), io.Discard, trace.Options{})
	defer sim.Close()
	if p := sim.(cardreader.Protocoler).Protocol(); p != cardreader.T0 {
		t.Errorf("protocol %v", p)
	}
	if i := sim.(cardreader.Interfacer).Interface(); i != cardreader.Contact {
		t.Errorf("interface %v", i)
	}
	if r, ok := sim.(cardreader.Resetter); !ok {
		t.Error("a card that can be reset became one that can't")
	} else if atr, err := r.Reset(t.Context()); err != nil || !bytes.Equal(atr, sim.ATR()) {
		t.Errorf("Reset: % X, %v", atr, err)
	}
}

func TestRecordErrors(t *testing.T) {
	var b bytes.Buffer
	gone := errors.New("gone")
	c := trace.Record(plain{closed: gone}, &b, trace.Options{})
	if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0xFF, 4, 0}); !errors.Is(err, cardreader.ErrCardRemoved) {
		t.Errorf("%v, want the card's error", err)
	}
	if b.Len() > 0 {
		t.Error("written before the end, when the PAN is not known yet")
	}
	if err := c.Close(); !errors.Is(err, gone) {
		t.Errorf("Close: %v, want the card's error", err)
	}
	if tr := parse(t, b.String()); len(tr.Exchanges) != 1 {
		t.Errorf("%d exchanges, want 1: the one that was answered", len(tr.Exchanges))
	}
	n := b.Len()
	if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, gone) || b.Len() != n {
		t.Errorf("second Close: %v, %d bytes more", err, b.Len()-n)
	}
	if err := trace.Record(plain{}, broken{}, trace.Options{}).Close(); !errors.Is(err, errBroken) {
		t.Errorf("Close: %v, want the writer's error", err)
	}
}

func TestRecordTooLong(t *testing.T) {
	var b bytes.Buffer
	c := trace.Record(plain{}, &b, trace.Options{Now: today})
	for range 1<<14 + 1 {
		if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); !errors.Is(err, trace.ErrTooLong) {
		t.Errorf("Close: %v, want ErrTooLong", err)
	}
	if tr := parse(t, b.String()); len(tr.Exchanges) != 1<<14 {
		t.Errorf("%d exchanges", len(tr.Exchanges))
	}
}

func TestRecordReader(t *testing.T) {
	p, err := simcard.LookupProfile("default")
	if err != nil {
		t.Fatal(err)
	}
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		t.Fatal(err)
	}
	var files []*closer
	r := trace.RecordReader(c.Reader("a reader"), func() (io.WriteCloser, error) {
		if len(files) == 2 {
			return nil, errBroken
		}
		files = append(files, &closer{Writer: &bytes.Buffer{}})
		return files[len(files)-1], nil
	}, trace.Options{})
	if r.Name() != "a reader" {
		t.Errorf("name %q", r.Name())
	}
	for i := range 3 {
		card, err := r.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := card.Close(); (i == 2) != errors.Is(err, errBroken) {
			t.Errorf("card %d: %v", i, err)
		}
	}
	for i, f := range files {
		if f.closed != 1 {
			t.Errorf("file %d was closed %d times", i, f.closed)
		}
		parse(t, f.Writer.(*bytes.Buffer).String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Connect: %v", err)
	}
}

// lenient is a card that answers whatever it is sent.
type lenient struct{ cardreader.Card }

func (lenient) ATR() []byte                                      { return nil }
func (lenient) Transmit(context.Context, []byte) ([]byte, error) { return []byte{0x67, 0x00}, nil }
func (lenient) Close() error                                     { return nil }

// TestNoAPDU: what is no command is passed on, and not kept: no trace could be
// read that holds it.
func TestNoAPDU(t *testing.T) {
	var b bytes.Buffer
	c := trace.Record(lenient{}, &b, trace.Options{})
	for _, command := range [][]byte{nil, {0}, {0, 0xA4, 4}, {0, 0xA4, 4, 0}} {
		if r, err := c.Transmit(t.Context(), command); len(r) != 2 || err != nil {
			t.Errorf("%X: %X, %v", command, r, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if tr := parse(t, b.String()); len(tr.Exchanges) != 1 {
		t.Errorf("%d exchanges", len(tr.Exchanges))
	}
}
