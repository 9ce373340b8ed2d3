package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
)

func loginCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "logins: which are open, which failed, and why",
		Long: `Why a login failed. Every text that a user reads ends with six characters in
brackets, like [K7QF2D]: its trace.

  vssgate login show K7QF2D         all that happened to it, in milliseconds
  vssgate login list --user an.nv   his logins, the newest first
  vssgate login follow              everything, as it happens

A node remembers the last 10,000 logins that ended on it, the last 10,000 requests
that were rejected and are no login (CHAP, a State of long ago, ...), and the last
1,000 that were not answered at all (wrong shared secret, ...), from its start on;
open logins are shown whichever node has them. What is older is looked
up in the audit. Codes, numbers to match and passwords are nowhere in it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(loginListCommand(w), loginShowCommand(w), loginFollowCommand(w))
	return cmd
}

func loginListCommand(w *where) *cobra.Command {
	in := admin.Logins{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "open and recent logins, the newest first",
		Long: `Lists open logins of all nodes, and those that ended on this node. STAGE is

  asking     the password is being checked       ended      REASON says how
  held       somebody waits for the phone        elsewhere  it ended on another node
  approved   approved, nobody has collected it   no_answer  no verdict: something was down
  open       nobody waits; a code or a retry     refused    rejected, and no login
             goes on with it                     dropped    no login, and no answer
                                                 void       the store has forgotten it

Of refused and dropped, REASON says what to look for in the log.`,
		Example: `  vssgate login list --user an.nv
  vssgate login list --client hq-vpn --open
  vssgate login list --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/login/list", in, showLogins)
		},
	}
	cmd.Flags().StringVar(&in.User, "user", "", "logins of this user only, as typed or as the directory writes it")
	cmd.Flags().StringVar(&in.Client, "client", "", "logins of this client only")
	cmd.Flags().BoolVar(&in.Open, "open", false, "only those without a verdict")
	cmd.Flags().IntVar(&in.Last, "last", 1000, "at most so many; 0: all")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showLogins(out page, all []admin.Login) {
	if len(all) == 0 {
		fmt.Fprintln(out, "no such login in memory or open; an older one: vssgate login show TRACE")
		return
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tTRACE\tUSER\tCLIENT\tFROM\tSTAGE\tREASON\tTOOK")
	for _, l := range all {
		took := "-"
		if l.Ended != nil {
			took = l.Ended.Sub(l.Created).Round(time.Millisecond).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", out.clock(l.Created), l.Trace, plain(l.Username), l.Client,
			plain(l.From), l.Stage, cmp.Or(l.Reason, "-"), took)
	}
	t.Flush()
}

// plain shows what somebody sent, so that it cannot play with the terminal.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` || strings.ContainsAny(s, " ") {
		return q
	}
	return s
}

func loginShowCommand(w *where) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show TRACE|ATTEMPT",
		Short: "all that happened to one login, what its user read, and the sessions it began",
		Long: `Shows one login by the six characters that its user read (in either case), or by
its attempt: what happened on this node, in milliseconds since it began; the
sessions that the NAS accounted for; and how long the client's NASes wait. A login
that this node does not remember is looked up in the audit.`,
		Example: "  vssgate login show K7QF2D",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, w, asJSON, "/login/show", admin.WhichLogin{Login: args[0]}, showLogin)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showLogin(out page, l admin.ShownLogin) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	row("trace", l.Trace+" (attempt "+l.Attempt+")")
	row("user", plain(l.Username))
	if l.Typed != "" {
		row("typed", plain(l.Typed))
	}
	row("account", l.Account)
	row("at", l.Client+" ("+l.FrontEnd+")")
	if l.NAS != "" {
		row("NAS", plain(l.NAS))
	}
	row("from", plain(l.From))
	row("created", l.Created.In(out.zone).Format("2006-01-02 15:04:05.000 -07:00"))
	row("stage", strings.TrimSpace(l.Stage+" "+l.Reason))
	row("let in by", l.Factor)
	row("would be", l.WouldBe)
	row("phone", l.Device)
	row("user read", l.Read)
	t.Flush()
	switch l.Source {
	case "store":
		fmt.Fprintln(out, "\nThis node has not seen it: what happened is shown on the node that has.")
	case "audit":
		fmt.Fprintf(out, "\nFrom the audit, for it is older than this node's memory: %d requests, %d pushes, %d ms from the right password to the verdict.\n", l.Requests, l.Pushes, l.TookMS)
	}
	showEvents(out, l.Events)
	showSessions(out, l.Sessions)
	showPatience(out, l.Timers)
	for _, other := range l.More {
		fmt.Fprintf(out, "\nAnother login has the same six characters: vssgate login show %s\n", other)
	}
}

func showEvents(out io.Writer, events []admin.LoginEvent) {
	if len(events) == 0 {
		return
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, e := range events {
		fmt.Fprintf(t, "%d ms\t  %s\n", e.AtMS, inWords(e))
	}
	t.Flush()
}

func showSessions(out page, sessions []admin.Session) {
	if len(sessions) == 0 {
		return
	}
	clock := func(at *time.Time) string {
		if at == nil {
			return "-"
		}
		return out.clock(*at)
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tADDRESS\tSTARTED\tLAST TOLD OF\tSTOPPED\tIN\tOUT\tCAUSE")
	for _, s := range sessions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", plain(s.ID), cmp.Or(s.Address, "-"), clock(s.Started), clock(&s.Updated), clock(s.Stopped), s.In, s.Out, cmp.Or(s.Cause, "-"))
	}
	t.Flush()
}

func showPatience(out io.Writer, timers []admin.Timers) {
	for _, t := range timers {
		if t.WaitMS > 0 || t.AtLeastMS > 0 {
			fmt.Fprintf(out, "\nNASes of this client wait %s with %s (%d tries, the first two %s apart).\n",
				cmp.Or(ms(t.WaitMS), "at least "+ms(t.AtLeastMS)), t.Method, t.Tries, cmp.Or(ms(t.GapMS), "-"))
		}
		if t.Advice != "" {
			fmt.Fprintln(out, t.Advice)
		}
	}
}

func ms(n int64) string {
	if n == 0 {
		return ""
	}
	return (time.Duration(n) * time.Millisecond).String()
}

func loginFollowCommand(w *where) *cobra.Command {
	in := admin.FollowLogins{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "what happens to logins, live, until interrupted",
		Long: `Prints what happens to logins on this node as it happens, until it is interrupted
(Ctrl-C). With --json one line of JSON for each event.`,
		Example: `  vssgate login follow --user an.nv
  vssgate login follow --client hq-vpn --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := w.adminSocket()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			w.warnOfEmergency(cmd, socket)
			out := w.page(cmd.OutOrStdout())
			return admin.Follow(ctx, socket, "/login/follow", in, func(e admin.FollowedEvent) error {
				if asJSON {
					return json.NewEncoder(out).Encode(e)
				}
				if e.Missed > 0 {
					fmt.Fprintf(out, "... %d events could not be shown in time\n", e.Missed)
				}
				_, err := fmt.Fprintf(out, "%s  %s  %-16s %-12s %s\n", e.Time.In(out.zone).Format("15:04:05.000 -07:00"), e.Trace, plain(e.Username), e.Client, inWords(e.LoginEvent))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&in.User, "user", "", "this user's logins only")
	cmd.Flags().StringVar(&in.Client, "client", "", "this client's logins only")
	cmd.Flags().StringVar(&in.Trace, "trace", "", "this login only")
	jsonFlag(cmd, &asJSON)
	return cmd
}
