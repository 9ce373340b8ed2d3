package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
)

func emergencyCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emergency",
		Short: "let a group log in on the password alone for a while, when the second factor is out of order",
		Long: `For the day on which VssID or the phone network is down and work must go on: the
members of one group log in on the password alone, for at most an hour. It ends
by itself by the store's clock, survives a restart, counts on all nodes, shows in
every log line and list, and is in the audit: who, why, and each login by it. It
cannot be renewed while it is on. Logins that are open already stay as they are:
who has just tried waits until his login is over, two minutes at most.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(emergencyOnCommand(w), emergencyOffCommand(w), emergencyStatusCommand(w))
	return cmd
}

func emergencyOnCommand(w *where) *cobra.Command {
	var in admin.EmergencyOn
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "on --group DN --minutes M --why TEXT",
		Short:   "begin one, for 1 to 60 minutes",
		Example: `  vssgate emergency on --group cn=duty,ou=groups,dc=example,dc=vn --minutes 30 --why "VssID down"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Minutes < 1 || in.Minutes > 60 {
				return errUsage{fmt.Errorf("--minutes %d: want 1 to 60", in.Minutes)}
			}
			return call(cmd, w, asJSON, "/emergency/on", in, showEmergency)
		},
	}
	cmd.Flags().StringVar(&in.Group, "group", "", "DN of the group, as users have it in the directory")
	cmd.Flags().IntVar(&in.Minutes, "minutes", 0, "for how long, at most 60")
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	for _, needed := range []string{"group", "minutes", "why"} {
		cmd.MarkFlagRequired(needed)
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func emergencyOffCommand(w *where) *cobra.Command {
	var in admin.EmergencyOff
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "off",
		Short:   "end it before its time",
		Long:    "Ends an emergency on all nodes: the second factor is needed again from the next login on.",
		Example: "  vssgate emergency off",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/emergency/off", in, showEmergency)
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func emergencyStatusCommand(w *where) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "whether one is on, for whom and until when",
		Long:    "Says whether an emergency is on, for which group, until when, who declared it and why.",
		Example: "  vssgate emergency status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/emergency/status", admin.None{}, showEmergency)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showEmergency(out page, e admin.Emergency) {
	if !e.On {
		fmt.Fprintln(out, "no emergency is on")
		return
	}
	fmt.Fprintf(out, "EMERGENCY until %s: members of %s log in on the password alone (%s: %s)\n", out.clock(*e.Until), e.Group, e.By, e.Why)
	if e.Warning != "" {
		fmt.Fprintf(out, "WARNING: %s\n", e.Warning)
	}
}

// warnOfEmergency says above whatever is shown that an emergency is on.
func (w *where) warnOfEmergency(cmd *cobra.Command, socket string) {
	e, err := admin.Call[admin.Emergency](cmd.Context(), socket, "/emergency/status", admin.None{})
	if err == nil && e.On {
		showEmergency(w.page(cmd.ErrOrStderr()), e)
	}
}
