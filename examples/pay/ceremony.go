package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/payment/enrol"
)

// ceremony does what -enrol and -rotate ask for; the unit enrolled as it was
// composed.
func (d *demonstration) ceremony(ctx context.Context) error {
	if d.o.enrol {
		if !d.unit.Enrolled() {
			return enrol.ErrEnrolled
		}
		return nil
	}
	began := time.Now()
	if err := d.unit.Rotate(ctx); err != nil {
		return err
	}
	d.screen.line("unit", "new DUKPT keys loaded as X9.143 key blocks; the old ones count for nothing", time.Since(began))
	return nil
}

// ceremonial reports who the terminal is.
func (d *demonstration) ceremonial(stdout, stderr io.Writer) int {
	terminal, merchant := d.unit.Identity()
	done := "enrolled"
	if d.o.rotate {
		done = "rotated"
	}
	if d.o.json {
		print(stdout, stderr, map[string]string{"outcome": done, "terminal": terminal, "merchant": merchant})
	} else {
		fmt.Fprintf(stdout, "\n%s: terminal %s of merchant %s\n", done, terminal, merchant)
	}
	return exitDone
}
