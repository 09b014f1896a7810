package payment

import (
	"context"
	"encoding/json"
	"time"
)

// KeepLimits bound the results that the unit keeps of orders that were paid. Those
// whose batch CloseBatch has settled are forgotten when they are older than Age, and
// the oldest of them when there are more than Count. Paying an order again gives its
// result as long as it is kept, Age at the least where Count is large enough; after
// that the server answers (ErrAlreadyPaid, ErrVoided), and nothing is charged either.
type KeepLimits struct {
	// Age is how long a result is kept; zero means 30 days.
	Age time.Duration
	// Count is how many are kept; zero means 10,000.
	Count int
}

func (k *KeepLimits) complete() {
	if k.Age <= 0 {
		k.Age = 30 * 24 * time.Hour
	}
	if k.Count <= 0 {
		k.Count = 10_000
	}
}

// prune forgets results. Failing is harmless: the next settlement tries again.
func (u *Unit) prune(ctx context.Context) {
	n, err := u.journal.Prune(context.WithoutCancel(ctx), u.c.Now().Add(-u.c.Keep.Age), u.c.Keep.Count, func(b json.RawMessage) (time.Time, error) {
		r, err := stored(b)
		return r.Time, err
	})
	switch {
	case err != nil:
		u.tell(PhaseSettle, "old results could not be forgotten: %v", err)
	case n > 0:
		u.tell(PhaseSettle, "%d results of settled batches are forgotten: the server answers for their orders", n)
	}
}
