package ldapproxy

import (
	"fmt"
	"time"

	"github.com/nmcclain/ldap"

	"vssgate/internal/login"
)

// bind is one BindRequest from its arrival to its answer. It is the first
// factor of its login (factor.go): the password is checked on the client's own
// upstream connection.
type bind struct {
	c       *conn
	client  *Client // as it is when the bind comes
	request bindRequest
	rule    *Exempt // needs no second factor, by this rule
	normal  string  // rule: its DN, normalised

	// Guarded by c.mu.
	asked   bool      // Check was called
	by      *upstream // where the directory said success
	frame   []byte    // how it said it; nil: not yet, or it said something else
	done    bool      // the answer is settled
	said    []byte    // rule: the answer, until the engine is done with it
	decided bool      // the engine is
	left    bool      // nobody waits for it any more
	leave   func()    // tells the engine that
}

// beginBind gives the turn to a bind, or refuses it on the spot. queued: it
// waited behind another.
func (c *conn) beginBind(h header, frame []byte, queued bool) error {
	rules := c.server.rules.Load()
	client := rules.clients.find(c.from)
	if client == nil {
		return noClient
	}
	c.client.Store(client)
	request, refused, err := decodeBind(h, frame, c.tls || !rules.requireTLS, c.raw)
	if err != nil {
		return err
	}
	b := &bind{c: c, client: client, request: request}
	if refused == nil {
		b.normal, b.rule = c.exemption(rules, request.name)
		refused, err = refusesControls(request.controls, b.rule != nil)
		if err != nil {
			return err
		}
	}
	if refused != nil {
		c.refused("bind", refused)
		c.unserved(request.name, refused)
		c.forget()
		return c.send(encodeResult(h.id, ldap.ApplicationBindResponse, refused.code, refused.text))
	}
	c.mu.Lock()
	c.bind = b
	c.turn.Broadcast()
	c.mu.Unlock()
	switch {
	case request.name == "" && request.password == "":
		c.spawn(b.runAnonymous)
	case b.rule != nil && !queued:
		return b.runHere()
	case b.rule != nil: // not on the stack of the one before it: a client may keep them coming
		c.spawn(b.run)
	default:
		b.run()
	}
	return nil
}

// runHere has a service account's bind, for which nobody waits but the
// directory, decided in the reader's goroutine. When that takes long another
// goroutine reads on, so that a client that leaves is noticed.
func (b *bind) runHere() error {
	c := b.c
	if c.slow == nil {
		c.slow = time.AfterFunc(readOnAfter, c.readOn)
	} else {
		c.slow.Reset(readOnAfter)
	}
	c.mu.Lock()
	c.here = b
	c.mu.Unlock()
	b.run()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here != b {
		return errReadOn
	}
	c.here = nil
	c.slow.Stop()
	return nil
}

// readOnAfter is how long a client may not be listened to.
const readOnAfter = 50 * time.Millisecond

// readOn reads the client in another goroutine while a bind is being decided in
// the one that did.
func (c *conn) readOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here != nil && !c.closed {
		c.here = nil
		c.working.Go(c.run)
	}
}

// unserved tells who follows logins of a bind that was refused without one, if it
// names a user. Of a flood each user's first are told of.
func (c *conn) unserved(name string, r *refusedBind) {
	if c.server.o.Trail == nil || name == "" {
		return
	}
	client, why := c.client.Load().Login, fmt.Sprintf("ldap_result_%d", r.code)
	if stray := c.server.strays.Of(client.Name+" "+why, name, login.NewID(), time.Now()); !stray.Known && !stray.Crowd {
		c.server.o.Trail.Tell(login.Event{Attempt: stray.ID, Kind: login.EventRefused, Word: why,
			Request: &login.Request{FrontEnd: login.LDAP, Client: client, Username: name, Source: c.from}})
	}
}

// run hands the bind to the engine.
func (b *bind) run() {
	leave := b.c.server.o.Handler.Handle(b.login())
	b.request.password = "" // the engine has it as long as it needs it
	b.c.mu.Lock()
	b.leave, b.decided = leave, true
	left, said := b.left, b.said
	b.c.mu.Unlock()
	if left && leave != nil {
		leave()
	}
	if said != nil {
		b.close(said)
	}
}

// login is what the engine is asked.
func (b *bind) login() *login.Request {
	r := &login.Request{
		FrontEnd: login.LDAP,
		Client:   b.client.Login,
		Station:  b.c.station, // all that LDAP shows of the user's whereabouts
		Source:   b.c.from,
		Username: b.request.name,
		Password: []byte(b.request.password),
		First:    b,
		OwnCheck: true,
		Reply:    b.reply,
	}
	if b.rule != nil {
		r.Rule = "exempt:" + b.normal
	}
	return r
}

// runAnonymous asks the directory whether the client may be anonymous. There is
// nothing to judge, but its answer passes through the same gate.
func (b *bind) runAnonymous() {
	frame, _, err := b.ask(b.c.ctx, "", "")
	if !b.settle() {
		return
	}
	if err != nil {
		b.c.log("anonymous bind", err)
		frame = b.result(ldap.LDAPResultUnavailable, b.c.unavailable())
	}
	b.c.mu.Lock()
	b.c.standing = anonymous
	b.c.mu.Unlock()
	b.close(frame)
}

// reply is the engine's word, from any goroutine; only the first counts.
func (b *bind) reply(r login.Reply) {
	switch {
	case !b.settle():
	case b.rule != nil:
		b.closeDecided(b.answer(r))
	default:
		b.closeBeside(r)
	}
}

// closeDecided answers in the goroutine that has the bind decided, once the engine
// has let it go: a client that does not read is no reason to decide less.
func (b *bind) closeDecided(frame []byte) {
	b.c.mu.Lock()
	decided := b.decided
	b.said = frame
	b.c.mu.Unlock()
	if decided {
		b.c.spawn(func() { b.close(frame) })
	}
}

func (b *bind) closeBeside(r login.Reply) { b.c.spawn(func() { b.close(b.answer(r)) }) }

// settle fixes that the bind is answered now; false: it is too late for that.
func (b *bind) settle() bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.done || b.c.closed {
		return false
	}
	b.done = true
	return true
}

// answer turns the engine's reply into a BindResponse, and the client into who
// it says.
func (b *bind) answer(r login.Reply) []byte {
	if r.Kind == login.Accept {
		if frame := b.accept(); frame != nil {
			return frame
		}
		if trail := b.c.server.o.Trail; trail != nil { // let in, and yet it will hear 52
			trail.Tell(login.Event{Attempt: r.Attempt, Kind: login.EventDropped, Word: lostUpstream})
		}
		r = login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable, Trace: r.Trace}
	}
	b.c.forget()
	code := ldap.LDAPResultCode(ldap.LDAPResultUnavailable)
	switch {
	case r.Kind == login.Reject && r.Reason == login.EmptyPassword:
		code = ldap.LDAPResultUnwillingToPerform
	case r.Kind == login.Reject:
		code = ldap.LDAPResultInvalidCredentials
	case r.Kind != login.NoAnswer: // what LDAP cannot show, or silence, though the client waits
		r = login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable, Trace: r.Trace}
	}
	if code == ldap.LDAPResultUnavailable {
		b.c.server.meter.Refused(string(r.Reason)) // shed, or whatever is down
		r.Reason = login.Unavailable
	}
	return b.result(code, b.c.server.o.Text(b.client.Login, r))
}

// lostUpstream: the connection that the password was checked on is gone when the
// client is to be let in.
const lostUpstream = "upstream_lost"

// accept lets the client in with the directory's own answer; nil when there is
// none, or the connection that it holds for is gone.
func (b *bind) accept() []byte {
	c := b.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.frame == nil || c.up == nil || c.up != b.by {
		return nil
	}
	c.standing = approved
	if b.rule != nil {
		c.standing = exempted
	}
	return b.frame
}

func (b *bind) result(code ldap.LDAPResultCode, text string) []byte {
	return encodeResult(b.request.id, ldap.ApplicationBindResponse, code, text)
}

// close sends the answer and runs what waited behind the bind.
func (b *bind) close(frame []byte) {
	if err := b.c.send(frame); err != nil {
		b.c.end(err)
		return
	}
	b.c.runQueue(b)
}

// exemption finds the rule for a name, and remembers the last one: applications
// bind again and again with a name of their own. The caller has the turn.
func (c *conn) exemption(of *rules, name string) (normal string, rule *Exempt) {
	if m := &c.exempt; m.rule != nil && m.of == of && m.name == name {
		return m.normal, m.rule
	}
	normal, rule = of.exemption(name, c.from)
	if rule != nil {
		c.exempt.of, c.exempt.name, c.exempt.normal, c.exempt.rule = of, name, normal, rule
	}
	return normal, rule
}

// desert notes that nobody waits for the bind any more, and returns how to tell
// the engine. c.mu is held; b may be nil.
func (b *bind) desert() (leave func()) {
	if b == nil || b.done {
		return func() {}
	}
	b.done, b.left = true, true
	if b.leave == nil { // run calls it as soon as it knows it
		return func() {}
	}
	return b.leave
}

// forget makes the client anonymous. An upstream connection that may hold an
// identity is closed; the next one is opened when it is needed. The caller has
// the turn.
func (c *conn) forget() {
	c.mu.Lock()
	c.standing = anonymous
	u := c.up
	if u == nil || !u.identified {
		c.mu.Unlock()
		return
	}
	c.up, c.pending = nil, nil
	c.mu.Unlock()
	u.retire()
}

func (c *conn) log(what string, err error) {
	if c.ctx.Err() == nil {
		c.server.log.Error(what+" failed at the directory", "client", c.client.Load().Login.Name, "from", c.from, "cause", err)
	}
}
