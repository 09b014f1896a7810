package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/trusted"
)

// Prune forgets results that were kept before the open batch was begun: those of a
// time before a given one, and of the others the oldest, as long as more than count
// results are kept. at reads the time of a result. It returns how many it forgot; an
// error leaves the rest as they are, and they can be pruned later.
func (j *Journal) Prune(ctx context.Context, before time.Time, count int, at func(json.RawMessage) (time.Time, error)) (int, error) {
	open, err := j.Batch(ctx)
	if err != nil {
		return 0, err
	}
	names, err := j.s.List(ctx, "result/")
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	type old struct {
		name string
		time time.Time
	}
	var settled []old
	for _, name := range names {
		var k kept
		ok, err := j.read(ctx, name, &k)
		if err != nil {
			return 0, err
		}
		if !ok || k.Batch >= open {
			continue
		}
		t, err := at(k.Result)
		if err != nil {
			return 0, err
		}
		settled = append(settled, old{name, t})
	}
	slices.SortStableFunc(settled, func(a, b old) int { return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.name, b.name)) })
	n := 0
	for _, o := range settled {
		if !o.time.Before(before) && len(names)-n <= count {
			break
		}
		if err := j.s.Delete(ctx, o.name); err != nil && !errors.Is(err, trusted.ErrNotFound) {
			return n, fmt.Errorf("journal: %w", err)
		}
		n++
	}
	return n, nil
}
