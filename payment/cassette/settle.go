package cassette

import "time"

const (
	opWrite = "write"
	opClose = "close"

	// settleTime is how long the end waits for what a channel left to itself,
	// and trail how long nothing of it may come before it is taken for all.
	settleTime = time.Second
	trail      = 10 * time.Millisecond
)

// lastWord reports whether a call may be left to itself by a channel, so that
// when it answers says nothing about the unit.
func lastWord(port, op string) bool {
	return isLink(port) && (op == opWrite || op == opClose)
}

// count changes the numbers of links that are open and of calls under way.
func (t *Tape) count(open, busy int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open += open
	t.busy += busy
	close(t.changed)
	t.changed = make(chan struct{})
}

// settled reports whether all is said on the links, and what is closed when that
// may be otherwise.
func (t *Tape) settled() (bool, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := t.open == 0 && t.busy == 0
	if p := t.playing; p != nil {
		said = p.err != nil || said && p.spoken()
	}
	return said, t.changed
}

// spoken reports whether every last word of the recording was said.
func (p *playing) spoken() bool {
	for _, lane := range p.lanes {
		if len(lane) > 0 && lastWord(lane[0].Port, lane[0].Op) {
			return false
		}
	}
	return true
}

// settle waits until all is said on the links. A recording waits a moment more:
// a goroutine that was begun may not have come to its call.
func (t *Tape) settle() {
	late := time.NewTimer(settleTime)
	defer late.Stop()
	for {
		said, changed := t.settled()
		var quiet <-chan time.Time
		if said {
			if t.playing != nil || t.unused() {
				return
			}
			quiet = time.After(trail)
		}
		select {
		case <-changed:
		case <-quiet:
			return
		case <-late.C:
			return
		}
	}
}

// unused reports whether no link was ever opened.
func (t *Tape) unused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns == 0
}
