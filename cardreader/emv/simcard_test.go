package emv_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"os"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/money"
)

// holder is a cardholder with a PIN, who takes the first application.
type holder struct {
	pin    string
	entry  emv.PINEntry
	choose int
	err    error
	asked  []emv.PINMethod
}

func (h *holder) Choose(context.Context, []emv.Candidate) (int, error) { return h.choose, h.err }

func (h *holder) VerifyPIN(ctx context.Context, r emv.PINRequest) (emv.PINResult, error) {
	h.asked = append(h.asked, r.Method)
	if h.err != nil || h.entry != emv.PINEntered || r.Method == emv.OnlinePIN {
		return emv.PINResult{Entry: h.entry}, h.err
	}
	block := bytes.Repeat([]byte{0xFF}, 8)
	block[0] = 0x20 | byte(len(h.pin))
	for i, d := range []byte(h.pin) {
		shift := 4 * (1 - i%2)
		block[1+i/2] = block[1+i/2]&^(0x0F<<shift) | (d-'0')<<shift
	}
	c := apdu.Verify(apdu.VerifyPlaintext, block)
	if r.Method == emv.OfflineEnciphered {
		challenge, err := apdu.Send(ctx, r.Card, apdu.GetChallenge())
		if err != nil {
			return emv.PINResult{}, err
		}
		data, err := oda.EncipherPIN(*r.Key, secret.NewBytes(block), [8]byte(challenge.Data), bytes.NewReader(make([]byte, 256)))
		if err != nil {
			return emv.PINResult{}, err
		}
		c = apdu.Verify(apdu.VerifyEnciphered, data)
	}
	resp, err := apdu.Send(ctx, r.Card, c)
	return emv.PINResult{Entry: emv.PINEntered, Status: resp.SW}, err
}

// stream is a repeatable source of bytes.
type stream struct{ n byte }

func (s *stream) Read(b []byte) (int, error) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return 0, err
	}
	for i := range b {
		var in, out [16]byte
		s.n++
		in[0] = s.n
		block.Encrypt(out[:], in[:])
		b[i] = out[0]
	}
	return len(b), nil
}

func today() time.Time { return time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC) }

func terminal(t testing.TB) emv.Terminal {
	t.Helper()
	f, err := os.Open("testdata/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	term, err := emv.ParseTerminal(f)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func caKeys(t testing.TB) *oda.Store {
	t.Helper()
	var b bytes.Buffer
	if err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	s, err := oda.ParseCAPK(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func euros(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func kernel(t testing.TB, h *holder, alter func(*emv.Config)) *emv.Kernel {
	t.Helper()
	c := emv.Config{Terminal: terminal(t), CAKeys: caKeys(t), PIN: h, Chooser: h, Rand: &stream{}, Now: today}
	if alter != nil {
		alter(&c)
	}
	k, err := emv.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
