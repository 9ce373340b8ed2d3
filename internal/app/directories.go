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

func (s *settings) buildDirectories() error {
	for _, c := range s.config.FirstFactors {
		if c.RADIUS != nil {
			continue
		}
		f, err := s.newFirstFactor(c)
		if err != nil {
			return err
		}
		s.directories[c.Name] = f
	}
	for _, c := range s.config.FirstFactors { // these ask the others who users are
		if c.RADIUS == nil {
			continue
		}
		f, err := s.newUpstream(c.Name, c.RADIUS)
		if err != nil {
			return fmt.Errorf("first factor %s: %w", c.Name, err)
		}
		s.directories[c.Name] = &firstFactor{FirstFactor: f, upstream: f}
	}
	return nil
}

func (s *settings) newUpstream(name string, c *config.RADIUSServers) (*upstream.Factor, error) {
	o := upstream.Options{
		Name: name, Identify: s.directories[c.IdentifyWith], Pass: c.PassAttributes, Timeout: c.Timeout, Meter: s.metrics, Log: s.log,
	}
	for _, c := range c.Servers {
		server := upstream.Server{Address: c.Address, Secret: c.Secret}
		if c.TLS != nil {
			link, err := s.newLink(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Address, err)
			}
			server.Link, server.Secret = link, link.Secret()
		}
		o.Servers = append(o.Servers, server)
	}
	return upstream.New(o)
}

// newLink makes the way to a RADIUS server over TLS.
func (s *settings) newLink(c config.RADIUSServer) (link *radius.Link, err error) {
	o := radius.LinkOptions{Address: c.Address, ServerName: c.TLS.ServerName, Secret: c.Secret, Log: s.log}
	if c.TLS.CertFile != "" {
		if o.Credentials.Certificate, err = s.certs.Pair("tls", c.TLS.CertFile, c.TLS.KeyFile); err != nil {
			return nil, err
		}
	}
	if o.Credentials.Authorities, err = s.certs.Authorities("tls.ca_file", c.TLS.CAFile); err != nil {
		return nil, err
	}
	if link, err = radius.NewLink(o); err == nil {
		s.links = append(s.links, link)
	}
	return link, err
}

func (s *settings) newFirstFactor(c config.FirstFactor) (*firstFactor, error) {
	if c.LDAP == nil {
		file, err := directory.NewFile(c.File, s.log)
		if err != nil {
			return nil, fmt.Errorf("first factor %s: %w", c.Name, err)
		}
		return &firstFactor{FirstFactor: file}, nil
	}
	d, err := s.newLDAP(c.Name, c.LDAP, c.LDAP.URLs, c.LDAP.StartTLS, c.LDAP.CAFile)
	if err != nil {
		return nil, err
	}
	return &firstFactor{FirstFactor: d, ldap: d}, nil
}

// newLDAP makes a directory from its configuration, at these servers.
func (s *settings) newLDAP(name string, c *config.LDAPDirectory, urls []string, startTLS bool, caFile string) (*directory.LDAP, error) {
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
		Timeout: c.Timeout, Log: s.log,
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
