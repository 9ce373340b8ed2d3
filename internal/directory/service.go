package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// A serviceAccount makes connections its own.
type serviceAccount struct {
	dn       string // "": searches are anonymous
	password secret.Secret

	mu      sync.Mutex
	refusal map[*server]refusal
}

// A refusal is remembered for a while. Asking again for every login would soon
// lock the account.
type refusal struct {
	err   error
	until time.Time
}

func newServiceAccount(o LDAPOptions) *serviceAccount {
	return &serviceAccount{dn: o.BindDN, password: o.BindPassword, refusal: map[*server]refusal{}}
}

func (a *serviceAccount) bind(ctx context.Context, c *conn) error {
	if a.dn == "" {
		return nil
	}
	if err := a.refusedBy(c.server, time.Now()); err != nil {
		return err
	}
	err := c.within(ctx, func() error {
		_, err := c.Bind(a.dn, a.password.Reveal(), nil)
		return err
	})
	if err != nil {
		err = fmt.Errorf("bind as the service account %s: %w", a.dn, err)
	}
	if refused(err) {
		a.note(c.server, refusal{err: err, until: time.Now().Add(passOver)})
	}
	return err
}

func (a *serviceAccount) refusedBy(s *server, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, ok := a.refusal[s]; ok && now.Before(r.until) {
		return r.err
	}
	return nil
}

func (a *serviceAccount) note(s *server, r refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal[s] = r
}

// refused tells whether the directory judged a bind and said no.
func refused(err error) bool {
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return false
	}
	checked, err := Judge(uint64(answer.ResultCode), "", nil)
	return err == nil && checked.First == login.FirstWrong
}
