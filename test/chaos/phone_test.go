package chaos_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"vssgate/internal/phone"
)

// publicURL is what all phones know; a balancer would stand there.
const publicURL = "http://127.0.0.1:18080"

// A user has a password and, mostly, a phone.
type user struct {
	name, password, number string

	mu      sync.Mutex // held by whoever logs in as this user: people do one thing at a time
	run     *run
	device  string
	token   string
	clients []*phone.Client // the phone at each node; none: it has no phone
}

// patience is how long a phone waits for one call.
const patience = 4 * time.Second

// at makes the phone's client at each node.
func (u *user) at(key *phone.Key) error {
	u.device, u.token, u.clients = key.ID(), "token-"+key.ID(), nil
	for _, n := range u.run.nodes {
		c, err := phone.New(publicURL, key)
		if err != nil {
			return err
		}
		dialer := &net.Dialer{Timeout: patience}
		c.HTTP = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, n.phones)
			},
		}}
		u.clients = append(u.clients, c)
	}
	return nil
}

// anywhere calls a node, as a balancer that knows nothing chooses one.
func (u *user) anywhere(ctx context.Context, call func(ctx context.Context, c *phone.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx, u.clients[rand.IntN(len(u.clients))])
}

// look waits until the phone shows a login from that place.
func (u *user) look(ctx context.Context, client, from string) (found phone.Login, ok bool) {
	for ctx.Err() == nil {
		var list phone.List
		err := u.anywhere(ctx, func(ctx context.Context, c *phone.Client) (err error) {
			list, err = c.Logins(ctx, time.Second, "")
			return err
		})
		for _, l := range list.Logins {
			u.run.phones.write(phoneLine{At: time.Now(), What: "shown", Device: u.device, User: l.Username, Login: l.ID, Code: l.Code, Approval: l.Approval,
				Client: l.Client, From: l.From, Created: l.Created, Expires: l.Expires})
			if l.From == from && l.Client == client {
				found, ok = l, true
			}
		}
		if ok {
			return found, true
		}
		if err != nil || len(list.Logins) > 0 {
			pause(ctx, 100*time.Millisecond)
		}
	}
	return found, false
}

// answer says so until a node has taken it, or refused.
func (u *user) answer(ctx context.Context, login string, a phone.Answer) (verdict string) {
	for ctx.Err() == nil {
		line := phoneLine{At: time.Now(), What: "answered", Device: u.device, Login: login, Answer: a.Answer, Number: a.Number}
		err := u.anywhere(ctx, func(ctx context.Context, c *phone.Client) error {
			done, err := c.Answer(ctx, login, a)
			line.Verdict = done.Verdict
			return err
		})
		line.Until = time.Now()
		var problem *phone.Problem
		if errors.As(err, &problem) && problem.Status < 500 {
			line.Verdict = "refused"
		}
		if err != nil {
			line.Error = err.Error()
		}
		u.run.phones.write(line)
		if err == nil || line.Verdict == "refused" && problem.Code != "replayed" && problem.Code != "clock" {
			return line.Verdict
		}
		pause(ctx, 100*time.Millisecond)
	}
	return ""
}
