package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// job is an update that waits to be carried out.
type job struct {
	fn func(ledger.Tx) error
	// taken is set by whoever carries it out, or by its caller going away:
	// the first counts.
	taken atomic.Bool
	// done is closed when err, or the panic of fn, is known.
	done     chan struct{}
	err      error
	panicked bool
	value    any
}

// maxBatch bounds a batch: what waits longer gains nothing.
const maxBatch = 256

// Update runs fn in a transaction; see ledger.Ledger.
func (l *Ledger) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlledger: waiting for the ledger: %w", err)
	}
	j := &job{fn: fn, done: make(chan struct{})}
	l.mu.Lock()
	l.queue = append(l.queue, j)
	l.mu.Unlock()
	select {
	case s := <-l.turn:
		l.lead(ctx, s, j)
	case <-j.done:
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return fmt.Errorf("sqlledger: waiting for the ledger: %w", ctx.Err())
		}
		// It is being carried out, and a caller that goes away must not leave
		// it in doubt.
		<-j.done
	}
	if j.panicked {
		panic(j.value)
	}
	return j.err
}

// lead carries out what waits until that is done which the caller waits for,
// and passes the turn on.
func (l *Ledger) lead(ctx context.Context, s *session, own *job) {
	defer func() { l.turn <- s }()
	for !own.finished() {
		s = l.batch(context.WithoutCancel(ctx), s, l.next())
	}
}

func (j *job) finished() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// next takes the oldest of the queue.
func (l *Ledger) next() []*job {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), maxBatch)
	jobs := make([]*job, 0, n)
	for _, j := range l.queue[:n] {
		if j.taken.CompareAndSwap(false, true) {
			jobs = append(jobs, j)
		}
	}
	l.queue = append(l.queue[:0:0], l.queue[n:]...)
	return jobs
}

// batch carries out jobs in one transaction and tells their callers. It returns
// the session to go on with, nil when that is to be made anew.
func (l *Ledger) batch(ctx context.Context, s *session, jobs []*job) *session {
	if len(jobs) == 0 {
		return s
	}
	if l.d.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.d.patience)
		defer cancel()
	}
	var err error
	apart := false
	for n := 0; ; n++ {
		for _, j := range jobs {
			j.err, j.panicked, j.value = nil, false, nil
		}
		var committing bool
		s, committing, err = l.attempt(ctx, s, jobs, apart)
		if errors.Is(err, errTogether) {
			apart = true
			continue
		}
		if err == nil || !l.d.again(err, committing) || !pause(ctx, n, err) {
			break
		}
	}
	for _, j := range jobs {
		if err != nil && !j.panicked {
			// Also for a job that ended itself: it may have seen what another
			// wrote before it, which is not there.
			j.err = err
		}
		close(j.done)
	}
	return s
}

// pause waits before another attempt, and reports false when there is no time
// left for one. What failed for the sake of another's transaction has waited for
// it; a database that restarts needs a second.
func pause(ctx context.Context, n int, err error) bool {
	if state := sqlState(err); state == serializationFailure || state == deadlockDetected {
		return ctx.Err() == nil
	}
	t := time.NewTimer(min(time.Duration(1<<min(n, 10))*time.Millisecond, time.Second/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errTogether: one of several jobs failed after it had written, and can't be taken
// back without the others.
var errTogether = errors.New("sqlledger: a job failed among others")

// attempt is one transaction with all jobs. The error is that of the
// transaction; those of jobs that alone failed are theirs. Jobs that succeed, or
// fail before they write, as they all do but for a defect, need no savepoints of
// their own; apart gives them some.
func (l *Ledger) attempt(ctx context.Context, s *session, jobs []*job, apart bool) (_ *session, committing bool, err error) {
	if s == nil {
		if s, err = l.connect(ctx); err != nil {
			return nil, false, err
		}
	}
	// The connection is kept only when no transaction is open on it.
	give := func() *session {
		if rerr := s.exec(ctx, "ROLLBACK"); rerr != nil {
			s.discard()
			return nil
		}
		return s
	}
	if err := s.exec(ctx, l.d.begin); err != nil {
		return give(), false, fmt.Errorf("sqlledger: beginning a transaction: %w", err)
	}
	if l.d.take != "" {
		if err := s.exec(ctx, l.d.take); err != nil {
			return give(), false, fmt.Errorf("sqlledger: beginning a transaction: %w", err)
		}
	}
	var c chain
	kept := 0
	for _, j := range jobs {
		ok, err := l.job(ctx, s, &c, j, len(jobs) > 1, apart)
		if err != nil {
			return give(), false, err
		}
		if ok {
			kept++
		}
	}
	if kept == 0 {
		return give(), false, nil
	}
	if err := c.flush(ctx, s); err != nil {
		return give(), false, err
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return give(), true, fmt.Errorf("sqlledger: committing: %w", err)
	}
	return s, false, nil
}

// job runs one job: shared, when it is not alone, and then in a savepoint if it is
// to be apart. An error is one that ends the transaction for all; false without
// one, that this job failed and left nothing.
func (l *Ledger) job(ctx context.Context, s *session, c *chain, j *job, shared, apart bool) (bool, error) {
	apart = apart && shared
	if apart {
		if err := s.exec(ctx, "SAVEPOINT job"); err != nil {
			return false, fmt.Errorf("sqlledger: beginning a transaction: %w", err)
		}
	}
	before := *c
	t := &tx{ctx: ctx, s: s, chain: c}
	err := j.run(t)
	t.done = true
	if t.failed != nil && l.d.again(t.failed, false) {
		return false, t.failed
	}
	if err == nil && !j.panicked && t.failed != nil {
		// fn went on after a statement had failed: what it wrote since rests
		// on something that is not there.
		err = t.failed
	}
	j.err = err
	if err == nil && !j.panicked {
		if apart {
			// Balances that are still to be written are this job's, and go
			// with it.
			if err = c.flush(ctx, s); err == nil {
				err = s.exec(ctx, "RELEASE SAVEPOINT job")
			}
		}
		return err == nil, err
	}
	switch {
	case shared && !apart && (t.wrote || t.failed != nil):
		return false, errTogether
	case !t.wrote && t.failed == nil && !apart:
		return false, nil
	}
	c.back(before)
	if !apart {
		return false, nil
	}
	// Where the database has given the whole transaction up, there is no
	// savepoint to go back to.
	if rerr := errors.Join(s.exec(ctx, "ROLLBACK TO SAVEPOINT job"), s.exec(ctx, "RELEASE SAVEPOINT job")); rerr != nil {
		return false, fmt.Errorf("sqlledger: taking an update back (%v): %w", t.failed, rerr)
	}
	return false, nil
}

// run calls fn. Its panic is that of its own caller, not of whoever carries it
// out.
func (j *job) run(t *tx) (err error) {
	whole := false
	defer func() {
		if !whole {
			j.panicked, j.value = true, recover()
		}
	}()
	err = j.fn(t)
	whole = true
	return err
}

// View runs fn over a consistent state; see ledger.Ledger.
func (l *Ledger) View(ctx context.Context, fn func(ledger.Tx) error) error {
	from := l.readers
	if from == nil {
		from = l.turn
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlledger: waiting for the ledger: %w", err)
	}
	var s *session
	select {
	case s = <-from:
	case <-ctx.Done():
		return fmt.Errorf("sqlledger: waiting for the ledger: %w", ctx.Err())
	}
	clean := false
	defer func() {
		if !clean && s != nil {
			s.discard()
			s = nil
		}
		from <- s
	}()
	if l.d.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.d.patience)
		defer cancel()
	}
	for n := 0; ; n++ {
		err := l.read(ctx, &s, fn)
		if err == nil {
			clean = true
			return nil
		}
		var own *failure
		if !errors.As(err, &own) {
			clean = s != nil
			return err
		}
		if s != nil {
			s.discard()
			s = nil
		}
		if !l.d.again(own.err, false) || !pause(ctx, n, own.err) {
			return own.err
		}
	}
}

// failure is an error of the database, where fn has its own.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }

// read is one transaction that reads. A failure leaves the connection in a state
// that nobody knows.
func (l *Ledger) read(ctx context.Context, s **session, fn func(ledger.Tx) error) (err error) {
	if *s == nil {
		if *s, err = l.connect(ctx); err != nil {
			return &failure{err}
		}
	}
	if err := (*s).exec(ctx, l.d.beginRead); err != nil {
		return &failure{fmt.Errorf("sqlledger: beginning to read: %w", err)}
	}
	t := &tx{ctx: ctx, s: *s, readOnly: true}
	err = fn(t)
	t.done = true
	if t.failed != nil {
		return &failure{t.failed}
	}
	if rerr := (*s).exec(context.WithoutCancel(ctx), "ROLLBACK"); rerr != nil {
		return &failure{fmt.Errorf("sqlledger: ending to read: %w", rerr)}
	}
	return err
}
