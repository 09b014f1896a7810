package acquirer

import (
	"fmt"
	"strings"
	"testing"
)

// TestEveryElement: the standard's tables leave no element out, and a message that
// has them all, each at its greatest length, is read to its end.
func TestEveryElement(t *testing.T) {
	for _, table := range []Table{StandardHex87(), StandardHex93()} {
		d, err := NewDialect(table)
		if err != nil {
			t.Fatal(err)
		}
		by := map[int]Element{}
		for _, e := range table.Elements {
			by[e.Number] = e
		}
		want := map[int]string{}
		var b strings.Builder
		fmt.Fprintf(&b, "%d804%s%s", table.Version, "FFFFFFFFFFFFFFFF", "7FFFFFFFFFFFFFFF")
		for n := 2; n <= 128; n++ {
			e, ok := by[n]
			if n == 65 {
				continue
			}
			if !ok {
				t.Errorf("%s: no element %d", table.Name, n)
				continue
			}
			v := strings.Repeat("1", e.Length)
			switch {
			case e.Class == XN:
				v = "C" + v[1:]
			case e.Class == B && e.Encoding != Raw:
				v = strings.Repeat("A1", e.Length)
			}
			if e.Prefix > 0 {
				fmt.Fprintf(&b, "%0*d", e.Prefix, e.Length)
			}
			b.WriteString(v)
			want[n] = v
		}
		x, err := d.Explain([]byte(b.String()))
		if err != nil || len(x.Fields) != len(want) {
			t.Fatalf("%s: %d fields, %v", table.Name, len(x.Fields), err)
		}
		for _, f := range x.Fields {
			masked := strings.ContainsAny(f.Value, "*[") || f.Number == 55
			if f.Value != want[f.Number] && !masked {
				t.Errorf("%s: element %d is %q, want %q", table.Name, f.Number, f.Value, want[f.Number])
			}
		}
	}
}
