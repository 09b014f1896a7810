package issuer

import (
	"errors"
	"strings"
	"testing"
)

func TestParseCards(t *testing.T) {
	c, err := ParseCards(strings.NewReader(file(line{}, line{psn: "01"}, line{pan: "4761739001010028", more: `,"limit":5,"blocked":false`})))
	if err != nil {
		t.Fatal(err)
	}
	if c.Len() != 3 {
		t.Errorf("%d cards, want 3", c.Len())
	}
	refs := map[string]bool{}
	for _, k := range c.list {
		if c.find(k.pan, k.psn) != k {
			t.Errorf("card %s is not found", k.ref)
		}
		refs[k.ref] = true
	}
	if len(refs) != 3 {
		t.Errorf("%d references of 3 cards", len(refs))
	}
	again, err := ParseCards(strings.NewReader(file(line{})))
	if err != nil {
		t.Fatal(err)
	}
	if again.list[0].ref != c.list[0].ref {
		t.Error("the reference changes from one reading to the next")
	}
	k := c.list[0]
	c.Wipe()
	if c.Len() != 0 || k.pan.Reveal()[0] != 0 || k.pin.Reveal()[0] != 0 || k.keys.AC.Reveal()[0] != 0 {
		t.Error("Wipe left something")
	}
}

func TestParseCardsRefuses(t *testing.T) {
	swap := func(old, new string) string { return strings.Replace(file(line{}, line{psn: "01"}), old, new, 1) }
	for _, c := range []struct{ name, file, place, reason string }{
		{"empty", "", "file", "is cut off"},
		{"cut", file(line{})[:50], "file", "is cut off"},
		{"no JSON", "{]", "file", "is no JSON at byte 2"},
		{"no cards", `{"cards":[]}`, "cards", "is missing or empty"},
		{"another member", `{"cards":[],"x":1}`, "file", "has an unknown member"},
		{"something behind", file(line{}) + "{}", "file", "has something after its end"},
		{"unknown member", swap(`"psn"`, `"x":1,"psn"`), "cards[0]", "has an unknown member"},
		{"PAN as a number", swap(`"4761739001010010"`, `4761739001010010`), "cards[0]", ""},
		{"balance as a string", swap(`100000`, `"100000"`), "cards[0]", "balance has the wrong type"},
		{"PAN too short", swap("4761739001010010", "4761739"), "cards[0].pan", "want 8 to 19 digits"},
		{"letter in the PAN", swap("4761739001010010", "476173900101001x"), "cards[0].pan", ""},
		{"escape in the PAN", swap("4761739001010010", `476173900101001\u0030`), "cards[0]", ""},
		{"sequence number", swap(`"psn":"01"`, `"psn":"1"`), "cards[1].psn", "want two digits"},
		{"expiry", swap("3112", "3113"), "cards[0].expiry", "want YYMM"},
		{"expiry month", swap("3112", "3100"), "cards[0].expiry", "want YYMM"},
		{"key", swap(imk, imk[1:]), "cards[0].imk_ac", "want 32 hex digits"},
		{"key", swap(imk, "x"+imk[1:]), "cards[0].imk_ac", "want 32 hex digits"},
		{"third key", strings.Replace(file(line{}), `"imk_smc":"`+imk, `"imk_smc":"`, 1), "cards[0].imk_smc", "want 32 hex digits"},
		{"derivation", swap(`"A"`, `"a"`), "cards[0].derivation", "want A or B"},
		{"session", swap(`"csk"`, `"ssk"`), "cards[0].session", ""},
		{"no session", swap(`"csk"`, `""`), "cards[0].session", "is missing"},
		{"cvn", swap(`"18"`, `"99"`), "cards[0].cvn", ""},
		{"PIN too short", swap(`"1234"`, `"123"`), "cards[0].pin", "want 4 to 12 digits"},
		{"PIN too long", swap(`"1234"`, `"1234567890123"`), "cards[0].pin", "want 4 to 12 digits"},
		{"no PIN", swap(`"pin":"1234",`, ``), "cards[0].pin", "want 4 to 12 digits"},
		{"negative balance", swap("100000", "-1"), "cards[0].balance", ""},
		{"no balance", swap(`"balance":100000,`, ``), "cards[0].balance", ""},
		{"too much balance", swap("100000", "1000000000000"), "cards[0].balance", ""},
		{"balance with a point", swap("100000", "1000.5"), "cards[0]", ""},
		{"currency", swap("EUR", "XXQ"), "cards[0].currency", ""},
		{"currency in small letters", swap("EUR", "eur"), "cards[0].currency", ""},
		{"limit of zero", file(line{more: `,"limit":0`}), "cards[0].limit", ""},
		{"the same card twice", file(line{}, line{psn: "02"}, line{}), "cards[2]", "is the card of cards[0] again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseCards(strings.NewReader(c.file))
			var e *CardsError
			if !errors.As(err, &e) || !errors.Is(err, ErrCards) {
				t.Fatalf("got %v, want a *CardsError", err)
			}
			if e.Place != c.place || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %q: %q, want %q: %q", e.Place, e.Reason, c.place, c.reason)
			}
			for _, s := range []string{"476173", "0123456789ABCDEF", "1234"} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error holds a value of the file: %v", err)
				}
			}
		})
	}
}

func FuzzParseCards(f *testing.F) {
	f.Add([]byte(file(line{})))
	f.Add([]byte(file(line{psn: "01", session: "none", cvn: "10", more: `,"limit":5`}, line{})))
	f.Add([]byte(`{"cards":[{"pan":4761739001010010}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCards(strings.NewReader(string(b)))
		if err != nil {
			if !errors.Is(err, ErrCards) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		for _, k := range c.list {
			if c.find(k.pan, k.psn) != k || k.opening.Minor < 0 || k.pin.Len() < 4 || len(k.ref) != 32 {
				t.Error("a card that was accepted is not whole")
			}
		}
	})
}
