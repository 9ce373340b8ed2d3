package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vssgate/internal/audit"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/nas"
	"vssgate/internal/phoneapi"
	"vssgate/internal/store"
	"vssgate/ldapproxy"
	"vssgate/otp"
	"vssgate/push"
	"vssgate/radius"
)

// patience bounds everything one decision waits for; maxBusy how many are
// decided at once; maxOpen how many logins of one account at one client may be
// open.
const (
	patience = 20 * time.Second
	maxBusy  = 8192
	maxOpen  = 3
)

func (a *App) buildKeys(context.Context) error {
	file, err := os.ReadFile(a.config().SecretKeyFile)
	if err != nil {
		return fmt.Errorf("secret_key_file: %w", err)
	}
	if a.keys, err = otp.ParseKeys(file); err != nil {
		return fmt.Errorf("secret_key_file %s: %w", a.config().SecretKeyFile, err)
	}
	return nil
}

func (a *App) buildStore(ctx context.Context) error {
	c := a.config()
	if c.Store.Redis != nil {
		s, err := a.now.Load().openRedis(ctx)
		if err != nil {
			return err
		}
		a.store = s
		return a.surveyRedis(ctx, s)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	s, err := store.OpenEmbedded(filepath.Join(c.DataDir, "vssgate.db"), a.log)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	a.store = s
	return nil
}

func (s *settings) openRedis(ctx context.Context) (*store.Redis, error) {
	r := s.config.Store.Redis
	var secure *tls.Config
	if r.TLS != nil {
		var err error
		if secure, err = clientTLS(r.TLS.CAFile, r.TLS.CertFile, r.TLS.KeyFile, r.TLS.ServerName); err != nil {
			return nil, fmt.Errorf("store.redis.tls: %w", err)
		}
	}
	opened, err := store.OpenRedis(ctx, store.RedisOptions{
		Addresses: r.Addresses, MasterName: r.MasterName, Cluster: r.Cluster, Username: r.Username, Password: r.Password, TLS: secure, Log: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return opened, nil
}

// surveyRedis refuses a Redis that breaks promises, and warns of one that could
// be safer.
func (a *App) surveyRedis(ctx context.Context, s *store.Redis) error {
	faults, err := s.Survey(ctx)
	if err != nil {
		a.log.Warn("the settings of Redis cannot be looked at", "error", err, "hint", "give the user of store.redis the right to INFO")
	}
	for _, f := range faults {
		if f.Unsafe {
			return fmt.Errorf("store: %v", f)
		}
		a.log.Warn("store: "+f.What, "redis", f.Server, "hint", f.Do)
	}
	return nil
}

func clientTLS(caFile, certFile, keyFile, serverName string) (*tls.Config, error) {
	roots, err := Authorities(caFile)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}
	if certFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// serverTLS is nil where no certificate is configured.
func (a *App) serverTLS(key, certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" {
		return nil, nil
	}
	cert, err := a.certs.Pair(key, certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert(), nil }, MinVersion: tls.VersionTLS12,
	}, nil
}

func (a *App) buildAudit(context.Context) (err error) {
	c := a.config().Audit
	if filepath.Dir(c.File) == a.config().DataDir {
		if err := os.MkdirAll(a.config().DataDir, 0o700); err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
	}
	if a.audit, err = audit.Open(c.File, a.keys, a.log); err != nil {
		return err
	}
	a.audit.Keep = c.Keep
	if c.Syslog.Address != "" {
		a.syslog = &audit.Forwarder{Path: c.File, Network: c.Syslog.Network, Address: c.Syslog.Address, Log: a.log}
		if c.Syslog.TLS {
			a.syslog.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	return nil
}

func (a *App) buildPeople(ctx context.Context) error {
	var err error
	if a.people, err = enrol.New(a.store, a.keys, people(a.config())); err != nil {
		return err
	}
	if err := a.people.Claim(ctx); err != nil {
		return fmt.Errorf("secret_key_file %s: %w", a.config().SecretKeyFile, err)
	}
	a.prompter = push.NewPrompter(nil, targets{a.people}, push.PrompterOptions{Log: a.log, Meter: a.metrics, Trail: a.trail,
		Mine: func(ctx context.Context, p login.Prompt) (bool, error) { return a.engine.MayPrompt(ctx, p) }})
	return nil
}

func (a *App) buildEngine(context.Context) error {
	_, alone := a.store.(*store.Embedded)
	a.engine = login.New(login.Options{
		Alone: alone,
		Store: a.store, Keys: a.keys, People: a.people, Witness: phoneapi.Evidence{People: a.people, Backends: a.backends}, Fallbacks: a.people, Prompter: a.prompter, Auditor: a.audit, Meter: a.metrics, Log: a.log, Trail: a.trail,
		InGroup: inGroup, KeepGroups: func(groups []string) []string { return a.now.Load().keepGroups(groups) }, Patience: patience, MaxBusy: maxBusy,
	})
	return nil
}

func (a *App) buildFrontEnds(ctx context.Context) (err error) {
	a.phones, err = phoneapi.New(phoneapi.Options{
		People: a.people, Engine: a.engine, Store: a.store, Texts: wordings{a}, PublicURL: a.config().VssID.PublicURL, Meter: a.metrics, Log: a.log,
		Notice:   a.prompter.Notice,
		Backends: a.backends,
		Record:   func(by, action, target string) error { return a.record(by, action, target, "") },
	})
	if err != nil {
		return err
	}
	if a.phoneTLS, err = a.serverTLS("vssid.tls", a.config().VssID.TLS.CertFile, a.config().VssID.TLS.KeyFile); err != nil {
		return err
	}
	if err := a.buildRADIUS(ctx); err != nil {
		return err
	}
	return a.buildLDAP()
}

func (a *App) buildRADIUS(ctx context.Context) error {
	c := a.config().RADIUS
	if len(c.Clients) == 0 {
		return nil
	}
	var err error
	if err = a.buildRADIUSTLS(); err != nil {
		return err
	}
	accountant, err := a.buildAccounting()
	if err != nil {
		return err
	}
	a.radius, err = radius.New(radius.Options{
		Handler: a.engine, Text: a.reply, Ready: func() bool { return a.Ready() == nil },
		Accountant: accountant, Trail: a.trail, EAPKey: a.keys.MAC(otp.PurposeState, []byte("eap")),
		Signs: func(client string, s radius.Signer, done func(safe bool)) {
			a.ratchets.Turned(client, nas.Signer(s), done)
		},
		MaxHeld: c.MaxHeld, DrainFor: drainFor, Meter: a.metrics, Log: a.log,
	})
	if err != nil {
		return err
	}
	return nil
}

// buildNASes recalls what was learnt of the NASes.
func (a *App) buildNASes(ctx context.Context) error {
	if a.radius == nil {
		return nil
	}
	a.timekeeper = &nas.Timekeeper{Store: a.store, Read: a.timers, Hold: a.hold, Log: a.log}
	before, err := a.timekeeper.Load(ctx)
	if err != nil {
		return err
	}
	timers := make([]radius.Timers, len(before))
	for i, t := range before {
		timers[i] = radius.Timers(t)
	}
	a.radius.Recall(timers)
	a.ratchets = nas.NewRatchets(a.store, func(client string, known []nas.Signer) {
		signers := make([]radius.Signer, len(known))
		for i, s := range known {
			signers[i] = radius.Signer(s)
		}
		a.radius.Remember(client, signers)
	}, a.log)
	return a.ratchets.Load(ctx)
}

func (a *App) buildRADIUSTLS() (err error) {
	t := a.config().RADIUS.TLS
	if len(t.Listen) == 0 {
		return nil
	}
	if a.radiusTLS.Certificate, err = a.certs.Pair("radius.tls", t.CertFile, t.KeyFile); err != nil {
		return err
	}
	a.radiusTLS.Authorities, err = a.certs.Authorities("radius.tls.ca_file", t.CAFile)
	return err
}

func (a *App) buildLDAP() error {
	c := a.config().LDAP
	if len(c.Clients) == 0 {
		return nil
	}
	secure, err := a.serverTLS("ldap.tls", c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return err
	}
	o := ldapproxy.Options{
		TLS: secure, MaxConnections: c.MaxConnections, DrainFor: drainFor, Handler: a.engine, Text: a.reply, Meter: a.metrics, Trail: a.trail, Log: a.log,
	}
	a.ldap, err = ldapproxy.New(o)
	return err
}
