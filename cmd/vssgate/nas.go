package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
)

func nasCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nas",
		Short: "NASes: what sends RADIUS here",
		Long: `A NAS is a device that sends RADIUS: a VPN gateway, a Wi-Fi controller. NAME is
its name in radius.clients of the configuration.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(nasForgetCommand(w))
	return cmd
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
			return call(cmd, w, asJSON, "/nas/forget", in, func(out io.Writer, f admin.Forgotten) {
				fmt.Fprintf(out, "%s: forgotten of %d NASes; requests without Message-Authenticator are served again\n", f.Client, f.NASes)
			})
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}
