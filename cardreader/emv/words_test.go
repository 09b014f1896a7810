package emv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestCVMWords checks what a receipt and a log say of each result.
func TestCVMWords(t *testing.T) {
	for rules, want := range map[string][3]string{
		"":     {"No CVM performed", "NO VERIFICATION", "false"},
		"0000": {"Fail CVM processing: failed", "NOT VERIFIED", "false"},
		"0100": {"Plaintext PIN verification performed by ICC", "PIN VERIFIED", "false"},
		"0200": {"Enciphered PIN verified online", "PIN ENTERED", "false"},
		"0300": {"Plaintext PIN verification performed by ICC and signature", "PIN VERIFIED, SIGNATURE", "true"},
		"1E00": {"Signature", "SIGNATURE", "true"},
		"1F00": {"No CVM required", "NO VERIFICATION", "false"},
	} {
		b := newBench(t)
		if rules != "" {
			b.card.aip[0] = tags.AIPCVM
			b.card.objects[tags.CVMList] = "0000000000000000" + rules
		}
		c := b.must().Outcome().CVM
		if d := cmp.Diff(want, [3]string{c.String(), c.Statement(), fmt.Sprint(c.Signature())}); d != "" {
			t.Errorf("rules %s: %s", rules, d)
		}
	}
	if c := (emv.Outcome{}).CVM; c.Code() != tags.CVMNotAvailable {
		t.Errorf("the zero value is %s", c)
	}
}

// TestEvents: what is told of a transaction names each step and holds no PAN,
// track, PIN or cryptogram.
func TestEvents(t *testing.T) {
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	var text []string
	steps := map[emv.Step]bool{}
	k := kernel(t, h, func(c *emv.Config) {
		c.Observe = func(e emv.Event) {
			steps[e.Step] = true
			text = append(text, e.Text)
		}
	})
	s, err := k.Start(t.Context(), sim(t, "offline-pin", nil), emv.Transaction{Amount: euros(t, 1234), Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.Authorize()
	i := newIssuer(t, "offline-pin", s.Outcome().AID, a)
	tx := i.verify(a.Field55())
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: i.answer(tx, "00"), Scripts: bin("7206860484240000")})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(append(text, o.Reasons...), "\n")
	for name, secret := range map[string]string{
		"PAN": string(a.PAN.Reveal()), "account number": string(a.PAN.Reveal()[6:12]), "PIN": simcard.TestPIN, "cryptogram": fmt.Sprintf("%X", tx.AC),
	} {
		if strings.Contains(all, secret) {
			t.Errorf("%s in\n%s", name, all)
		}
	}
	for _, step := range []emv.Step{emv.StepSelect, emv.StepInitiate, emv.StepRead, emv.StepODA, emv.StepRestrictions, emv.StepCVM, emv.StepRisk, emv.StepAction, emv.StepGenerate, emv.StepIssuerAuth, emv.StepScript, emv.StepComplete} {
		if !steps[step] {
			t.Errorf("no event of %s", step)
		}
	}
}

// TestModules passes the errors of Config's modules through.
func TestModules(t *testing.T) {
	broken := errors.New("broken")
	for name, alter := range map[string]func(*bench){
		"randomness": func(b *bench) { b.alter = func(c *emv.Config) { c.Rand = broke{broken} } },
		"randomness of the selection": func(b *bench) {
			b.card.aip[0] = tags.AIPRisk
			b.app().Random = emv.RandomSelection{Threshold: 5000, TargetPercent: 10, MaxTargetPercent: 20}
			b.alter = func(c *emv.Config) { c.Rand = &fixed{bin("01020304")} }
		},
		"online PIN": func(b *bench) {
			b.card.aip[0] = tags.AIPCVM
			b.card.objects[tags.CVMList] = "00000000000000000200"
			b.holder.err = broken
		},
		"chooser out of range": func(b *bench) {
			b.card.select_[testAID] = fci(testAID, "870181")
			b.holder.choose = 1
		},
		"log with too much": func(b *bench) {
			b.card.aip[0] = tags.AIPRisk
			b.alter = func(c *emv.Config) { c.Log = spent(1<<63 - 1) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			alter(b)
			_, err := b.start()
			if err == nil || errors.Is(err, emv.ErrCard) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type broke struct{ err error }

func (b broke) Read([]byte) (int, error) { return 0, b.err }

// TestSecondApplication: nothing of an application that was left stays.
func TestSecondApplication(t *testing.T) {
	c := sim(t, "refused-app", nil)
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	s, err := kernel(t, h, nil).Start(context.Background(), c, emv.Transaction{Amount: euros(t, 1234), Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if a := s.Authorize(); string(a.PAN.Reveal()) != "5413330089020029" || fmt.Sprintf("%X", s.Outcome().AID) != otherAID {
		t.Errorf("AID %X", s.Outcome().AID)
	}
}
