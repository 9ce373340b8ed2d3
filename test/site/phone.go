package site

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
)

// A Phone is VssID in somebody's hand.
type Phone struct {
	*phone.Client
	ID string // the device's

	t testing.TB
}

// Phone enrols a phone for user n of the directory, as an administrator and
// the user would.
func (s *Site) Phone(n int) *Phone {
	s.t.Helper()
	return s.Enrol(testenv.UserName(n), phone.Enrolment{})
}

// Activation is a fresh activation code for a user.
func (s *Site) Activation(user string) string {
	s.t.Helper()
	var a struct {
		ActivationCode string `json:"activation_code"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(s.Command("device", "add", "--account", user, "--json")), &a))
	require.NotEmpty(s.t, a.ActivationCode)
	return a.ActivationCode
}

// Enrol enrols a phone that can do everything, with what e says besides.
func (s *Site) Enrol(user string, e phone.Enrolment) *Phone {
	s.t.Helper()
	key, err := phone.NewKey()
	require.NoError(s.t, err)
	return s.EnrolKey(user, key, e)
}

// EnrolKey is Enrol with a key that is there already.
func (s *Site) EnrolKey(user string, key *phone.Key, e phone.Enrolment) *Phone {
	s.t.Helper()
	c := s.Client(key)
	e.ActivationCode, e.Name, e.Platform, e.AppVersion = s.Activation(user), "Phone of "+user, "android", "1.6.8"
	e.Can = []string{"code", "approve", "number"}
	done, err := c.Enrol(c.t.Context(), e)
	require.NoError(s.t, err)
	c.ID = done.DeviceID
	return c
}

// Client is a phone with that key at this node.
func (s *Site) Client(key *phone.Key) *Phone {
	s.t.Helper()
	c, err := phone.New("http://"+s.Phones, key)
	require.NoError(s.t, err)
	return &Phone{Client: c, ID: key.ID(), t: s.t}
}

// Login waits until the phone shows a login, and returns the newest.
func (p *Phone) Login() phone.Login {
	p.t.Helper()
	return p.All()[0]
}

// All waits until the phone shows a login, and returns what it shows.
func (p *Phone) All() []phone.Login {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), Patience)
	defer cancel()
	list, err := p.Logins(ctx, Patience, "")
	require.NoError(p.t, err)
	require.NotEmpty(p.t, list.Logins, "the phone shows no login within %v", Patience)
	return list.Logins
}

// None wants that the phone shows no login now.
func (p *Phone) None() {
	p.t.Helper()
	list, err := p.Logins(p.t.Context(), 0, "")
	require.NoError(p.t, err)
	require.Empty(p.t, list.Logins)
}

// Code is the code of the newest login.
func (p *Phone) Code() string {
	p.t.Helper()
	return p.Login().Code
}

// Wrong is a code that is not the newest login's.
func (p *Phone) Wrong() string {
	p.t.Helper()
	return WrongCode(p.Code())
}

// WrongCode is another code than that.
func WrongCode(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// Yes approves the newest login, where nothing is to be matched.
func (p *Phone) Yes() phone.Answered {
	p.t.Helper()
	done, err := p.Approve(p.t.Context(), p.Login().ID, "")
	require.NoError(p.t, err)
	return done
}

// No denies the newest login.
func (p *Phone) No() phone.Answered {
	p.t.Helper()
	done, err := p.Deny(p.t.Context(), p.Login().ID, false)
	require.NoError(p.t, err)
	return done
}
