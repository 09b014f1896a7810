package tlschan

import (
	"fmt"
	"io"
	"testing"

	"github.com/payunit/payunit/channel/channeltest"
)

// BenchmarkHandshake is a whole channel of each kind: TLS, evidence, and the
// server's word, over a pipe in memory.
func BenchmarkHandshake(b *testing.B) {
	for name, change := range map[string]func(*world){
		"pay": func(*world) {}, "enrol": enrol,
		"pay P256": func(w *world) {
			w.server.Key, w.client.Key = p256Key(b, 1), p256Key(b, 3)
			w.client.ServerKey = public(b, w.server.Key)
		},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			change(w)
			c, s := w.pair(b)
			b.ReportAllocs()
			wire := 0
			for b.Loop() {
				near, far := channeltest.Pipe()
				done := make(chan error, 1)
				go func() {
					_, err := s.Server(b.Context(), far)
					done <- err
				}()
				if _, err := c.Client(b.Context(), near); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				wire = near.Written() + far.Written()
			}
			b.ReportMetric(float64(wire), "wire-B/op")
		})
	}
}

// BenchmarkMessage is a message from one end to the other.
func BenchmarkMessage(b *testing.B) {
	for _, n := range []int{256, 1 << 10, 4 << 10, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, s := newWorld(b).pair(b)
			client, server, cerr, serr := meet(b, c, s, channeltest.Faults{})
			if cerr != nil || serr != nil {
				b.Fatal(cerr, serr)
			}
			m := make([]byte, n)
			client.(*Conn).until = client.(*Conn).until.AddDate(1, 0, 0)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				client.(*Conn).write.records, server.(*Conn).read.records = 0, 0
				if err := client.WriteMessage(b.Context(), m); err != nil {
					b.Fatal(err)
				}
				if _, err := server.ReadMessage(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream is bytes from one end to the other, as through a net.Conn.
func BenchmarkStream(b *testing.B) {
	for _, n := range []int{256, 1 << 10, 4 << 10, maxData} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, s := newWorld(b).pair(b)
			client, server, cerr, serr := meet(b, c, s, channeltest.Faults{})
			if cerr != nil || serr != nil {
				b.Fatal(cerr, serr)
			}
			m, got := make([]byte, n), make([]byte, n)
			client.(*Conn).until = client.(*Conn).until.AddDate(1, 0, 0)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				client.(*Conn).write.records, server.(*Conn).read.records = 0, 0
				if _, err := client.Write(m); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(server, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
