package pinpad

import "testing"

func TestWording(t *testing.T) {
	for _, c := range []struct {
		tries, attempt int
		want           Wording
	}{
		{-1, 0, EnterPIN}, {3, 0, EnterPIN}, {2, 0, EnterPIN}, {0, 0, EnterPIN}, {-1, 1, WrongPIN}, {2, 1, WrongPIN}, {2, 2, WrongPIN},
		{1, 0, LastTry}, {1, 1, WrongPINLastTry}, {1, 2, WrongPINLastTry},
	} {
		if got := (Prompt{TriesLeft: c.tries, Attempt: c.attempt}).Wording(); got != c.want {
			t.Errorf("%d tries left, attempt %d: %d, want %d", c.tries, c.attempt, got, c.want)
		}
	}
}
