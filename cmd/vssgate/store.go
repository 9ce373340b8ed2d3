package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vssgate/internal/app"
	"vssgate/internal/config"
)

func storeCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "move between the embedded store and Redis",
		Long:  "Moves what lasts between the embedded store and Redis.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(storeCopyCommand(w))
	return cmd
}

func storeCopyCommand(w *where) *cobra.Command {
	var to string
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "copy --to redis|embedded",
		Short: "copy accounts, devices, numbers, lockouts and used codes to the other store",
		Long: `Copies all that lasts (accounts, devices, numbers, lockouts, used codes and
activations, what was learnt of NASes) from the embedded store in data_dir to the
Redis that store.redis names, or back. Open logins are not copied: their users log
in again. The store that is copied stays as it is.

Stop all daemons first. Both directions need store.redis in the configuration; take
it out after copying back, before the daemon is started.`,
		Example: `  vssgate store copy --to redis
  vssgate store copy --to embedded --force`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to != "redis" && to != "embedded" {
				return errUsage{fmt.Errorf("--to %q: want redis or embedded", to)}
			}
			c, err := config.Load(w.config)
			if err != nil {
				return printProblems(cmd, err)
			}
			done, err := app.CopyStore(cmd.Context(), c, to == "redis", force)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), done)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "copied %d records and %d used codes to %s\n", done.Records, done.Marks, to)
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "where to: redis or embedded")
	cmd.Flags().BoolVar(&force, "force", false, "copy into a store that has records, replacing those with the same key")
	cmd.MarkFlagRequired("to")
	jsonFlag(cmd, &asJSON)
	return cmd
}
