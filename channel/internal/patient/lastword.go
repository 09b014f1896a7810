package patient

import (
	"context"
	"io"
	"time"
)

const (
	// linger is how long a peer has to close a stream that was half closed, and
	// lingerBytes how much of what it sends meanwhile is read away.
	linger      = time.Second
	lingerBytes = 64 << 10
)

// LastWord sends what ends a handshake before its stream is closed. The peer has
// until the end of ctx to read it, and no clock of its own: how late a busy machine
// comes to sending is not held against anybody.
//
// A socket that is closed with unread bytes is reset, and the peer may lose what
// was said last (RFC 1122, 4.2.2.13). One that can be half closed therefore is, and
// what still comes is read away, for a moment.
func LastWord(ctx context.Context, s Stream, send func() error) {
	past := time.Unix(1, 0)
	_ = s.SetWriteDeadline(time.Time{})
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = s.SetWriteDeadline(past)
		_ = s.SetReadDeadline(past)
	})
	defer func() {
		if !stop() {
			<-cut
		}
	}()
	if send() != nil {
		return
	}
	half, ok := s.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || s.SetReadDeadline(time.Now().Add(linger)) != nil || ctx.Err() != nil {
		return
	}
	// Its errors are the end that is waited for.
	_, _ = io.CopyN(io.Discard, s, lingerBytes)
}
