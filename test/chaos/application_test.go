package chaos_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Results of a bind (RFC 4511 appendix A).
const (
	bindSuccess            = 0
	bindInvalidCredentials = 49
)

// bindOne is an application's bind at one node, on a connection of its own. Only
// success and 49 are answers: with 52 (a dependency is down), a connection that
// broke, or one that its patience has closed, it goes to the next node.
func (v *visit) bindOne(ctx context.Context, server *node, typed string) (site.Answer, bool) {
	patience := v.nas.resend * time.Duration(1+v.nas.resends)
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.nas.from)}}
	raw, err := dialer.DialContext(ctx, "tcp", server.ldap)
	if err != nil {
		pause(ctx, 50*time.Millisecond)
		return site.Answer{}, false
	}
	conn := ldap.NewConn(raw, false)
	conn.Start()
	stop := sync.OnceFunc(func() { conn.Close() })
	defer stop()
	line := nasLine{At: time.Now(), What: "bind", Visit: v.number, Request: rand.Text(), Server: server.name, Client: v.nas.client, User: v.user.name,
		Station: v.station, Typed: typed}
	v.run.nas.write(line)
	bound := make(chan error, 1)
	go func() { bound <- conn.Bind("uid="+v.user.name+","+testenv.SlapdPeople, typed) }()
	ended := nasLine{What: "broke", Visit: v.number, Request: line.Request}
	select {
	case err = <-bound:
	case <-ctx.Done():
		err, ended.What = ctx.Err(), "left"
	case <-time.After(patience):
		err, ended.What = context.DeadlineExceeded, "left"
	}
	stop() // before it is written that nobody waits any more
	ended.At = time.Now()
	var said *ldap.Error
	switch {
	case err == nil:
		ended.What = "result"
	case errors.As(err, &said) && said.ResultCode < ldap.ErrorNetwork:
		ended.What, ended.Code, ended.Text = "result", int(said.ResultCode), said.Err.Error()
	}
	v.run.nas.write(ended)
	switch {
	case ended.What == "result" && ended.Code == bindSuccess:
		return site.Answer{Code: site.AccessAccept}, true
	case ended.What == "result" && ended.Code == bindInvalidCredentials:
		return site.Answer{Code: site.AccessReject, Text: ended.Text}, true
	}
	pause(ctx, 50*time.Millisecond)
	return site.Answer{}, false
}

// bindBesideAThief is a bind that waits while somebody else, who has the password,
// binds from the same application, before or while the owner approves.
func (v *visit) bindBesideAThief(ctx context.Context) bool {
	before, thief := v.dice.IntN(2) == 0, v.other(2, "thief binds")
	thief.must = "" // the checker knows whose approval it was
	return v.whileHeld(ctx, func(ctx context.Context, wg *sync.WaitGroup) {
		l, ok := v.look(ctx)
		if !ok {
			return
		}
		wg.Go(func() { thief.ended(thief.enters(ctx, v.user.password, "")) })
		if before {
			v.think(ctx)
		}
		v.say(ctx, l.ID, "approve", "")
	})
}
