package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// A TryResult is how a server answered a bind, for `vssgate try ldap`.
type TryResult struct {
	Code int    // LDAP result code; 0: accepted
	Name string // of the code
	Text string // diagnosticMessage
	Took time.Duration
	Seen int // entries of the search after the bind
}

// Try binds to an LDAP server as an application would and, if that is accepted
// and base is given, searches below it. An error means that there was no
// answer.
func Try(ctx context.Context, server string, startTLS bool, tlsConfig *tls.Config, name, password, base, filter string) (TryResult, error) {
	conn, err := ldap.DialURL(server, ldap.DialWithTLSConfig(tlsConfig), ldap.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}))
	if err != nil {
		return TryResult{}, fmt.Errorf("connect to %s: %w", server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if startTLS {
		u, err := url.Parse(server)
		if err != nil {
			return TryResult{}, err
		}
		tlsConfig = tlsConfig.Clone()
		tlsConfig.ServerName = u.Hostname()
		if err := conn.StartTLS(tlsConfig); err != nil {
			return TryResult{}, fmt.Errorf("StartTLS with %s: %w", server, err)
		}
	}
	begun := time.Now()
	err = conn.Bind(name, password)
	r := TryResult{Took: time.Since(begun), Name: "success"}
	var answer *ldap.Error
	switch {
	case errors.As(err, &answer) && answer.ResultCode < ldap.ErrorNetwork:
		r.Code, r.Name = int(answer.ResultCode), ldap.LDAPResultCodeMap[answer.ResultCode]
		if answer.Err != nil {
			r.Text = answer.Err.Error()
		}
		return r, nil
	case err != nil:
		return r, fmt.Errorf("bind at %s: %w", server, err)
	case base == "":
		return r, nil
	}
	found, err := conn.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"1.1"}, nil))
	if err != nil {
		return r, fmt.Errorf("search after the bind: %w", err)
	}
	r.Seen = len(found.Entries)
	return r, nil
}
