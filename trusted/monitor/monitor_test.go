package monitor

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/trusted"
)

var system = []string{"/lib/", "/usr/lib/"}

func TestTracer(t *testing.T) {
	for in, want := range map[string]string{
		"Name:\tpay\nTracerPid:\t0\nUid:\t0\n": "0",
		"TracerPid:\t4711\n":                   "4711",
		"Name:\tpay\n":                         "",
		"":                                     "",
		strings.Repeat("x", 1<<20):             "",
	} {
		got, err := tracer(strings.NewReader(in))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestMappings(t *testing.T) {
	const clean = `00400000-00a00000 r-xp 00000000 08:01 42  /opt/shop/pay terminal
00a00000-00b00000 rw-p 00600000 08:01 42  /opt/shop/pay terminal
7f0000000000-7f0000100000 r-xp 00000000 08:01 7 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000200000-7f0000300000 r--p 00000000 08:01 8 /var/evil.so
7ffff0000000-7ffff0001000 r-xp 00000000 00:00 0 [vdso]
7ffff1000000-7ffff1001000 r-xp 00000000 00:00 0
`
	for _, c := range []struct {
		name, maps string
		want       []trusted.Signal
		bad        bool
	}{
		{"clean", clean, nil, false},
		{"preloaded", clean + "7f0000400000-7f0000500000 r-xp 00000000 08:01 8 /var/evil.so\n7f0000600000-7f0000700000 r-xp 00000000 08:01 8 /var/evil.so\n",
			[]trusted.Signal{{ID: trusted.SignalForeignCode, Detail: "/var/evil.so"}}, false},
		{"through the library folder", clean + "7f00-7f01 r-xp 0 08:01 8 /usr/lib/../../var/evil.so\n",
			[]trusted.Signal{{ID: trusted.SignalForeignCode, Detail: "/usr/lib/../../var/evil.so"}}, false},
		{"replaced on disk", strings.ReplaceAll(clean, "pay terminal", "pay terminal (deleted)"),
			[]trusted.Signal{{ID: trusted.SignalForeignCode, Detail: "/opt/shop/pay terminal (deleted)"}}, false},
		{"writable code", clean + "7f00-7f01 rwxp 00000000 00:00 0\n",
			[]trusted.Signal{{ID: trusted.SignalWritableCode, Detail: "7f00-7f01"}}, false},
		{"cut off", clean + "7f00-7f01 r-xp\n", nil, true},
		{"empty", "", nil, true},
	} {
		got, err := mappings(strings.NewReader(c.maps), "/opt/shop/pay terminal", system)
		if d := cmp.Diff(c.want, got); d != "" || (err != nil) != c.bad {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, d)
		}
	}
}

func FuzzMappings(f *testing.F) {
	f.Add("00400000-00a00000 r-xp 00000000 08:01 42 /opt/pay\n")
	f.Add("a rwx\n")
	f.Add("a rwxp b c d e f\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		found, err := mappings(strings.NewReader(s), "/opt/pay", system)
		if err == nil && strings.Contains(s, " r-xp 0 0 0 /var/x\n") && len(found) == 0 {
			t.Error("foreign code was passed over")
		}
		if _, err := tracer(strings.NewReader(s)); err == nil && !strings.Contains(s, "TracerPid:") {
			t.Error("a tracer that nobody named")
		}
	})
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{Binary: []byte("short")}); err == nil {
		t.Error("a short digest was taken")
	}
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
