package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"vssgate/internal/app"
	"vssgate/internal/config"
)

func serveCommand(w *where) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "run the daemon",
		Long: `Runs the daemon in the foreground. When every listener is bound it tells systemd
and prints "vssgate ready". SIGTERM lets held requests be answered for a few
seconds, keeps what is open, and ends.

SIGHUP reads the configuration again, with all files that it names: clients and
their secrets, first factors, policies, texts, push, log.level. What is held is
answered as its client was when it came. A configuration with a mistake changes
nothing, and the log says what is wrong with it, with line and column. What needs
a restart (addresses, store, data_dir, keys, audit, ...) stays as it was, and the
log names it. Each reload is in the audit, with the SHA-256 of the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, w.config) },
	}
}

func serve(cmd *cobra.Command, file string) error {
	c, err := config.Load(file)
	if err != nil {
		return printProblems(cmd, err)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go away: that ends no logins
	level := &slog.LevelVar{}
	_ = level.UnmarshalText([]byte(c.Log.Level)) // it was checked
	log := newLog(cmd.ErrOrStderr(), c.Log.Format, level)
	slog.SetDefault(log)
	for _, p := range c.Warnings {
		log.Warn("configuration: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
	}
	a, err := app.New(cmd.Context(), c, log)
	if err != nil {
		return err
	}
	a.Reload = app.Reload{Asked: hangups, Level: level, Load: func() (*config.Config, error) { return config.Load(file) }}
	return a.Run(cmd.Context(), func(app.Addresses) { fmt.Fprintln(cmd.OutOrStdout(), "vssgate ready") })
}

func newLog(out io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// adminSocket is the daemon's socket: as given, or as the configuration says.
// Who may use it need not be able to read the secrets named there.
func (w *where) adminSocket() (string, error) {
	if w.socket != "" {
		return w.socket, nil
	}
	socket, err := config.AdminSocket(w.config)
	if err != nil {
		return "", fmt.Errorf("cannot find the daemon's socket, give --config or --socket: %w", err)
	}
	return socket, nil
}
