package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/internal/upstream"
	"vssgate/radius"
)

// A firstFactor is a configured directory, file, or list of RADIUS servers.
type firstFactor struct {
	login.FirstFactor
	ldap     *directory.LDAP  // nil: not one
	upstream *upstream.Factor // nil: it is none
}

func (f *firstFactor) ping(ctx context.Context) error {
	switch {
	case f.ldap != nil:
		return f.ldap.Ping(ctx)
	case f.upstream != nil:
		return f.upstream.Ping(ctx)
	}
	return nil
}

func (f *firstFactor) close() {
	if f.ldap != nil {
		f.ldap.Close()
	}
	if f.upstream != nil {
		f.upstream.Close()
	}
}

func (a *App) buildDirectories(context.Context) error {
	for _, c := range a.config.FirstFactors {
		if c.RADIUS != nil {
			continue
		}
		f, err := a.newFirstFactor(c)
		if err != nil {
			return err
		}
		a.directories[c.Name] = f
	}
	for _, c := range a.config.FirstFactors { // these ask the others who users are
		if c.RADIUS == nil {
			continue
		}
		f, err := a.newUpstream(c.Name, c.RADIUS)
		if err != nil {
			return fmt.Errorf("first factor %s: %w", c.Name, err)
		}
		a.directories[c.Name] = &firstFactor{FirstFactor: f, upstream: f}
	}
	return nil
}

func (a *App) newUpstream(name string, c *config.RADIUSServers) (*upstream.Factor, error) {
	o := upstream.Options{
		Name: name, Identify: a.directories[c.IdentifyWith], Pass: c.PassAttributes, Timeout: c.Timeout, Meter: a.metrics, Log: a.log,
	}
	for _, s := range c.Servers {
		server := upstream.Server{Address: s.Address, Secret: s.Secret}
		if s.TLS != nil {
			link, err := a.newLink(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Address, err)
			}
			server.Link, server.Secret = link, link.Secret()
		}
		o.Servers = append(o.Servers, server)
	}
	return upstream.New(o)
}

// newLink makes the way to a RADIUS server over TLS.
func (a *App) newLink(s config.RADIUSServer) (link *radius.Link, err error) {
	o := radius.LinkOptions{Address: s.Address, ServerName: s.TLS.ServerName, Secret: s.Secret, Log: a.log}
	if s.TLS.CertFile != "" {
		if o.Credentials.Certificate, err = a.certs.Pair("tls", s.TLS.CertFile, s.TLS.KeyFile); err != nil {
			return nil, err
		}
	}
	if o.Credentials.Authorities, err = a.certs.Authorities("tls.ca_file", s.TLS.CAFile); err != nil {
		return nil, err
	}
	if link, err = radius.NewLink(o); err == nil {
		a.links = append(a.links, link)
	}
	return link, err
}

func (a *App) newFirstFactor(c config.FirstFactor) (*firstFactor, error) {
	if c.LDAP == nil {
		file, err := directory.NewFile(c.File, a.log)
		if err != nil {
			return nil, fmt.Errorf("first factor %s: %w", c.Name, err)
		}
		return &firstFactor{FirstFactor: file}, nil
	}
	d, err := a.newLDAP(c.Name, c.LDAP, c.LDAP.URLs, c.LDAP.StartTLS, c.LDAP.CAFile)
	if err != nil {
		return nil, err
	}
	return &firstFactor{FirstFactor: d, ldap: d}, nil
}

// newLDAP makes a directory from its configuration, at these servers.
func (a *App) newLDAP(name string, c *config.LDAPDirectory, urls []string, startTLS bool, caFile string) (*directory.LDAP, error) {
	roots, err := Authorities(caFile)
	if err != nil {
		return nil, fmt.Errorf("first factor %s: %w", name, err)
	}
	return directory.NewLDAP(directory.LDAPOptions{
		Name: name, URLs: urls, StartTLS: startTLS, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		BindDN: c.BindDN, BindPassword: c.BindPassword, BaseDNs: c.BaseDNs, UserFilter: c.UserFilter, Domains: c.Domains,
		AD: c.Kind == config.ActiveDirectory, NestedGroups: c.NestedGroups,
		Attributes: directory.Attributes{
			ID: c.Attributes.ID, Username: c.Attributes.Username, DisplayName: c.Attributes.DisplayName,
			Number: c.Attributes.BHXHNumber, Kind: c.Attributes.Kind, Custodian: c.Attributes.Custodian, Groups: c.Attributes.Groups,
		},
		Timeout: c.Timeout, Log: a.log,
	})
}

// Authorities reads a CA file; none means the system's.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}
