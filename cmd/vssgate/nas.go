package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/nas"
)

func nasCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nas",
		Short: "NASes: what sends RADIUS here, and how to set it up",
		Long: `A NAS is a device that sends RADIUS: a VPN gateway, a Wi-Fi controller. Its KIND
gives a client of the configuration its presets (nas: KIND in radius.clients) and
says what to type on the NAS. NAME is a client's name in radius.clients.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(nasListCommand(w), nasShowCommand(w), nasForgetCommand(w))
	return cmd
}

func nasListCommand(w *where) *cobra.Command {
	var seen, asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "the kinds that are known; --seen: what was measured of each client",
		Long: `Lists the kinds of NASes that are known. With --seen it asks the running daemon
what it has measured of each client: how long its NASes wait, from packets that
come again and then do not; which of them must send Message-Authenticator, and
which still use the previous secret. What is not known is left empty.`,
		Example: "  vssgate nas list\n  vssgate nas list --seen",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case seen:
				return call(cmd, w, asJSON, "/nas/seen", admin.None{}, showSeen)
			case asJSON:
				return printJSON(cmd.OutOrStdout(), listedKinds())
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "KIND\tMODE\tHOLD\tIS")
			for _, k := range listedKinds() {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Kind, k.Mode, holdOf(k.HoldMS), k.Title)
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&seen, "seen", false, "what the daemon has measured of each client")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// listedKind is a kind of NAS with its presets.
type listedKind struct {
	Kind      string `json:"kind"`
	Title     string `json:"title"`
	Mode      string `json:"mode"`
	HoldMS    int64  `json:"hold_ms"`
	Password  string `json:"password"`
	Challenge string `json:"challenge"`
	Waits     string `json:"waits"`
}

func listedKinds() (all []listedKind) {
	for _, k := range nas.Kinds() {
		all = append(all, listedKind{k.Name, k.Title, k.Mode, nas.Unnamed(k).Hold.Milliseconds(), k.Password, k.Challenge, k.Waits})
	}
	return all
}

func holdOf(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return millis(ms)
}

// millis writes milliseconds as people do; 0 is not known.
func millis(n int64) string {
	if n == 0 {
		return ""
	}
	return (time.Duration(n) * time.Millisecond).String()
}

func showSeen(out page, all []admin.SeenClient) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLIENT\tMODE\tHOLD\tMETHOD\tGAP\tTRIES\tWAITS\tAT LEAST\tGIVE-UPS")
	for _, c := range all {
		for _, m := range c.Timers {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", c.Client, c.Mode, holdOf(c.HoldMS), m.Method,
				millis(m.GapMS), known(m.Tries), millis(m.WaitMS), millis(m.AtLeastMS), m.GiveUps)
		}
		if len(c.Timers) == 0 {
			fmt.Fprintf(t, "%s\t%s\t%s\tnothing was measured yet\n", c.Client, c.Mode, holdOf(c.HoldMS))
		}
	}
	t.Flush()
	for _, c := range all {
		for _, m := range c.Timers {
			if m.Advice != "" {
				fmt.Fprintf(out, "\n%s: %s\n", c.Client, m.Advice)
			}
		}
	}
	showNASes(out, all)
}

// known is a number, or nothing where it is not known.
func known(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func showNASes(out page, all []admin.SeenClient) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header := "\nCLIENT\tFROM\tNAS-IDENTIFIER\tMESSAGE-AUTHENTICATOR\tPREVIOUS SECRET\n"
	for _, c := range all {
		for _, n := range c.NASes {
			previous := "-"
			if n.PreviousSecret != nil {
				previous = "used " + out.clock(*n.PreviousSecret)
			}
			fmt.Fprintf(t, "%s%s\t%s\t%s\t%s\t%s\n", header, c.Client, n.From, n.Identifier, out.signs(n), previous)
			header = ""
		}
	}
	t.Flush()
}

// signs says in a few words whether a NAS must send Message-Authenticator.
func (p page) signs(n admin.SeenNAS) string {
	switch {
	case n.Signs:
		return "required, for it sends it"
	case n.Bare != nil:
		return "missing " + p.clock(*n.Bare)
	}
	return "not known yet"
}

func nasForgetCommand(w *where) *cobra.Command {
	var in admin.NAS
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "forget that a client's NASes send Message-Authenticator",
		Long: `With require_message_authenticator: auto, a NAS that has shown that it sends
Message-Authenticator must go on doing so: anything else may be forged
(CVE-2024-3596). This forgets it, at all nodes, for all NASes of a client: after
a NAS was replaced, or its software was taken back. It is learnt again as before.
It is audited.`,
		Example: `  vssgate nas forget hq-vpn --why "old firmware again until May"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Client = args[0]
			return call(cmd, w, asJSON, "/nas/forget", in, func(out page, f admin.Forgotten) {
				fmt.Fprintf(out, "%s: forgotten of %d NASes; requests without Message-Authenticator are served again\n", f.Client, f.NASes)
			})
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}
