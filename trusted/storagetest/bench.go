package storagetest

import "testing"

// Bench measures a put of 256 bytes, made durable; a get; a counter; and an
// opening.
func Bench(b *testing.B, backend Backend) {
	s, err := backend.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 256)
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"Put", func() error { return s.Put(b.Context(), "a", value) }},
		{"Get", func() error {
			_, err := s.Get(b.Context(), "a")
			return err
		}},
		{"Next", func() error {
			_, err := s.Next(b.Context(), "c")
			return err
		}},
	} {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			s, err := backend.Open(b.Context())
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
