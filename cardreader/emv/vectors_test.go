package emv

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// vectors reads a file of known answers beside the repository.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", "emv", name))
	if errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing, and CI is set", name)
		}
		t.Skipf("%s is not beside this repository; the tables of this package hold a part of it", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// step is one exchange.
type step struct{ cmd, resp string }

// replay is a card that answers recorded commands. Strict ones in order; else
// it answers any command that was recorded, by its header and, for SELECT, the
// data.
type replay struct {
	t      testing.TB
	steps  []step
	strict bool
	at     int
	used   map[int]bool
	n      int
}

// Protocol is T=0: the scenarios hold its GET RESPONSE.
func (r *replay) Protocol() cardreader.Protocol { return cardreader.T0 }

func (r *replay) ATR() []byte  { return nil }
func (r *replay) Close() error { return nil }

func (r *replay) Transmit(_ context.Context, c []byte) ([]byte, error) {
	if r.n++; r.n > 3000 {
		r.t.Fatal("the kernel does not end")
	}
	got := strings.ToUpper(hex.EncodeToString(c))
	if r.strict {
		if r.at == len(r.steps) {
			r.t.Errorf("command %s after the last step", got)
			return nil, cardreader.ErrCardRemoved
		}
		s := r.steps[r.at]
		r.at++
		if s.cmd != got {
			r.t.Errorf("step %d: command %s, want %s", r.at, got, s.cmd)
		}
		return unhex(r.t, s.resp), nil
	}
	if r.used == nil {
		r.used = map[int]bool{}
	}
	for _, again := range []bool{false, true} {
		for i, s := range r.steps {
			if r.used[i] == again && (s.cmd == "" || len(s.cmd) >= 8 && s.cmd[:8] == got[:8] && (got[2:4] != "A4" || strings.TrimSuffix(s.cmd, "00") == strings.TrimSuffix(got, "00"))) {
				r.used[i] = true
				return unhex(r.t, s.resp), nil
			}
		}
	}
	return []byte{0x6A, 0x82}, nil
}

// people is a cardholder who enters a PIN, and lets the card judge it.
type people struct{ keys int }

func (p *people) Choose(context.Context, []Candidate) (int, error) { return 0, nil }

func (p *people) VerifyPIN(ctx context.Context, r PINRequest) (PINResult, error) {
	if r.Method == OnlinePIN {
		return PINResult{Entry: PINEntered}, nil
	}
	qualifier := byte(apdu.VerifyPlaintext)
	if r.Method == OfflineEnciphered {
		qualifier = apdu.VerifyEnciphered
		p.keys++
	}
	resp, err := apdu.Send(ctx, r.Card, apdu.Verify(qualifier, []byte{0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}))
	return PINResult{Entry: PINEntered, Status: resp.SW}, err
}

func testSession(t testing.TB, c cardreader.Card, alter func(*Config, *Transaction)) *Session {
	t.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	p := &people{}
	cfg := Config{CAKeys: (*oda.Store)(nil), PIN: p, Chooser: p, Rand: bytes.NewReader(bytes.Repeat([]byte{0x01, 0x23, 0x45, 0x67}, 64))}
	cfg.Terminal = Terminal{
		Type: 0x22, Capabilities: tags.CapabilitiesValue{0x60, 0xF0, 0xC8}, Additional: tags.AdditionalCapabilitiesValue{0xF0}, Country: 528,
		Applications: []Application{{AID: []byte{0xA0, 0, 0, 0, 3, 0x10, 0x10}, Partial: true, DefaultDDOL: []byte{0x9F, 0x37, 4}}},
	}
	tx := Transaction{Amount: money.New(1000, eur), Time: time.Date(2025, 5, 11, 0, 0, 0, 0, time.UTC)}
	if alter != nil {
		alter(&cfg, &tx)
	}
	k, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.session(c, tx)
	if err != nil {
		t.Fatal(err)
	}
	s.app = &k.c.Terminal.Applications[0]
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	return s
}

// phaseCase is one step of a transaction with its inputs.
type phaseCase struct {
	Name   string            `json:"name"`
	Op     string            `json:"op"`
	Config map[string]string `json:"config_data"`
	Params map[string]string `json:"params_data"`
	ICC    map[string]string `json:"icc_data"`
	Log    []struct {
		PAN    string `json:"pan"`
		Amount int64  `json:"amount"`
	} `json:"txn_log"`
	APDUs []struct {
		C string `json:"c"`
		R string `json:"r"`
	} `json:"apdus"`
	TVR string `json:"expected_tvr"`
	TSI string `json:"expected_tsi"`
}

// sales is a log of earlier sales: the latest one of a card counts.
type sales map[string]int64

func (s sales) Recent(pan secret.PAN, _ string, _ money.Currency) int64 {
	return s[string(pan.Reveal())]
}

func (c phaseCase) run(t *testing.T) {
	var steps []step
	for _, a := range c.APDUs {
		steps = append(steps, step{a.C, a.R})
	}
	log := sales{}
	for _, l := range c.Log {
		log[strings.TrimRight(l.PAN, "F")] = l.Amount
	}
	s := testSession(t, &replay{t: t, steps: steps, strict: true}, func(cfg *Config, tx *Transaction) {
		app := &cfg.Terminal.Applications[0]
		cfg.Log = log
		for k, v := range c.Config {
			b := unhex(t, v)
			switch k {
			case "9F09":
				app.Version = [2]byte(b)
			case "9F35":
				cfg.Terminal.Type = tags.TerminalTypeValue(b[0])
			case "9F40":
				cfg.Terminal.Additional = tags.AdditionalCapabilitiesValue(b)
			case "9F1A":
				n, err := tlv.ParseN(b)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Terminal.Country = uint16(n)
			case "9F1B":
				app.FloorLimit = uint64(binary.BigEndian.Uint32(b))
			default:
				t.Fatalf("terminal data %s", k)
			}
		}
		for k, v := range c.Params {
			b := unhex(t, v)
			switch k {
			case "9C":
				tx.Type = b[0]
			case "9A":
				d, err := dateOf(b)
				if err != nil {
					t.Fatal(err)
				}
				tx.Time = d
			case "81":
				tx.Amount.Minor = int64(binary.BigEndian.Uint32(b))
			default:
				t.Fatalf("transaction data %s", k)
			}
		}
	})
	for k, v := range c.ICC {
		tag, _, err := tlv.ParseTag(unhex(t, k))
		if err != nil {
			t.Fatal(err)
		}
		s.fromCard[tag] = unhex(t, v)
		if tag == tags.PAN {
			if s.pan, err = secret.PANFromCN(unhex(t, v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch c.Op {
	case "processing_restrictions":
		if err := s.restrictions(t.Context()); err != nil {
			t.Fatal(err)
		}
	case "terminal_risk_management":
		if err := s.manageRisk(t.Context()); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("step %q", c.Op)
	}
	if s.tvr.String() != c.TVR || c.TSI != "" && s.tsi.String() != c.TSI {
		t.Errorf("TVR %s TSI %s, want %s %s", s.tvr, s.tsi, c.TVR, c.TSI)
	}
}

func TestVectorPhases(t *testing.T) {
	var file struct {
		Cases []phaseCase `json:"cases"`
	}
	vectors(t, "phase_cases.json", &file)
	if len(file.Cases) < 10 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		t.Run(c.Op+"/"+c.Name, c.run)
	}
	var decode []struct {
		ID    string `json:"id"`
		Kind  string `json:"kind"`
		Input struct {
			Config map[string]string `json:"config"`
			Params map[string]string `json:"params"`
			ICC    map[string]string `json:"icc"`
		} `json:"input"`
		Expected struct {
			TVR string `json:"tvr"`
		} `json:"expected"`
	}
	b := json.RawMessage{}
	vectors(t, "decode.json", &b)
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, raw := range all {
		var kind struct {
			Kind string `json:"kind"`
		}
		if json.Unmarshal(raw, &kind) == nil && kind.Kind == "processing restrictions" {
			var d = decode[:0]
			if err := json.Unmarshal(append(append([]byte("["), raw...), ']'), &d); err != nil {
				t.Fatal(err)
			}
			c := phaseCase{Op: "processing_restrictions", Config: d[0].Input.Config, Params: d[0].Input.Params, ICC: d[0].Input.ICC, TVR: d[0].Expected.TVR}
			t.Run(d[0].ID, c.run)
		}
	}
}

// transcript is a recorded session or a scenario.
type transcript struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Steps []struct {
		Cmd  string `json:"cmd"`
		Resp string `json:"resp"`
	} `json:"steps"`
	Expected struct {
		Title  string `json:"title"`
		Result string `json:"upstream_result"`
		AFL    string `json:"afl"`
	} `json:"expected"`
}

// exchanges returns the steps.
func (x transcript) exchanges() []step {
	var out []step
	for _, s := range x.Steps {
		out = append(out, step{s.Cmd, s.Resp})
	}
	return out
}

// terminalAIDs are the names that the scenarios' terminal knows.
func terminalAIDs(t *testing.T, c *Config) {
	c.Terminal.Applications = nil
	for _, aid := range []string{"A0000000031010", "A0000000032010", "A0000000032020", "A0000000041010", "A0000000043060"} {
		c.Terminal.Applications = append(c.Terminal.Applications, Application{AID: unhex(t, aid), Partial: true})
	}
}

// scenario runs the step that a scenario is about.
func (x transcript) scenario(t *testing.T) {
	card := &replay{t: t, steps: x.exchanges(), strict: true}
	s := testSession(t, card, func(c *Config, _ *Transaction) { terminalAIDs(t, c) })
	ctx := t.Context()
	var err error
	switch {
	case strings.HasPrefix(x.ID, "emvutils-build_candidate_list"):
		var list []candidate
		if list, err = s.candidates(ctx); err == nil && len(list) > 0 {
			t.Errorf("%d candidates", len(list))
		} else if err == nil {
			err = ErrNoApplication
		}
	case strings.HasPrefix(x.ID, "emvutils-select_application"):
		c, perr := apdu.ParseCommand(unhex(t, x.Steps[0].Cmd))
		if perr != nil {
			t.Fatal(perr)
		}
		err = s.start(ctx, candidate{Candidate{AID: c.Data}, s.app})
	case strings.HasPrefix(x.ID, "emvutils-initiate"):
		s.fromCard[tags.PDOL] = []byte{0x9F, 0x33, 0x03}
		s.k.c.Terminal.Capabilities = tags.CapabilitiesValue{0x60, 0xF0, 0xC8}
		s.fromTerminal[tags.TerminalCapabilities] = []byte{0x60, 0xF0, 0xC8}
		err = s.initiate(ctx)
	case strings.HasPrefix(x.ID, "emvutils-read_application_data"):
		s.afl = unhex(t, x.Expected.AFL)
		err = s.readRecords(ctx)
	default:
		t.Fatalf("a scenario that this test does not know")
	}
	want, known := map[string]error{
		"EMV_OUTCOME_CARD_BLOCKED":          ErrCardBlocked,
		"EMV_OUTCOME_NOT_ACCEPTED":          ErrNoApplication,
		"EMV_OUTCOME_TRY_AGAIN":             errNext,
		"EMV_OUTCOME_CARD_ERROR":            ErrCard,
		"EMV_TAL_ERROR_READ_RECORD_INVALID": ErrCard,
		"SUCCESS":                           nil,
	}[x.Expected.Result]
	if strings.HasPrefix(x.ID, "emvutils-select_application") && want == ErrNoApplication {
		// The candidate is dropped; that the list is empty then is the
		// caller's to say.
		want = errNext
	}
	if !known || !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: error %v, want %s", x.Expected.Title, err, x.Expected.Result)
	}
	if card.at != len(card.steps) {
		t.Errorf("step %d of %d was not reached", card.at+1, len(card.steps))
	}
}

func TestVectorTranscripts(t *testing.T) {
	var list []transcript
	vectors(t, "transcripts.json", &list)
	ran := 0
	for _, x := range list {
		switch {
		case strings.HasPrefix(x.ID, "emvutils-ttl_"):
			// The transport's, tested in apdu.
		case x.Kind == "scenario":
			ran++
			t.Run(x.ID, x.scenario)
		default:
			// Recordings: the kernel has to come to an end, with an outcome or
			// with an error that says what is wrong.
			ran++
			t.Run(x.ID, func(t *testing.T) {
				s := testSession(t, &replay{t: t, steps: x.exchanges()}, func(c *Config, _ *Transaction) { terminalAIDs(t, c) })
				err := s.run(t.Context())
				if err != nil && !errors.Is(err, ErrCard) && !errors.Is(err, ErrNoApplication) && !errors.Is(err, ErrCardBlocked) {
					t.Errorf("error %v", err)
				}
				t.Logf("%s, %v", s.Decision(), err)
			})
		}
	}
	if ran < 10 {
		t.Errorf("%d transcripts", ran)
	}
}

// TestVectorDDA runs the recorded T=0 card that has a published CA key, with the
// terminal's number that it was recorded with: its signatures verify. The other
// card's signatures are good, and its certificate is another issuer's.
func TestVectorDDA(t *testing.T) {
	var list []transcript
	vectors(t, "transcripts.json", &list)
	var keys []struct {
		RID   string `json:"rid"`
		Index string `json:"index"`
		Exp   string `json:"exp"`
		Mod   string `json:"mod"`
	}
	vectors(t, "capk.json", &keys)
	store := keyMap{}
	for _, k := range keys {
		id := fmt.Sprintf("%s/%s", k.RID, k.Index)
		store[id] = oda.CAKey{RID: oda.RID(unhex(t, k.RID)), Index: unhex(t, k.Index)[0], Modulus: unhex(t, k.Mod), Exponent: unhex(t, k.Exp)}
	}
	for _, c := range []struct {
		id, aid, oda string
		day          time.Time
	}{
		{"emvpt-t0-dda-full", "AFFFFFFFFF1234", "DDA ok", time.Date(2020, 7, 24, 0, 0, 0, 0, time.UTC)},
		{"javaemvreader-emulator-session", "A1234567891010", "SDA failed: oda: issuer certificate: issuer identifier does not match the PAN", time.Date(2010, 7, 24, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(c.id, func(t *testing.T) {
			for _, x := range list {
				if x.ID != c.id {
					continue
				}
				s := testSession(t, &replay{t: t, steps: x.exchanges()}, func(cfg *Config, tx *Transaction) {
					cfg.Terminal.Applications[0].AID = unhex(t, c.aid)
					cfg.CAKeys, tx.Time = store, c.day
				})
				if err := s.run(t.Context()); err != nil && s.oda.Method == ODANone {
					t.Fatal(err)
				}
				if s.oda.String() != c.oda {
					t.Errorf("%s, want %s", s.oda, c.oda)
				}
				return
			}
			t.Fatal("no such transcript")
		})
	}
}

type keyMap map[string]oda.CAKey

func (m keyMap) CAKey(rid oda.RID, index byte) (oda.CAKey, bool) {
	k, ok := m[fmt.Sprintf("%X/%02X", rid, index)]
	return k, ok
}

func (keyMap) Revoked(oda.RID, byte, [3]byte) bool { return false }
