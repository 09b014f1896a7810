package secret_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// TestDo: the function runs once, its results are there, and its panic arrives,
// whatever the build erases.
func TestDo(t *testing.T) {
	calls := 0
	var made secret.Bytes
	secret.Do(func() {
		calls++
		made = secret.CopyBytes([]byte("something made inside"))
	})
	if calls != 1 || string(made.Reveal()) != "something made inside" {
		t.Errorf("%d calls, %q", calls, made.Reveal())
	}
	func() {
		defer func() {
			if v := recover(); v != "broken" {
				t.Errorf("panic %v", v)
			}
		}()
		secret.Do(func() { secret.Do(func() { panic("broken") }) })
	}()
}
