package magstripe_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/magstripe"
)

// Test data of card reader makers, widely copied; the check character of the
// second is in it.
const (
	trackOne = "%B4111111111111111^DOE/JANE^25121011234500000000?"
	known    = ";5301250070000191=08051010912345678901?3"
	trackTwo = ";4111111111111111=25121011234500000000?"
)

func TestKnownCheckCharacter(t *testing.T) {
	got, err := magstripe.ParseTrack2([]byte(known))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("5301250070000191=08051010912345678901", string(got.Reveal())); d != "" {
		t.Error(d)
	}
	if got.Expiry() != "0805" || got.ServiceCode() != "101" {
		t.Errorf("expiry %s, service code %s", got.Expiry(), got.ServiceCode())
	}
	if d := cmp.Diff(known, string(magstripe.AppendTrack2(nil, got))); d != "" {
		t.Error(d)
	}
	for c := byte(0x30); c < 0x40; c++ {
		if _, err := magstripe.ParseTrack2([]byte(known[:len(known)-1] + string(c))); (err == nil) != (c == '3') {
			t.Errorf("check character %c: %v", c, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, in := range []string{
		trackTwo, trackOne + trackTwo, trackOne + "\r\n" + trackTwo + "\r\n", checked(t, trackOne) + checked(t, trackTwo), checked(t, trackOne) + "\r" + trackTwo + "\r",
	} {
		s, err := magstripe.Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if s.ServiceCode() != "101" || s.Track2.Expiry() != "2512" || s.Track1.IsZero() == strings.HasPrefix(in, "%") {
			t.Errorf("%q: %s %s", in, s.ServiceCode(), s.Track2.Expiry())
		}
		if !s.Track1.IsZero() && (string(s.Track1.Name().Reveal()) != "DOE/JANE" || string(s.Track1.PAN().Reveal()) != "4111111111111111" || s.Track1.Expiry() != "2512") {
			t.Errorf("%q: track 1 is another", in)
		}
		s.Wipe()
		if strings.Trim(string(s.Track2.Reveal()), "\x00") != "" || strings.Trim(string(s.Track1.Name().Reveal()), "\x00") != "" {
			t.Errorf("%q: not wiped", in)
		}
	}
}

// TestCheckCharacterLikeSentinel: the check character of track 1 may be the start
// sentinel of track 2.
func TestCheckCharacterLikeSentinel(t *testing.T) {
	for c := byte('A'); c <= 'Z'; c++ {
		one := checked(t, strings.Replace(trackOne, "JANE", "JAN"+string(c), 1))
		for d := byte('0'); d <= '9'; d++ {
			one = checked(t, strings.Replace(one[:len(one)-1], "00?", "0"+string(d)+"?", 1))
			if _, err := magstripe.Parse([]byte(one + trackTwo)); err != nil {
				t.Errorf("%q: %v", one, err)
			}
		}
	}
}

// checked appends the check character.
func checked(t *testing.T, track string) string {
	t.Helper()
	if track[0] == '%' {
		p, err := magstripe.ParseTrack1([]byte(track))
		if err != nil {
			t.Fatal(err)
		}
		return string(p.Append(nil))
	}
	p, err := magstripe.ParseTrack2([]byte(track))
	if err != nil {
		t.Fatal(err)
	}
	return string(magstripe.AppendTrack2(nil, p))
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		track    int
		offset   int
	}{
		{"nothing", "", 2, -1},
		{"track 1 alone", trackOne, 2, -1},
		{"not read", "%E?;E?", 1, 0},
		{"no start sentinel", trackTwo[1:], 1, 0},
		{"no end sentinel", trackTwo[:len(trackTwo)-1], 2, 0},
		{"two tracks 2", trackTwo + trackTwo, 2, -1},
		{"out of order", trackTwo + trackOne, 1, -1},
		{"letter", strings.Replace(trackTwo, "1111", "11A1", 1), 2, 4},
		{"no separator", strings.Replace(trackTwo, "=", "1", 1), 2, -1},
		{"two separators", strings.Replace(trackTwo, "12345", "12=45", 1), 2, 27},
		{"short PAN", ";4111111=2512101?", 2, 1},
		{"long PAN", ";41111111111111111111=2512101?", 2, 1},
		{"no expiry", ";4111111111111111==101123450000?", 2, 18},
		{"no service code", ";4111111111111111=2512?", 2, 18},
		{"month 13", strings.Replace(trackTwo, "2512", "2513", 1), 2, 20},
		{"month 0", strings.Replace(trackTwo, "2512", "2500", 1), 2, 20},
		{"too long", ";4111111111111111=25121011234500000000000?", 2, 40},
		{"start sentinel inside", strings.Replace(trackTwo, "12345", "12;45", 1), 2, 27},
		{"two check characters", known + "3", 1, 0},
		{"another format", strings.Replace(trackOne, "%B", "%A", 1) + trackTwo, 1, 1},
		{"no name", "%B4111111111111111^25121011234500000000?" + trackTwo, 1, -1},
		{"name too short", strings.Replace(trackOne, "DOE/JANE", "D", 1) + trackTwo, 1, 19},
		{"name too long", strings.Replace(trackOne, "DOE/JANE", strings.Repeat("D", 27), 1) + trackTwo, 1, 19},
		{"lower case", strings.Replace(trackOne, "JANE", "jane", 1) + trackTwo, 1, 23},
		{"letter in the expiry", strings.Replace(trackOne, "2512", "25X2", 1) + trackTwo, 1, 30},
		{"third separator", strings.Replace(trackOne, "12345", "12^45", 1) + trackTwo, 1, -1},
		{"track 1 too long", "%B4111111111111111111^" + strings.Repeat("D", 26) + "^2512101" + strings.Repeat("0", 26) + "?" + trackTwo, 1, 79},
		{"two cards", strings.Replace(trackOne, "4111", "4112", 1) + trackTwo, 0, -1},
		{"two expiries", strings.Replace(trackOne, "2512", "2612", 1) + trackTwo, 0, -1},
		{"two service codes", strings.Replace(trackOne, "101", "201", 1) + trackTwo, 0, -1},
	} {
		s, err := magstripe.Parse([]byte(c.in))
		var e *magstripe.TrackError
		if !errors.As(err, &e) || !errors.Is(err, magstripe.ErrTrack) || !s.Track2.IsZero() {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if e.Track != c.track || e.Offset != c.offset {
			t.Errorf("%s: track %d, offset %d, want %d, %d: %v", c.name, e.Track, e.Offset, c.track, c.offset, err)
		}
		if strings.Contains(err.Error(), "4111") || strings.Contains(err.Error(), "2512") || strings.Contains(err.Error(), "DOE") {
			t.Errorf("%s: the error tells the track: %v", c.name, err)
		}
	}
}

func TestRedacts(t *testing.T) {
	s, err := magstripe.Parse([]byte(trackOne + trackTwo))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, s.Track1, &s.Track1, s.Track2} {
			out := fmt.Sprintf(f, v)
			for _, n := range []string{"4111", "DOE", "34313131", "52 49 49", "444f45"} {
				if strings.Contains(out, n) {
					t.Errorf("%s of %T: %s", f, v, out)
				}
			}
		}
	}
}

func TestServiceCode(t *testing.T) {
	type facts struct {
		chip, national, test, cash bool
		pin                        magstripe.PINRule
	}
	for code, want := range map[magstripe.ServiceCode]facts{
		"101": {}, "201": {chip: true}, "221": {chip: true}, "601": {chip: true, national: true}, "501": {national: true},
		"120": {pin: magstripe.PINRequired}, "206": {chip: true, pin: magstripe.PINWherePad}, "107": {pin: magstripe.PINWherePad}, "125": {pin: magstripe.PINRequired},
		"103": {pin: magstripe.PINRequired, cash: true}, "104": {cash: true}, "102": {}, "901": {test: true}, "": {}, "2": {},
	} {
		got := facts{code.Chip(), code.National(), code.Test(), code.CashOnly(), code.PIN()}
		if got != want {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
}

// FuzzParse: no panic, errors of the one kind, and what was read is written as it
// came, up to a check character that was left out.
func FuzzParse(f *testing.F) {
	for _, s := range []string{trackOne + trackTwo, trackTwo, known, trackOne, "%E?;E?", trackTwo + "\r\n", ";4111111111111111=2512101?;"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := magstripe.Parse(b)
		if err != nil {
			if !errors.Is(err, magstripe.ErrTrack) {
				t.Fatal(err)
			}
			return
		}
		var out []byte
		if !s.Track1.IsZero() {
			out = s.Track1.Append(out)
		}
		out = magstripe.AppendTrack2(out, s.Track2)
		again, err := magstripe.Parse(out)
		if err != nil || !again.Track2.Equal(s.Track2) || again.Track1.IsZero() != s.Track1.IsZero() {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		rest := string(out)
		for i := range b {
			if b[i] == '\r' || b[i] == '\n' {
				continue
			}
			// A check character that was left out is skipped.
			if rest == "" || rest[0] != b[i] {
				rest = rest[min(1, len(rest)):]
			}
			if rest == "" || rest[0] != b[i] {
				t.Fatalf("%q became %q", b, out)
			}
			rest = rest[1:]
		}
		if len(rest) > 1 {
			t.Fatalf("%q became %q", b, out)
		}
	})
}
