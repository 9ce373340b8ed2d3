package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: checker DIR")
		os.Exit(2)
	}
	r, err := readRun(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "checker:", err)
		os.Exit(2)
	}
	c := newChecker(r)
	c.check()
	c.report(os.Stdout)
	if len(c.violations) > 0 {
		os.Exit(1)
	}
}

func (c *checker) check() {
	c.checkAccepts()
	c.checkVerdicts()
	c.checkRevoked()
	c.checkBinds()
	c.checkPrompts()
	c.checkPersonal()
	c.checkChains()
}

func (c *checker) report(w io.Writer) {
	var wanted, first, in, denied int
	var took []int64
	for _, v := range c.visits {
		switch {
		case v.Must == "out":
			denied++
		case v.Must == "in":
			wanted++
			if v.In {
				in++
				took = append(took, v.TookMS)
			}
			if v.In && v.Tries == 1 {
				first++
			}
		}
	}
	fmt.Fprintf(w, "visits        %d: %d had password and phone, %d had to stay outside\n", len(c.visits), wanted, denied)
	fmt.Fprintf(w, "availability  %s let in at their first try, %s in the end\n", share(first, wanted), share(in, wanted))
	if len(took) > 0 {
		slices.Sort(took)
		ms := func(at int) time.Duration { return millis(took[at]).duration() }
		fmt.Fprintf(w, "              from the first packet: median %v, 95 %% %v, longest %v\n", ms(len(took)/2), ms(len(took)*95/100), ms(len(took)-1))
	}
	c.reportLogins(w)
	fmt.Fprintf(w, "violations    %d\n", len(c.violations))
	for _, v := range c.violations {
		fmt.Fprintf(w, "  %-9s %s\n", v.rule, v.what)
	}
}

func (c *checker) reportLogins(w io.Writer) {
	var shown, voided, again, prompted, bound int
	for _, e := range c.entries {
		if e.binds() {
			bound++
		}
	}
	for _, l := range c.logins {
		if len(l.shown) > 0 {
			shown++
		}
		if len(l.prompts) > 0 {
			prompted++
		}
		if c.voided(l) {
			voided++
		}
		if len(l.records) > 1 {
			again++
		}
	}
	fmt.Fprintf(w, "logins        %d shown on phones, %d pushed, %d let in, %d of them by LDAP\n", shown, prompted, len(c.entries), bound)
	fmt.Fprintf(w, "voided        %s of those shown: the store lost them, their users had to begin anew\n", share(voided, shown))
	fmt.Fprintf(w, "told twice    %d have the same record in the audit of two nodes: the first died before it could say that it had written it\n", again)
}

func share(part, all int) string {
	if all == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.1f %%)", part, 100*float64(part)/float64(all))
}
