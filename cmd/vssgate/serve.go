package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
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
seconds, keeps what is open, and ends. SIGHUP checks the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, w.config) },
	}
}

func serve(cmd *cobra.Command, file string) error {
	c, err := config.Load(file)
	if err != nil {
		return printProblems(cmd, err)
	}
	log := newLog(cmd.ErrOrStderr(), c.Log)
	slog.SetDefault(log)
	for _, p := range c.Warnings {
		log.Warn("configuration: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
	}
	a, err := app.New(cmd.Context(), c, log)
	if err != nil {
		return err
	}
	defer onHangup(cmd.Context(), func() {
		if _, err := config.Load(file); err != nil {
			log.Error("SIGHUP: the configuration has mistakes; nothing changes", "error", err)
			return
		}
		log.Warn("SIGHUP: the configuration is good; restart to apply it", "file", file)
	})()
	return a.Run(cmd.Context(), func(app.Addresses) { fmt.Fprintln(cmd.OutOrStdout(), "vssgate ready") })
}

// onHangup calls f at each SIGHUP until the returned function is called.
func onHangup(ctx context.Context, f func()) (stop func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hup:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(hup); cancel(); <-ended }
}

func newLog(out io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(c.Format, "json") {
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
