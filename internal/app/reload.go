package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"vssgate/internal/config"
)

// Reload is how a running node comes to a new configuration.
type Reload struct {
	Asked <-chan os.Signal               // SIGHUP; nil: it never is
	Load  func() (*config.Config, error) // reads it
	Level *slog.LevelVar                 // of the log; may be nil
}

// begin goes by the settings that the node was made with.
func (a *App) begin(context.Context) error {
	use, err := a.prepare(a.now.Load())
	if err == nil {
		use()
	}
	return err
}

// keepSettings runs what the settings need, and takes others when it is asked
// to, until ctx ends.
func (a *App) keepSettings(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	end := a.keep(ctx, &all)
	for {
		select {
		case <-ctx.Done():
			end()
			return nil
		case <-a.Reload.Asked:
		}
		before, endBefore := a.now.Load(), end
		if !a.reload(ctx) {
			continue
		}
		end = a.keep(ctx, &all)
		all.Go(func() {
			rest(ctx, before.neededFor())
			endBefore()
			before.close()
		})
	}
}

// keep runs the settings of now until end is called or ctx ends.
func (a *App) keep(ctx context.Context, all *sync.WaitGroup) (end func()) {
	ctx, end = context.WithCancel(ctx)
	s := a.now.Load()
	all.Go(func() {
		if err := s.run(ctx); err != nil {
			a.log.Error("certificates towards upstream servers are not read again when they change", "error", err)
		}
	})
	return end
}

// neededFor is how long logins that began with s may still ask its first
// factors, in rounds.
func (s *settings) neededFor() time.Duration {
	return s.config.SecondFactor.ValidFor + s.config.SecondFactor.Grace + patience
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reload goes by what the configuration says now. One with a mistake changes
// nothing, and the log says what is wrong with it.
func (a *App) reload(ctx context.Context) (done bool) {
	daemon.SdNotify(false, reloading())
	defer daemon.SdNotify(false, daemon.SdNotifyReady)
	c, err := a.Load()
	var kept []string
	if err == nil {
		kept, err = a.take(c)
	}
	if err != nil {
		a.tellMistakes(err)
		return false
	}
	for _, p := range c.Warnings {
		a.log.Warn("configuration: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
	}
	if a.Level != nil {
		_ = a.Level.UnmarshalText([]byte(c.Log.Level)) // it was checked
	}
	if a.ratchets != nil { // of clients that are new here
		if err := a.ratchets.Load(ctx); err != nil {
			a.log.Warn("which NASes sign their requests is learnt later", "error", err)
		}
	}
	for _, key := range kept {
		a.log.Warn("reload: "+key+" changes at the next start only; until then it stays as it was", "key", key)
	}
	a.log.Info("reload: the configuration is in use", "sha256", c.Hash, "radius_clients", len(c.RADIUS.Clients), "ldap_clients", len(c.LDAP.Clients))
	return true
}

// reloading tells systemd (sd_notify(3)) that it has begun, and when.
func reloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000)
}

// take makes the node go by c, but for the keys that it names. It is in the
// audit before it counts.
func (a *App) take(c *config.Config) (kept []string, err error) {
	kept = a.keepUntilRestart(c)
	s, err := a.newSettings(c)
	if err != nil {
		return nil, err
	}
	use, err := a.prepare(s)
	if err == nil {
		err = a.record("SIGHUP", "reload", "sha256:"+c.Hash, strings.Join(kept, ", "))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	use()
	return kept, nil
}

func (a *App) tellMistakes(err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			if !p.Warning {
				a.log.Error("configuration: "+p.Message, "file", p.File, "line", p.Line, "column", p.Column)
			}
		}
		err = errors.New("the configuration has mistakes")
	}
	a.log.Error("reload: nothing changes", "error", err)
}

// keepUntilRestart gives c the values of now where they cannot change while the
// node runs, and names those that would have.
func (a *App) keepUntilRestart(c *config.Config) (kept []string) {
	keep := func(key string, now, next any) { // pointers to the same type
		was, will := reflect.ValueOf(now).Elem(), reflect.ValueOf(next).Elem()
		if !reflect.DeepEqual(was.Interface(), will.Interface()) {
			kept = append(kept, key)
			will.Set(was)
		}
	}
	was := a.config()
	keep("data_dir", &was.DataDir, &c.DataDir)
	keep("secret_key_file", &was.SecretKeyFile, &c.SecretKeyFile)
	keep("store", &was.Store, &c.Store)
	keep("second_factor.code_digits", &was.SecondFactor.CodeDigits, &c.SecondFactor.CodeDigits) // of codes that are shown already
	keep("second_factor.number_digits", &was.SecondFactor.NumberDigits, &c.SecondFactor.NumberDigits)
	keep("vssid.listen", &was.VssID.Listen, &c.VssID.Listen)
	keep("vssid.public_url", &was.VssID.PublicURL, &c.VssID.PublicURL)
	keep("vssid.tls", &was.VssID.TLS, &c.VssID.TLS)
	keep("radius.listen", &was.RADIUS.Listen, &c.RADIUS.Listen)
	keep("radius.tls", &was.RADIUS.TLS, &c.RADIUS.TLS)
	keep("radius.max_held", &was.RADIUS.MaxHeld, &c.RADIUS.MaxHeld)
	keep("radius.accounting", &was.RADIUS.Accounting, &c.RADIUS.Accounting)
	keep("ldap.listen", &was.LDAP.Listen, &c.LDAP.Listen)
	keep("ldap.tls", &was.LDAP.TLS, &c.LDAP.TLS)
	keep("ldap.max_connections", &was.LDAP.MaxConnections, &c.LDAP.MaxConnections)
	keep("admin", &was.Admin, &c.Admin)
	keep("metrics", &was.Metrics, &c.Metrics)
	keep("audit", &was.Audit, &c.Audit)
	keep("log.format", &was.Log.Format, &c.Log.Format)
	if a.radius == nil {
		keep("radius.clients", &was.RADIUS.Clients, &c.RADIUS.Clients) // nothing listens for the first one
	}
	if a.ldap == nil {
		keep("ldap.clients", &was.LDAP.Clients, &c.LDAP.Clients)
	}
	return kept
}
