package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/trusted"
)

// Replay plays to a server what a unit said in an older session, connection by
// connection, all at once, and returns how many bytes each connection answered
// with. Playing a session back is to bring nothing about.
func Replay(ctx context.Context, under trusted.Link, old []Frame) (answers []int, err error) {
	byConnection := map[int][]byte{}
	last := -1
	for _, f := range old {
		if f.Up {
			byConnection[f.Connection] = append(byConnection[f.Connection], f.Bytes...)
			last = max(last, f.Connection)
		}
	}
	for n := 0; n <= last; n++ {
		got, err := replay(ctx, under, byConnection[n])
		if err != nil {
			return answers, fmt.Errorf("hostile: replaying connection %d: %w", n, err)
		}
		answers = append(answers, got)
	}
	return answers, nil
}

func replay(ctx context.Context, under trusted.Link, said []byte) (int, error) {
	c, err := under.Open(ctx)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		// A server that has refused does not read the rest.
		_, _ = c.Write(said)
	}()
	n, err := io.Copy(io.Discard, c)
	cerr := c.Close()
	<-wrote
	if errors.Is(err, io.ErrClosedPipe) {
		err = nil
	}
	return int(n), errors.Join(err, cerr, ctx.Err())
}
