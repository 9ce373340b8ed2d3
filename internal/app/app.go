package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"vssgate/internal/admin"
	"vssgate/internal/alert"
	"vssgate/internal/audit"
	"vssgate/internal/certs"
	"vssgate/internal/config"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/nas"
	"vssgate/internal/phoneapi"
	"vssgate/internal/store"
	"vssgate/internal/trail"
	"vssgate/ldapproxy"
	"vssgate/otp"
	"vssgate/push"
	"vssgate/radius"
)

// drainFor is how long held requests may still be answered after SIGTERM.
// What is open then is kept (see Store), and the NAS's retry joins it.
const drainFor = 5 * time.Second

// An App is one node, from its configuration to its listeners.
type App struct {
	Reload // how a new configuration comes; the zero value: never

	now        atomic.Pointer[settings]
	log        *slog.Logger
	emergency  *emergencyLamp
	webhook    *alert.Sender // nil: alerts are in the log only
	metrics    *metrics
	keys       *otp.Keys
	store      Store
	audit      *audit.Log
	syslog     *audit.Forwarder // nil: records stay in the file
	people     *enrol.People
	prompter   *push.Prompter
	engine     *login.Engine
	trail      *trail.Trail // what happened to logins on this node
	radius     *radius.Server
	accounting accounts // what NASes tell of sessions
	ratchets   *nas.Ratchets
	timekeeper *nas.Timekeeper
	ldap       *ldapproxy.Server
	phones     *phoneapi.API
	certs      *certs.Keeper
	radiusTLS  radius.Credentials // of radius.tls.listen
	phoneTLS   *tls.Config        // nil: plain HTTP, behind a proxy

	listeners listeners
	healthy   atomic.Pointer[error] // why the node cannot decide now; nil: it can
}

// Store is a login.Store as a node owns it.
type Store interface {
	login.Store
	Ping(ctx context.Context) error
	Close() error
}

// New builds a node. Nothing listens and no goroutine runs before Run.
func New(ctx context.Context, c *config.Config, log *slog.Logger) (*App, error) {
	lamp := &emergencyLamp{}
	log = slog.New(lampHandler{log.Handler(), lamp})
	var webhook *alert.Sender
	if c.Alerts.Webhook != "" {
		webhook = alert.New(c.Alerts.Webhook, log)
		log = slog.New(webhook.Handler(log.Handler()))
	}
	a := &App{log: log, emergency: lamp, webhook: webhook, metrics: newMetrics(), certs: certs.New(log), trail: trail.New()}
	s, err := a.newSettings(c)
	if err != nil {
		return nil, err
	}
	a.now.Store(s)
	a.metrics.registry.MustRegister(exemptionEnds(a.exemptions))
	for _, build := range []func(context.Context) error{a.buildKeys, a.buildStore, a.buildAudit, a.buildPeople, a.buildEngine, a.buildFrontEnds, a.begin, a.buildNASes} {
		if err := build(ctx); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	return a, nil
}

// Addresses are where a running node listens.
type Addresses struct {
	RADIUS, RADIUSTLS, LDAP, LDAPS []string
	Accounting                     []string
	Phones, Metrics                string
	Admin                          string
}

// Run binds every listener, calls ready, and serves until ctx ends or a part
// fails. It drains, and closes the store last.
func (a *App) Run(ctx context.Context, ready func(Addresses)) error {
	CollectSooner()
	addresses, err := a.listen()
	if err != nil {
		return errors.Join(err, a.listeners.close(), a.close())
	}
	err = a.serve(ctx, func() {
		a.log.Info("vssgate ready", "radius", addresses.RADIUS, "accounting", addresses.Accounting, "radius_tls", addresses.RADIUSTLS, "ldap", addresses.LDAP, "ldaps", addresses.LDAPS,
			"phone_api", addresses.Phones, "metrics", addresses.Metrics, "admin", addresses.Admin)
		daemon.SdNotify(false, daemon.SdNotifyReady)
		if ready != nil {
			ready(addresses)
		}
	})
	return errors.Join(err, a.close())
}

// serve runs everything in two groups: what takes logins ends first, so that
// what it holds can still be answered; then what that stands on.
func (a *App) serve(ctx context.Context, ready func()) error {
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	under, underCtx := errgroup.WithContext(base)
	under.Go(func() error { return a.engine.Run(base) })
	under.Go(func() error { return a.prompter.Run(base) })
	under.Go(func() error { return a.audit.Run(base) })
	if a.webhook != nil {
		under.Go(func() error { return a.webhook.Run(base) })
	}
	if a.syslog != nil {
		under.Go(func() error { return a.syslog.Run(base) })
	}
	if a.ratchets != nil {
		under.Go(func() error { return a.ratchets.Run(base) })
		under.Go(func() error { return a.timekeeper.Run(base) })
	}
	for _, run := range a.accounting.runs {
		under.Go(func() error { return run(base) })
	}
	under.Go(func() error { return a.serveMetrics(base) })
	under.Go(func() error { return a.phones.Serve(base, a.listeners.phones, a.phoneTLS) })
	under.Go(func() error { return admin.Serve(base, a.listeners.admin, a.commands(), a.log) })
	under.Go(func() error { return a.certs.Run(base) })
	under.Go(func() error { return a.keepSettings(base) })
	under.Go(func() error { a.watchHealth(base); return nil })
	under.Go(func() error { giveBackWhenQuiet(base); return nil })
	under.Go(func() error { a.watchEmergency(base); return nil })
	under.Go(func() error { a.announceExemptions(base); return nil })

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(underCtx, stop)() // one part that fails ends the node
	front, ctx := errgroup.WithContext(ctx)
	for _, conn := range a.listeners.radius {
		front.Go(func() error { return a.radius.Serve(ctx, conn) })
	}
	for _, conn := range a.listeners.accounts {
		front.Go(func() error { return a.radius.ServeAccounting(ctx, conn) })
	}
	for _, l := range a.listeners.radiusTLS {
		front.Go(func() error { return a.radius.ServeTLS(ctx, l, a.radiusTLS) })
	}
	for _, l := range a.listeners.ldap {
		front.Go(func() error { return a.ldap.Serve(ctx, l, false) })
	}
	for _, l := range a.listeners.ldaps {
		front.Go(func() error { return a.ldap.Serve(ctx, l, true) })
	}
	front.Go(func() error {
		<-ctx.Done()
		daemon.SdNotify(false, daemon.SdNotifyStopping)
		a.log.Info("vssgate stops: no new logins", "held_requests_are_answered_for", drainFor)
		return nil
	})
	ready()
	err := front.Wait()
	stopBase()
	return errors.Join(err, under.Wait())
}

// close gives back what New took, in reverse order.
func (a *App) close() error {
	var errs []error
	a.now.Load().close()
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.audit != nil {
		errs = append(errs, a.audit.Close())
	}
	if a.accounting.file != nil {
		errs = append(errs, a.accounting.file.Close())
	}
	return errors.Join(errs...)
}

// listeners are the node's sockets.
type listeners struct {
	radius    []*net.UDPConn
	accounts  []*net.UDPConn
	radiusTLS []net.Listener
	ldap      []net.Listener
	ldaps     []net.Listener
	phones    net.Listener
	metrics   net.Listener
	admin     *net.UnixListener
}

func (l *listeners) close() error {
	for _, c := range slices.Concat(l.radius, l.accounts) {
		c.Close()
	}
	for _, c := range slices.Concat(l.radiusTLS, l.ldap, l.ldaps) {
		c.Close()
	}
	for _, c := range []net.Listener{l.phones, l.metrics} {
		if c != nil {
			c.Close()
		}
	}
	if l.admin != nil {
		l.admin.Close()
	}
	return nil
}

// listen binds every listener, or says which one cannot be, and what to do.
func (a *App) listen() (Addresses, error) {
	var at Addresses
	c, l := a.config(), &a.listeners
	var err error
	if a.radius != nil {
		if l.radius, at.RADIUS, err = listenUDP("radius.listen", c.RADIUS.Listen); err != nil {
			return at, err
		}
		if l.accounts, at.Accounting, err = listenUDP("radius.accounting.listen", c.RADIUS.Accounting.Listen); err != nil {
			return at, err
		}
		for _, conn := range slices.Concat(l.radius, l.accounts) {
			a.metrics.watchOverflow(conn.LocalAddr().(*net.UDPAddr).AddrPort())
		}
	}
	tcp := func(key, addr string, into *[]net.Listener, named *[]string) error {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return taken(key, addr, err)
		}
		*into, *named = append(*into, ln), append(*named, ln.Addr().String())
		return nil
	}
	if a.radius != nil {
		for _, addr := range c.RADIUS.TLS.Listen {
			if err := tcp("radius.tls.listen", addr, &l.radiusTLS, &at.RADIUSTLS); err != nil {
				return at, err
			}
		}
	}
	if a.ldap != nil {
		for _, addr := range c.LDAP.Listen {
			if err := tcp("ldap.listen", addr, &l.ldap, &at.LDAP); err != nil {
				return at, err
			}
		}
		for _, addr := range c.LDAP.TLS.Listen {
			if err := tcp("ldap.tls.listen", addr, &l.ldaps, &at.LDAPS); err != nil {
				return at, err
			}
		}
	}
	if l.phones, err = net.Listen("tcp", c.VssID.Listen); err != nil {
		return at, taken("vssid.listen", c.VssID.Listen, err)
	}
	at.Phones = l.phones.Addr().String()
	if l.metrics, err = net.Listen("tcp", c.Metrics.Listen); err != nil {
		return at, taken("metrics.listen", c.Metrics.Listen, err)
	}
	at.Metrics = l.metrics.Addr().String()
	if l.admin, err = admin.Listen(c.Admin.Socket, c.Admin.Group); err != nil {
		return at, err
	}
	at.Admin = c.Admin.Socket
	return at, nil
}

func listenUDP(key string, addrs []string) (conns []*net.UDPConn, named []string, err error) {
	for _, addr := range addrs {
		udp, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return conns, named, taken(key, addr, err)
		}
		conn, err := net.ListenUDP("udp", udp)
		if err != nil {
			return conns, named, taken(key, addr, err)
		}
		conns, named = append(conns, conn), append(named, conn.LocalAddr().String())
	}
	return conns, named, nil
}

func taken(key, addr string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: no right to listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities): %w", key, addr, err)
	}
	return fmt.Errorf("%s: cannot listen on %s (is another program there? choose another port in the configuration): %w", key, addr, err)
}

// watchHealth asks what the node stands on, again and again.
func (a *App) watchHealth(ctx context.Context) {
	remembers := a.noticeMemory(ctx, time.Time{}) // since when the store does
	for {
		err := a.check(ctx)
		was := a.healthy.Swap(&err)
		switch {
		case err != nil && (was == nil || *was == nil || (*was).Error() != err.Error()):
			a.log.Error("this node cannot decide logins now", alert.Kind("not_ready"), "error", err)
		case err == nil && was != nil && *was != nil:
			a.log.Warn("this node can decide logins again", alert.Kind("ready"))
		}
		remembers = a.noticeMemory(ctx, remembers)
		select {
		case <-ctx.Done():
			return
		case <-time.After(healthEvery):
		}
	}
}

const (
	healthEvery   = 2 * time.Second
	healthTimeout = 3 * time.Second
)

// check tells whether store and directories can be asked.
func (a *App) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var errs []error
	if err := a.store.Ping(ctx); err != nil {
		err = fmt.Errorf("store: %w", err)
		if do := store.Refusal(err); do != "" {
			err = fmt.Errorf("%w (%s)", err, do)
		}
		errs = append(errs, err)
	} else if err := a.people.Claim(ctx); err != nil {
		errs = append(errs, fmt.Errorf("store: %w", err))
	}
	for name, d := range a.directories() {
		if err := d.ping(ctx); err != nil {
			errs = append(errs, fmt.Errorf("first factor %s: %w", name, err))
		}
	}
	if err := a.audit.Probe(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// noticeMemory sees whether the store has lost its memory since it was asked last,
// and returns since when it remembers everything.
func (a *App) noticeMemory(ctx context.Context, was time.Time) time.Time {
	asked, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	since, err := a.store.Since(asked)
	if err != nil {
		return was
	}
	if !was.IsZero() && !since.Equal(was) {
		a.metrics.forgotten.Inc()
		a.log.Warn("the store has another memory now: Redis was restarted, failed over, emptied, or got its first replica; what was open is void, and its users log in again",
			"since", since, "hint", "if accounts are missing too (vssgate account list), Redis came back without its data: docs/operations.md, Backup")
		a.engine.Reconsider(ctx)
	}
	return since
}

// Ready tells whether the node can decide logins, and why not.
func (a *App) Ready() error {
	if p := a.healthy.Load(); p != nil {
		return *p
	}
	return errors.New("starting")
}
