package main

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
)

func rolloutCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "who is ready for the second factor, before it is switched on",
		Long:  "Tells who is ready for the second factor, before it is switched on for them.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rolloutReportCommand(w))
	return cmd
}

func rolloutReportCommand(w *where) *cobra.Command {
	var in admin.Rollout
	var asCSV, asJSON bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "who could log in tomorrow and who not, by part of the directory",
		Long: `Goes through all users of the directory, or of a part of it, and tells how many
could confirm a login tomorrow at this time, and what the others lack: a social
insurance number, a phone, a VssID that is new enough. Policies and observe of the
client count as they will be tomorrow; where users sit is not known, so policies
for networks let nobody in here. Nothing is changed and nobody is told.

--csv has a line for each user, to hand to those who help them.`,
		Example: `  vssgate rollout report
  vssgate rollout report --under ou=hue,dc=example,dc=vn --client hq-vpn --csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Users = asCSV || asJSON
			show := showRollout
			if asCSV {
				show = rolloutCSV
			}
			return call(cmd, w, asJSON, "/rollout/report", in, show)
		},
	}
	cmd.Flags().StringVar(&in.Under, "under", "", "DN of a part of the directory")
	cmd.Flags().StringVar(&in.Client, "client", "", "the client whose policies count")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "a line for each user")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showRollout(out page, r admin.RolledOut) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PART\tUSERS\tREADY\tNO NUMBER\tNO DEVICE\tOLD APP\tOTHER\tLET IN BY A RULE\tWOULD BE REFUSED")
	for _, p := range append(r.Parts, r.Total) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", p.Part, p.Users, p.Ready, p.NoNumber, p.NoDevice, p.OldApp, p.Other, p.Exempt, p.Refused)
	}
	t.Flush()
	fmt.Fprintf(out, "\nwould be refused tomorrow: %d\n", r.Refused)
}

func rolloutCSV(out page, r admin.RolledOut) {
	w := csv.NewWriter(out)
	w.Write([]string{"username", "part", "problem", "rule", "would_be_refused"})
	for _, u := range r.Users {
		w.Write([]string{u.Username, u.Part, u.Problem, u.Rule, strconv.FormatBool(u.Refused)})
	}
	w.Flush()
}
