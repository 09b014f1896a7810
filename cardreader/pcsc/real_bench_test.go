//go:build pcsc && linux

package pcsc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"github.com/payunit/payunit/cardreader/pcsc"
	"github.com/payunit/payunit/cardreader/pcsc/pcsctest"
)

func challenge() []byte { return []byte{0x00, 0x84, 0x00, 0x00, 0x00} }

// BenchmarkTransmit is one command and its response through pcscd: by this
// driver, and by scard alone.
func BenchmarkTransmit(b *testing.B) {
	insert(b, pcsctest.Start(b), 0, "default")
	b.Run("driver", func(b *testing.B) {
		c := take(b, system(b, pcsc.Config{}).Reader(pcsctest.Readers[0]))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Transmit(b.Context(), challenge()); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("scard", func(b *testing.B) {
		ctx, err := scard.EstablishContext()
		if err != nil {
			b.Fatal(err)
		}
		c, err := ctx.Connect(pcsctest.Readers[0], scard.ShareExclusive, scard.ProtocolT0|scard.ProtocolT1)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Transmit(challenge()); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(c.Disconnect(scard.ResetCard), ctx.Release()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkCancel is the time from the end of a context to the end of the wait
// for a card.
func BenchmarkCancel(b *testing.B) {
	pcsctest.Start(b)
	r := system(b, pcsc.Config{}).Reader(pcsctest.Readers[0])
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		b.StopTimer()
		go func() { _, err := r.Connect(ctx); ended <- err }()
		time.Sleep(5 * time.Millisecond) // the wait is at the service by then
		b.StartTimer()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsertion is the time from a card's coming to the response to its
// first command. Most of it is the service's, which looks for cards a few times a
// second and powers them.
func BenchmarkInsertion(b *testing.B) {
	service := pcsctest.Start(b)
	s := system(b, pcsc.Config{})
	for b.Loop() {
		b.StopTimer()
		wait(b, s, 0, false)
		answered := make(chan error, 1)
		go func() {
			c, err := s.Reader(pcsctest.Readers[0]).Connect(b.Context())
			if err == nil {
				_, err = c.Transmit(b.Context(), challenge())
				err = errors.Join(err, c.Close())
			}
			answered <- err
		}()
		time.Sleep(5 * time.Millisecond)
		b.StartTimer()
		card := service.Insert(b, 0, "default")
		if err := <-answered; err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		card.Remove()
		b.StartTimer()
	}
}
