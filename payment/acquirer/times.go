package acquirer

import (
	"fmt"
	"time"
)

// dated reads a date and time without a year and gives it the year in which it
// is nearest to now: a message of 31 December that arrives on 1 January is a
// day old.
func (d *Dialect) dated(s, layout string) (time.Time, string) {
	now := d.now().UTC()
	var best time.Time
	for year := now.Year() - 1; year <= now.Year()+1; year++ {
		t, err := time.Parse("2006"+layout, fmt.Sprintf("%04d", year)+s)
		if err != nil {
			continue
		}
		if best.IsZero() || distance(t, now) < distance(best, now) {
			best = t
		}
	}
	if best.IsZero() {
		return time.Time{}, "is no date and time"
	}
	return best, ""
}

func distance(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// centuried reads YYMMDDhhmmss, with the century in which it is nearest to now.
func (d *Dialect) centuried(s string) (time.Time, string) {
	now := d.now().UTC()
	var best time.Time
	for _, c := range [3]int{-1, 0, 1} {
		t, err := time.Parse("20060102150405", fmt.Sprintf("%02d", now.Year()/100+c)+s)
		if err != nil {
			continue
		}
		if best.IsZero() || distance(t, now) < distance(best, now) {
			best = t
		}
	}
	if best.IsZero() {
		return time.Time{}, "is no date and time"
	}
	return best, ""
}

// RRN makes a retrieval reference number of twelve digits: the last digit of
// the year, the day of the year, the hour, all in UTC, and the STAN. It is
// unique for a terminal as long as the STAN does not repeat within an hour.
func RRN(t time.Time, stan string) string {
	t = t.UTC()
	return fmt.Sprintf("%d%03d%02d%s", t.Year()%10, t.YearDay(), t.Hour(), stan)
}
