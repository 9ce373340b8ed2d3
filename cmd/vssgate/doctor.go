package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vssgate/internal/app"
	"vssgate/internal/config"
)

func doctorCommand(w *where) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "try each dependency, and say what to do about what fails",
		Long: `Tries for real what the configuration names, each server alone: folders and their
modes, certificates, the store (with Redis its settings and its clock), a bind and
a search at each directory server, its certificate, its clock where it tells it, and
whether users have the attributes named; a request about nobody at each RADIUS server,
FCM's credentials by a message that is not delivered, syslog, and whether the ports
are free or the running daemon's own. Each finding names the key and its place in
the file, what was seen, and the way out. Nothing is changed outside. The daemon
may run, and need not.

Run it as the user that runs the daemon, on each node. Exit code 1 when something
failed; warnings work, but are less than they should be.`,
		Example: `  vssgate doctor
  vssgate doctor --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return examine(cmd, w.config, asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func examine(cmd *cobra.Command, file string, asJSON bool) error {
	all := []app.Finding{}
	failed := false
	tell := func(f app.Finding) {
		all = append(all, f)
		failed = failed || f.Result == app.Failed
		if !asJSON {
			showFinding(cmd.OutOrStdout(), f)
		}
	}
	if c, err := config.Load(file); err != nil {
		unreadable(file, err, tell)
	} else {
		app.Examine(cmd.Context(), c, tell)
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), all); err != nil {
			return err
		}
	}
	if failed {
		return errQuiet
	}
	return nil
}

// unreadable tells each mistake of a configuration: with one, nothing can be
// tried.
func unreadable(file string, err error, tell func(app.Finding)) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		tell(app.Finding{Check: "configuration", Target: file, Result: app.Failed, Found: err.Error()})
		return
	}
	for _, p := range problems {
		at := fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		f := app.Finding{Check: "configuration", Key: "configuration", At: at, Target: at, Result: app.Failed, Found: p.Message}
		if p.Warning {
			f.Result = app.Warning
		}
		tell(f)
	}
}

func showFinding(out io.Writer, f app.Finding) {
	fmt.Fprintf(out, "%-8s%s, %s: %s\n", f.Result, f.Check, f.Target, cmp.Or(f.Found, "ok"))
	if f.Result != app.Fine && f.At != "" && f.At != f.Target {
		fmt.Fprintf(out, "        at %s (%s)\n", f.At, f.Key)
	}
	if f.Do != "" {
		fmt.Fprintf(out, "        -> %s\n", f.Do)
	}
}
