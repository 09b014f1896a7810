package host

import (
	"sync"
	"time"
)

// rates bounds how many requests a peer may make in a time: each has a bucket
// that fills at the rate, up to the burst, and a request takes one out.
type rates struct {
	rate, burst float64
	now         func() time.Time

	mu    sync.Mutex
	peers map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// maxPeers is when full buckets are forgotten: they say nothing.
const maxPeers = 4096

func newRates(rate, burst float64, now func() time.Time) *rates {
	return &rates{rate: rate, burst: burst, now: now, peers: map[string]bucket{}}
}

// allow takes one request out of a peer's bucket, and reports false when it is
// empty.
func (r *rates) allow(peer string) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.peers[peer]
	if !ok {
		if len(r.peers) >= maxPeers {
			r.forgetLocked(now)
		}
		b = bucket{left: r.burst, at: now}
	}
	b = r.filled(b, now)
	if b.left < 1 {
		r.peers[peer] = b
		return false
	}
	b.left--
	r.peers[peer] = b
	return true
}

// filled is a bucket at a later time. A clock that is set back fills nothing.
func (r *rates) filled(b bucket, now time.Time) bucket {
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.left = min(b.left+d*r.rate, r.burst)
	}
	b.at = now
	return b
}

func (r *rates) forgetLocked(now time.Time) {
	for p, b := range r.peers {
		if r.filled(b, now).left >= r.burst {
			delete(r.peers, p)
		}
	}
}
