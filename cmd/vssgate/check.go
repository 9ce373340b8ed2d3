package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"vssgate/internal/config"
)

func checkCommand(w *where) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "find all mistakes in a configuration at once",
		Long: `Reads the configuration as serve would and prints every mistake and warning as
FILE:LINE:COLUMN: message on standard error. Exit code 1 when there are mistakes;
warnings do not fail. Files that are named in it are read too. Nothing is
started, and no server is asked.`,
		Example: "  vssgate check --config ./vssgate.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(w.config)
			if err != nil {
				return printProblems(cmd, err)
			}
			for _, p := range c.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), p)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is good: %d RADIUS and %d LDAP clients, %d first factors, %d warnings\n", w.config,
				len(c.RADIUS.Clients), len(c.LDAP.Clients), len(c.FirstFactors), len(c.Warnings))
			return nil
		},
	}
}

// printProblems prints all mistakes of a configuration, a line each.
func printProblems(cmd *cobra.Command, err error) error {
	var all config.Problems
	if !errors.As(err, &all) {
		return err
	}
	for _, p := range all {
		fmt.Fprintln(cmd.ErrOrStderr(), p)
	}
	return errQuiet
}

func initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "write a commented configuration and a fresh key",
		Long: `Writes into DIR, readable by you alone:

  vssgate.yaml    every key with its default and its reason
  secret.key      the installation's key, from which codes are derived: the same
                  on all nodes, and not in a backup that others can read
  hq-vpn.secret   a shared secret for the first NAS
  users.yaml      users of a first try without a directory

It never overwrites: if one of them is there, nothing is written.`,
		Example: "  vssgate init ./vssgate && vssgate check --config ./vssgate/vssgate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := config.Init(args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, path := range written {
				fmt.Fprintln(out, "wrote", path)
			}
			file := filepath.Join(args[0], "vssgate.yaml")
			fmt.Fprintf(out, "\nNext: edit %s, then\n  vssgate check --config %s\n  vssgate doctor --config %s\n  vssgate serve --config %s\n", file, file, file, file)
			return nil
		},
	}
}
