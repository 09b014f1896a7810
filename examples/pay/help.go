package main

import (
	"flag"
	"fmt"

	"github.com/payunit/payunit/cardreader/simcard"
)

func usage(f *flag.FlagSet) {
	w := f.Output()
	fmt.Fprint(w, `pay makes one payment from the app's order to the receipt. With no flag it uses a
software card, a bank in this process and a scripted cardholder.

Usage: pay [flags]

`)
	f.PrintDefaults()
	fmt.Fprint(w, "\nCards for -card, all with PIN "+simcard.TestPIN+":\n")
	for _, p := range simcard.Profiles() {
		fmt.Fprintf(w, "  %-24s %s\n", p.Name, p.Text)
	}
	fmt.Fprint(w, "\nFaults for -fault:\n")
	for _, x := range faults() {
		fmt.Fprintf(w, "  %-24s %s\n", x.name, x.text)
	}
	fmt.Fprint(w, "  card:SCRIPT              what the card does, ACTION@MOMENT, where\n")
	for _, x := range simcard.FaultHelp() {
		fmt.Fprintf(w, "    %-22s %s\n", x.Form, x.Text)
	}
	fmt.Fprint(w, `
Exit: 0 approved or done, 1 error, 2 usage, 3 declined, 4 cancelled, 5 unknown outcome.
`)
}
