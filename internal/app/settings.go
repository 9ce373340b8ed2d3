package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"vssgate/internal/certs"
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/phoneapi"
	"vssgate/internal/texts"
	"vssgate/ldapproxy"
	"vssgate/push"
	"vssgate/radius"
)

// settings are what a configuration makes that another one may replace while
// the node runs. They are made whole before anything of them is used, and never
// changed: what runs asks App.now.
type settings struct {
	config      *config.Config
	log         *slog.Logger
	metrics     *metrics
	texts       *texts.Texts
	directories map[string]*firstFactor
	links       []*radius.Link // to upstream servers over TLS
	certs       *certs.Keeper  // of links
	sender      push.Sender    // nil: nothing is pushed
	radius      []radius.Client
	ldap        ldapproxy.Rules
	keepGroups  func([]string) []string // login.Options.KeepGroups
	backends    []phoneapi.Backend
}

// newSettings makes all of them, or says why it cannot. They hold connections
// until they are closed.
func (a *App) newSettings(c *config.Config) (*settings, error) {
	s := &settings{config: c, log: a.log, metrics: a.metrics, certs: certs.New(a.log), directories: map[string]*firstFactor{}, keepGroups: keepGroups(c), backends: backends(c, a.log)}
	for _, build := range []func() error{s.buildTexts, s.buildDirectories, s.buildPush, s.buildRADIUS, s.buildLDAP} {
		if err := build(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// prepare sees whether everything that runs can go by s; use makes it so, at the
// start and at each reload.
func (a *App) prepare(s *settings) (use func(), err error) {
	var all []func()
	if a.radius != nil {
		f, err := a.radius.Prepare(s.radius)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if a.ldap != nil {
		f, err := a.ldap.Prepare(s.ldap)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if err := a.people.Configure(people(s.config)); err != nil {
		return nil, err
	}
	return func() {
		a.now.Store(s)
		a.engine.Use(policy(s.config))
		a.prompter.Use(s.sender)
		for _, f := range all {
			f()
		}
	}, nil
}

// run keeps what s needs beside the logins, until ctx ends.
func (s *settings) run(ctx context.Context) error {
	var all errgroup.Group
	all.Go(func() error { return s.certs.Run(ctx) })
	for _, l := range s.links {
		all.Go(func() error { return l.Run(ctx) })
	}
	return all.Wait()
}

func (s *settings) close() {
	for _, d := range s.directories {
		d.close()
	}
}

func (a *App) config() *config.Config               { return a.now.Load().config }
func (a *App) directories() map[string]*firstFactor { return a.now.Load().directories }

// reply is what a user reads, in the texts of now.
func (a *App) reply(c *login.Client, r login.Reply) string { return a.now.Load().texts.Reply(c, r) }

// wordings are phoneapi.Texts of now.
type wordings struct{ *App }

func (w wordings) Language(acceptLanguage string) string {
	return w.now.Load().texts.Language(acceptLanguage)
}

func (w wordings) Get(lang, key string, values map[string]any) string {
	return w.now.Load().texts.Get(lang, key, values)
}

func (s *settings) buildTexts() (err error) {
	c := s.config
	s.texts, err = texts.New(texts.Options{
		Language: c.Language, AccountURL: c.Texts.AccountURL, Support: c.Texts.Support, PlainASCII: c.PlainASCII, TimeZone: c.Location,
		CodeDigits: c.SecondFactor.CodeDigits, MinVersion: c.VssID.MinVersion, ValidFor: c.SecondFactor.ValidFor, Grace: c.SecondFactor.Grace,
		ReportLock: c.SecondFactor.Lockout.For, HasBackend: enrols(c.VssID.BackendTokens),
	})
	return err
}

func people(c *config.Config) enrol.Options {
	return enrol.Options{
		MinVersion: c.VssID.MinVersion, Platforms: c.VssID.Platforms, MaxDevices: c.VssID.MaxDevices, PublicURL: c.VssID.PublicURL,
	}
}

func policy(c *config.Config) login.Policy {
	s, t := c.SecondFactor, c.Throttle
	return login.Policy{
		ValidFor: s.ValidFor, Grace: s.Grace, CodeDigits: s.CodeDigits, NumberDigits: s.NumberDigits, WrongCodes: s.WrongCodes, MaxOpen: maxOpen,
		Lockout:   login.Lockout{After: s.Lockout.After, For: s.Lockout.For, StopAfter: s.Lockout.StopAfter},
		Throttle:  login.Throttle{PerAccount: t.PerAccount, PerSource: t.PerSource, Within: t.Within},
		PushLimit: login.Limit{Count: s.PushLimit.Count, Within: s.PushLimit.Within},
		Factors:   factorSet(s.Factors), Rules: rules(s.Policies),
	}
}

func (s *settings) buildPush() (err error) {
	s.sender, err = s.pushService()
	return err
}

// buildRADIUS makes the NASes.
func (s *settings) buildRADIUS() error {
	for _, k := range s.config.RADIUS.Clients {
		first := s.directories[k.FirstFactor]
		client := radius.Client{
			Login: &login.Client{
				Name: k.Name, Mode: login.Mode(k.Mode), Hold: k.Hold, Then: login.Then(k.Then), Separator: k.Separator, JoinUser: k.Join == "user",
				Approval: login.Approval(k.Approval), Language: k.Language, Remember: k.Remember, Observe: k.Observe.Ends,
			},
			Prefixes: k.Addresses, CertificateNames: k.CertificateNames, Secret: k.Secret, First: first, Reply: replies(k.Reply),
			Require: radius.Requirement(k.RequireMessageAuthenticator), BareReplies: !k.MessageAuthenticatorInReplies,
			Previous: k.PreviousSecret, PreviousUntil: k.PreviousExpires,
		}
		if first.upstream != nil {
			client.Upstream = first.upstream
		}
		s.radius = append(s.radius, client)
	}
	return nil
}

// buildLDAP makes the applications.
func (s *settings) buildLDAP() (err error) {
	c := s.config.LDAP
	s.ldap.RequireTLS = c.RequireTLS
	upstreams := map[string]ldapproxy.Directory{}
	for _, k := range c.Clients {
		if upstreams[k.FirstFactor] == nil {
			if upstreams[k.FirstFactor], err = s.upstream(k.FirstFactor); err != nil {
				return err
			}
		}
		s.ldap.Clients = append(s.ldap.Clients, ldapproxy.Client{
			Login: &login.Client{
				Name: k.Name, Mode: login.Mode(k.Mode), Hold: k.Hold, Then: login.ThenReject, Separator: k.Separator,
				Approval: login.Approval(k.Approval), Language: k.Language, Remember: k.Remember,
			},
			Prefixes: k.Addresses, Directory: upstreams[k.FirstFactor],
		})
	}
	for _, x := range c.ExemptBinds {
		s.ldap.Exempt = append(s.ldap.Exempt, ldapproxy.Exempt{DN: x.DN, From: x.From, Why: x.Why})
	}
	return nil
}

// An ldapUpstream is where an application's binds and operations go: names are
// found in the directory of the first factor, connections are opened to it or
// to ldap.upstream.
type ldapUpstream struct{ names, servers *directory.LDAP }

func (u ldapUpstream) ResolveBind(ctx context.Context, name string) (login.Identity, error) {
	return u.names.ResolveBind(ctx, name)
}

func (u ldapUpstream) NobodyDN() string                           { return u.names.NobodyDN() }
func (u ldapUpstream) Dial(ctx context.Context) (net.Conn, error) { return u.servers.Dial(ctx) }

func (s *settings) upstream(name string) (ldapproxy.Directory, error) {
	f := s.directories[name]
	if f == nil || f.ldap == nil {
		return nil, fmt.Errorf("ldap.clients: first factor %q is no LDAP directory; applications need one behind them", name)
	}
	up := s.config.LDAP.Upstream
	if len(up.URLs) == 0 {
		return ldapUpstream{f.ldap, f.ldap}, nil
	}
	var of *config.LDAPDirectory
	for _, c := range s.config.FirstFactors {
		if c.Name == name {
			of = c.LDAP
		}
	}
	dialer, err := s.newLDAP(name+" (ldap.upstream)", of, up.URLs, up.StartTLS, up.CAFile)
	if err != nil {
		return nil, err
	}
	s.directories[name+" (ldap.upstream)"] = &firstFactor{FirstFactor: dialer, ldap: dialer}
	return ldapUpstream{f.ldap, dialer}, nil
}
