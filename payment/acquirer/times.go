package acquirer

import (
	"fmt"
	"time"
)

// dated reads a date and time without a year, MMDDhhmmss, and gives it the year
// in which it is nearest to now: a message of 31 December that arrives on 1
// January is a day old.
func (d *Dialect) dated(s string) (time.Time, string) {
	now := d.now().UTC()
	return nearest(now, [3]int{now.Year() - 1, now.Year(), now.Year() + 1}, s)
}

// centuried reads YYMMDDhhmmss, with the century in which it is nearest to now.
func (d *Dialect) centuried(s string) (time.Time, string) {
	now := d.now().UTC()
	c := now.Year()/100*100 + two(s)
	return nearest(now, [3]int{c - 100, c, c + 100}, s[2:])
}

// nearest is the date and time of those years that is nearest to now.
func nearest(now time.Time, years [3]int, s string) (time.Time, string) {
	month, day, hour, minute, second := two(s), two(s[2:]), two(s[4:]), two(s[6:]), two(s[8:])
	if hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, "is no date and time"
	}
	var best time.Time
	// Most are of the year in the middle and near: no other can be nearer then.
	if t := time.Date(years[1], time.Month(month), day, hour, minute, second, 0, time.UTC); years[1]-years[0] == 1 &&
		month >= 1 && month <= 12 && t.Day() == day && t.Month() == time.Month(month) && distance(t, now) < 182*24*time.Hour {
		return t, ""
	}
	for _, y := range years {
		t := time.Date(y, time.Month(month), day, hour, minute, second, 0, time.UTC)
		// Date carries a day too many into the next month.
		if month < 1 || month > 12 || t.Day() != day || t.Month() != time.Month(month) {
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

// two reads the first two digits of s.
func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

func distance(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// RRN makes a retrieval reference number of twelve digits: the last digit of
// the year, the day of the year, the hour, all in UTC, and the STAN. It is
// unique for a terminal as long as the STAN does not repeat within an hour.
func RRN(t time.Time, stan string) string {
	t = t.UTC()
	return fmt.Sprintf("%d%03d%02d%s", t.Year()%10, t.YearDay(), t.Hour(), stan)
}
