package catalogue

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// declared are the messages that a file declares as constants.
func declared(t *testing.T, file string) []trusted.Message {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []trusted.Message
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			return true
		}
		name := ""
		switch x := spec.Type.(type) {
		case *ast.Ident:
			name = x.Name
		case *ast.SelectorExpr:
			name = x.Sel.Name
		}
		if name != "Message" {
			return true
		}
		for _, v := range spec.Values {
			s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, trusted.Message(s))
		}
		return true
	})
	return out
}

// all are the messages that need words.
func all(t *testing.T) []trusted.Message {
	out := slices.Concat(declared(t, "../ui.go"), declared(t, "catalogue.go"))
	if len(out) < 30 {
		t.Fatalf("only %d messages found", len(out))
	}
	for _, k := range []trade.Type{trade.Sale, trade.Refund, trade.Void, trade.Preauth, trade.Completion, trade.Incremental, trade.Cashback, trade.Balance, trade.Verification} {
		out = append(out, kind(string(k)))
	}
	out = append(out, kind(trusted.KindPartial))
	return out
}

func TestNothingIsMissing(t *testing.T) {
	messages := all(t)
	for _, l := range Languages() {
		w := find(l)
		for _, m := range messages {
			s, ok := w[m]
			if !ok {
				t.Errorf("%s has no words for %s", l, m)
				continue
			}
			if d := cmp.Diff(parameters(english[m]), parameters(s)); d != "" {
				t.Errorf("%s %s: parameters (-en +%s):\n%s", l, m, l, d)
			}
			plain := strings.NewReplacer("{", "", "}", "").Replace(s)
			if plain == "" || Clean(plain) != plain || strings.Contains(plain, "  ") {
				t.Errorf("%s %s: %q is no text for a screen", l, m, s)
			}
		}
		if len(w) != len(messages) {
			t.Errorf("%s has %d texts for %d messages", l, len(w), len(messages))
		}
	}
	if len(Languages()) < 13 {
		t.Errorf("languages %v", Languages())
	}
}

// TestWordsAreOfTheirLanguage: a text that was not translated is found, where
// writing or spelling show it.
func TestWordsAreOfTheirLanguage(t *testing.T) {
	scripts := map[string][]*unicode.RangeTable{"ar": {unicode.Arabic}, "hi": {unicode.Devanagari}, "ja": {unicode.Hiragana, unicode.Katakana, unicode.Han}, "zh": {unicode.Han}}
	for _, l := range Languages() {
		w, same := find(l), 0
		for m, s := range w {
			if m == KeyYes || m == KeyNo {
				if len(s) != 1 || s[0] < 'a' || s[0] > 'z' {
					t.Errorf("%s %s: %q is no letter", l, m, s)
				}
				continue
			}
			if l != "en" && s == english[m] {
				same++
			}
			if script := scripts[l]; script != nil {
				plain := s
				for _, p := range parameters(s) {
					plain = strings.ReplaceAll(plain, "{"+p+"}", "")
				}
				for _, r := range plain {
					if unicode.IsLetter(r) && !unicode.In(r, script...) && r != 'ー' {
						t.Errorf("%s %s: %q has %q in it", l, m, s, r)
					}
				}
			}
			for other := range scripts {
				if scripts[l] == nil && strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, scripts[other]...) }) {
					t.Errorf("%s %s: %q is written as %s", l, m, s, other)
				}
			}
		}
		if same > 4 { // "PIN OK", "ok" and their like
			t.Errorf("%s has %d texts of English", l, same)
		}
		if w[KeyYes] == w[KeyNo] {
			t.Errorf("%s: yes and no are one key", l)
		}
		if w[KeyNo] == "y" || w[KeyYes] == "n" {
			t.Errorf("%s: a key means the opposite in English", l)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		card     []string
		terminal string
		want     string
	}{
		{[]string{"fr", "en"}, "de", "fr"},
		{[]string{"xx", "en"}, "de", "en"},
		{[]string{"FR"}, "de", "fr"},
		{[]string{"sv", "fi"}, "de", "de"},
		{nil, "JA", "ja"},
		{nil, "", "en"},
		{[]string{"sv", ""}, "sv", "en"},
	} {
		if got := Choose(c.card, c.terminal); got != c.want {
			t.Errorf("card %v, terminal %q: %s, want %s", c.card, c.terminal, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	evil := map[string]string{"reason": "no\x1b[1m money", "tries": "\u202e2", "amount": "1"}
	for _, c := range []struct {
		n    trusted.Notice
		want string
		err  error
	}{
		{trusted.Notice{Message: trusted.MessageDeclined, Params: evil}, "Declined: no�[1m money", nil},
		{trusted.Notice{Message: trusted.MessageDeclined}, "Declined", nil},
		{trusted.Notice{Message: trusted.MessageDeclined, Language: "de", Params: map[string]string{"reason": "Guthaben reicht nicht"}}, "Abgelehnt: Guthaben reicht nicht", nil},
		{trusted.Notice{Message: PINTriesLeft, Language: "zh", Params: evil}, "剩余次数：�2", nil},
		{trusted.Notice{Message: PINTriesLeft}, "Tries left: ", nil},
		{trusted.Notice{Message: CashIncluded, Params: map[string]string{"amount": "{amount}"}}, "of which in cash {amount}", nil},
		{trusted.Notice{Message: "made-up"}, "", ErrMessage},
		{trusted.Notice{Message: trusted.MessageApproved, Language: "sv"}, "", ErrLanguage},
	} {
		got, err := Text(c.n)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: %q, %v, want %q, %v", c.n, got, err, c.want, c.err)
		}
	}
	if s, err := Kind("sale", "ja"); s != "お買い上げ" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if _, err := Kind("gift", "en"); !errors.Is(err, ErrMessage) {
		t.Errorf("a kind of trade that there is not: %v", err)
	}
}
