package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"vssgate/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see all of it work in one process, with nothing else installed",
		Long: `Runs the whole product in this process: a small directory, the embedded store in
a temporary folder, RADIUS, LDAP, the phone API, and four users with a phone
each. Walks through one login of each kind and shows each packet, prompt and
code with its time; then it stays up and says what to type next.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelDebug
			}
			o.Out = cmd.OutOrStdout()
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return demo.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.RADIUS, "radius", "127.0.0.1:1812", "where to listen for RADIUS")
	flags.StringVar(&o.LDAP, "ldap", "127.0.0.1:3389", "where to listen for LDAP")
	flags.StringVar(&o.HTTP, "http", "127.0.0.1:8080", "where to listen for phones")
	flags.BoolVar(&o.Once, "once", false, "end after the walk-through")
	flags.BoolVar(&verbose, "verbose", false, "log everything, not only warnings")
	return cmd
}
