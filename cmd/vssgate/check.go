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
FILE:LINE:COLUMN: message. Exit code 1 when there are mistakes; warnings do not
fail. Nothing is started and nobody is asked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, w.config)
			if err != nil {
				return err
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
		Args:  cobra.ExactArgs(1),
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
			fmt.Fprintf(out, "\nNext: edit %s, then\n  vssgate check --config %s\n  vssgate serve --config %s\n", file, file, file)
			return nil
		},
	}
}
