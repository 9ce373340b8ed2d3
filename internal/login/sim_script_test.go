package login_test

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/otp"
)

// A simUser is somebody with a password, phones and codes of an account's own.
type simUser struct {
	who      login.Identity
	names    []string
	person   string
	recovery []string
	app      []byte // the secret of the authenticator app
}

// A simPhone is one VssID of a user.
type simPhone struct {
	user      *simUser
	id        string
	revoking  int // when that was begun; 0: it was not
	revoked   int // when it was acknowledged; 0: it was not
	forgotten bool
}

// A simAsk is a request and who answered it.
type simAsk struct {
	*asked
	s      *simulation
	node   *simNode
	user   *simUser
	began  int
	alone  bool // its node spoke to a primary that is none any more
	left   bool // its client has gone
	checks int
	wrong  bool // the directory has said so
}

// settle makes users and their phones.
func (s *simulation) settle() {
	for i, names := range [][]string{{"an", "an", "an", "AN"}, {"binh"}} {
		u := &simUser{who: login.Identity{ID: "uuid-" + names[0], Username: names[0], Number: "790000000" + strconv.Itoa(i)}, names: names}
		s.users = append(s.users, u)
		s.giveAccount(u)
		s.givePhone(u)
	}
	s.givePhone(s.users[0])
}

// giveAccount makes the account, with codes of its own.
func (s *simulation) giveAccount(u *simUser) {
	account, problem, err := s.people.Mention(context.Background(), u.who)
	require.NoError(s, err)
	require.Empty(s, problem)
	u.person = account.Person
	codes, err := s.people.NewRecoveryCodes(context.Background(), account)
	require.NoError(s, err)
	u.recovery = nil
	for _, c := range codes {
		u.recovery = append(u.recovery, c.Reveal())
	}
	app, err := s.people.NewApp(context.Background(), account)
	require.NoError(s, err)
	u.app, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(app.Secret.Reveal())
	require.NoError(s, err)
}

// givePhone enrols one more phone, if there may be more.
func (s *simulation) givePhone(u *simUser) {
	act, err := s.people.AddActivation(context.Background(), u.who.ID)
	require.NoError(s, err)
	sum := sha256.Sum256([]byte(strconv.Itoa(len(s.phones))))
	d, _, err := s.people.Enrol(context.Background(), enrol.Enrolment{
		Code: act.Code, Device: base64.RawURLEncoding.EncodeToString(sum[:]), Key: make([]byte, 65), Name: "phone", Platform: "android", AppVersion: "1.6.8",
		PushToken: secret.Secret("token"), Can: []string{enrol.CanCode, enrol.CanApprove, enrol.CanNumber}, Notifications: enrol.Allowed,
	})
	if errors.Is(err, enrol.ErrFull) {
		return // those that were to be revoked are still there
	}
	require.NoError(s, err)
	s.phones = append(s.phones, &simPhone{user: u, id: d.ID})
}

// play has so many things happen, some of them while others are under way.
func (s *simulation) play(steps int) {
	for range steps {
		if s.weather == away {
			s.changeWeather()
		}
		s.step()
		wait := []time.Duration{0, 0, 0, 0, 0, time.Millisecond, 300 * time.Millisecond, time.Second, 6 * time.Second, 11 * time.Second, 50 * time.Second, 61 * time.Second}[s.rand.IntN(12)]
		busy := s.rand.IntN(20) // so many calls go before the next thing happens
		s.run(func() bool { busy--; return wait == 0 && busy < 0 }, wait)
		s.judgeAll()
	}
}

// step is one thing that happens.
func (s *simulation) step() {
	n := s.nodes[s.rand.IntN(len(s.nodes))]
	switch x := s.rand.IntN(100); {
	case x < 22:
		s.askAnew(n)
	case x < 34:
		s.askOnceMore(n)
	case x < 58:
		s.respondAt(n)
	case x < 76:
		s.phoneAnswers(n)
	case x < 78:
		s.asksGoAway()
	case x < 80:
		s.revoke(n)
	case x < 84:
		s.unlock(n)
	case n.dead.Load() || x < 90 && x > 87:
		s.killOrStart(n)
	case x < 94:
		s.changeWeather()
	case n.cut || x < 97:
		n.cut, s.disturbed = !n.cut, true
		s.tracef("%s cut off: %v", n.name, n.cut)
	default:
		s.serverFails()
	}
}

// changeWeather, and let nodes find the primary of now.
func (s *simulation) changeWeather() {
	s.weather = weathers[s.rand.IntN(len(weathers))]
	s.tracef("the weather is %s", s.weather.name)
	s.disturbed = s.disturbed || s.weather != calm
	for _, n := range s.nodes {
		if s.rand.IntN(2) == 0 {
			n.server = s.server
		}
	}
}

// recalls remembers confirmations: see Client.Remember.
var recalls = func() *login.Client {
	c := named("recalls", client(login.Challenge, login.ApprovalNumber))
	c.Remember = 10 * time.Minute
	return c
}()

func (s *simulation) askAnew(n *simNode) {
	u := s.users[min(1, s.rand.IntN(4)/3)]
	a := &simAsk{asked: &asked{right: s.rand.IntN(12) > 0}, s: s, user: u}
	typed := password
	if !a.right {
		typed = "wrong"
	}
	if s.rand.IntN(4) == 0 {
		a.code = s.someCode(u)
		typed += "," + a.code
	}
	r := login.Request{
		FrontEnd: login.RADIUS, NAS: "nas", Source: netip.MustParseAddr("192.0.2.1"),
		Client: any1(s, append(slices.Clone(clients), recalls)), Username: any1(s, u.names),
		Station: any1(s, []string{"1", "1", "1", "2", ""}), Packet: []byte(strconv.Itoa(len(s.asks))), Password: []byte(typed),
	}
	if r.Client == application {
		r.FrontEnd, r.OwnCheck, r.Packet, r.NAS = login.LDAP, true, nil, ""
	}
	s.hand(n, a, r)
}

// any1 draws one.
func any1[T any](s *simulation, from []T) T { return from[s.rand.IntN(len(from))] }

// last few of what there is.
func lastFew[T any](all []T) []T { return all[max(0, len(all)-5):] }

// someCode is of a login that a phone shows or showed, or of the account's own.
func (s *simulation) someCode(u *simUser) string {
	switch x := s.rand.IntN(10); {
	case x < 5:
		s.look(u)
		if mine := s.shownTo(u); len(mine) > 0 {
			return any1(s, lastFew(mine)).Code
		}
	case x < 7:
		return u.recovery[s.rand.IntN(3)]
	case x < 9:
		return s.timeCode(u)
	}
	return strconv.Itoa(100000 + s.rand.IntN(900000))
}

func (s *simulation) timeCode(u *simUser) string {
	return otp.TimeCode(u.app, uint64(s.server.now().Unix()/30))
}

func (s *simulation) hand(n *simNode, a *simAsk, r login.Request) {
	if n.dead.Load() {
		return
	}
	a.node, a.s, a.began = n, s, s.tick()
	r.First = a
	r.Reply = func(reply login.Reply) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n.dead.Load() {
			return
		}
		a.answered, a.reply, a.alone = n.server.now(), append(a.reply, reply), n.server.alone
		s.happened["reply "+replyWord(reply)]++
		s.tracef("%s answers %s: %s %s %s", n.name, r.Packet, replyWord(reply), reply.Factor, reply.Attempt.Trace())
		s.judge(a)
	}
	a.request = r
	s.asks = append(s.asks, a)
	s.tracef("%s is asked %s: %s %q at %s, station %q, State %x", n.name, r.Packet, r.Username, r.Password, r.Client.Name, r.Station, r.State[:min(2, len(r.State))])
	a.leaves = n.engine.Handle(&r)
}

func replyWord(r login.Reply) string {
	return []string{"Silence", "Accept", "Reject", "Ask", "Relay", "NoAnswer", "BadAnswer"}[r.Kind] + " " + string(r.Reason)
}

// Resolve and Check are the directory.
func (a *simAsk) Resolve(ctx context.Context, name string) (who login.Identity, err error) {
	err = a.node.pass(ctx, "directory resolves", func() error {
		for _, u := range a.s.users {
			if slices.Contains(u.names, name) {
				who = u.who
			}
		}
		return nil
	})
	return who, err
}

func (a *simAsk) Check(ctx context.Context, id login.Identity, typed []byte) (checked login.Checked, err error) {
	err = a.node.pass(ctx, "directory checks", func() error {
		if a.checks++; a.checks > 1 {
			a.s.violated("the password of %s was checked twice", a.request.Packet)
		}
		checked = login.Checked{First: login.FirstWrong, Reason: login.BadPassword}
		if id.ID != "" && string(typed) == password {
			checked = login.Checked{First: login.FirstRight}
		}
		return nil
	})
	a.wrong = err == nil && checked.First == login.FirstWrong
	return checked, err
}

// askOnceMore: a retransmission or a retry, here or at another node.
func (s *simulation) askOnceMore(n *simNode) {
	if len(s.asks) == 0 {
		return
	}
	old := any1(s, lastFew(s.asks))
	r := old.request
	if s.rand.IntN(2) == 0 && r.Packet != nil { // the NAS's second server, or its next try
		r.Packet = []byte(strconv.Itoa(len(s.asks)))
	}
	s.hand(n, &simAsk{asked: &asked{right: old.right, code: old.code, from: old.from}, user: old.user}, r)
}

// respondAt answers a challenge that was ever shown.
func (s *simulation) respondAt(n *simNode) {
	if len(s.challenges) == 0 {
		return
	}
	c := any1(s, lastFew(s.challenges))
	u := s.askOf(c.of).user
	s.look(u)
	a := &simAsk{asked: &asked{right: c.of.right, code: "ok", from: c}, user: u}
	switch x := s.rand.IntN(10); {
	case x < 6:
		if l, shown := s.shown[c.login]; shown {
			a.code = l.Code
		}
	case x < 8:
		a.code = s.someCode(u)
	}
	r := c.of.request
	r.State, r.Packet, r.Password = c.state, []byte(strconv.Itoa(len(s.asks))), []byte(a.code)
	s.hand(n, a, r)
}

func (s *simulation) askOf(a *asked) *simAsk {
	return s.asks[slices.IndexFunc(s.asks, func(o *simAsk) bool { return o.asked == a })]
}

func (s *simulation) asksGoAway() {
	if len(s.asks) > 0 {
		a := any1(s, lastFew(s.asks))
		s.tracef("who sent %s goes away", a.request.Packet)
		a.left = true
		a.leaves()
	}
}

// phoneAnswers says something of a login that the phone shows, or showed once.
func (s *simulation) phoneAnswers(n *simNode) {
	p := any1(s, s.phones)
	owner := p.user
	if s.rand.IntN(10) == 0 {
		owner = any1(s, s.users) // somebody else's, perhaps
	}
	s.look(owner)
	mine := s.shownTo(owner)
	if len(mine) == 0 || n.dead.Load() {
		return
	}
	l := any1(s, lastFew(mine))
	kind := []login.AnswerKind{login.Deny, login.Report, login.Approve}[min(2, s.rand.IntN(10))]
	number := ""
	for _, c := range s.challenges {
		if c.login == l.ID && s.rand.IntN(3) > 0 {
			number = c.number
		}
	}
	if kind == login.Approve && l.Approval == login.ApprovalNumber && s.rand.IntN(12) == 0 {
		number = "10"
	}
	g := &simAnswer{phone: p, login: l, kind: kind, number: number, begun: s.tick(), done: never, alone: n.server.alone}
	s.answers = append(s.answers, g)
	s.tracef("%s: phone %.4s of %s says %s %s to %s", n.name, p.id, p.user.names[0], kind, number, l.ID.Trace())
	go s.carry(n, g)
}

// carry brings an answer to a node, as the phone API does.
func (s *simulation) carry(n *simNode, g *simAnswer) {
	d, _, err := n.people.Device(context.Background(), g.phone.id)
	if err == nil && d.Revoked != nil {
		err = enrol.ErrRevoked
	}
	var out login.Answered
	if err == nil {
		out, err = n.engine.Answer(context.Background(), g.login.ID, login.Answering{
			Kind: g.kind, Number: g.number, Person: d.Person, Device: d.ID, Enrolled: d.Enrolled, Presence: "device_key", Signed: g.signed(),
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.dead.Load() {
		return
	}
	g.done, g.doneAt, g.out, g.err = s.tick(), n.server.now(), out.Outcome, err
	s.tracef("%s tells phone %.4s of %s: %s %v", n.name, g.phone.id, g.login.ID.Trace(), out.Outcome, err)
	s.judgeAnswer(g)
}

// signed stands for the signature under an answer: it says what was answered.
func (g *simAnswer) signed() string {
	return strings.Join([]string{g.login.ID.String(), g.phone.id, string(g.kind), g.number}, " ")
}

// Witness verifies that with the device as it is known now, as the phone API does.
func (n *simNode) Witness(ctx context.Context, id login.ID, g login.Given) (login.Answering, error) {
	said := strings.Split(g.Signed, " ")
	if len(said) != 4 || said[0] != id.String() {
		return login.Answering{}, login.ErrEvidence
	}
	d, _, err := n.people.Device(ctx, said[1])
	if errors.Is(err, enrol.ErrNotFound) || err == nil && d.Revoked != nil {
		return login.Answering{}, login.ErrEvidence
	}
	return login.Answering{Kind: login.AnswerKind(said[2]), Number: said[3], Person: d.Person, Device: d.ID, Enrolled: d.Enrolled}, err
}

// revoke a phone, as an administrator does when it is stolen.
func (s *simulation) revoke(n *simNode) {
	p := any1(s, s.phones)
	if n.dead.Load() || p.forgotten {
		return
	}
	if p.revoking == 0 {
		p.revoking = s.tick()
	}
	s.tracef("%s revokes phone %.4s", n.name, p.id)
	go func() {
		_, err := n.people.Revoke(context.Background(), p.id)
		if err == nil {
			err = n.engine.Withdraw(context.Background(), p.user.person, func(_, _ string) bool { return true })
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil || n.dead.Load() {
			s.tracef("%s has not revoked phone %.4s: %v", n.name, p.id, err)
			return
		}
		if p.revoked == 0 {
			p.revoked = s.tick()
			s.happened["revoked"]++
		}
		s.tracef("%s has revoked phone %.4s", n.name, p.id)
	}()
	if s.rand.IntN(2) == 0 {
		s.givePhone(p.user)
	}
}

func (s *simulation) unlock(n *simNode) {
	u := any1(s, s.users)
	go n.engine.Unlock(context.Background(), u.who.ID)
}

// killOrStart kills a node within its next calls, or starts it anew.
func (s *simulation) killOrStart(n *simNode) {
	s.disturbed = true
	i := slices.Index(s.nodes[:], n)
	switch {
	case n.dead.Load():
		s.start(i)
	case s.rand.IntN(3) == 0:
		n.die()
		s.happened["killed"]++
	default:
		n.fuse = s.rand.IntN(20)
		s.tracef("%s dies in %d calls", n.name, n.fuse)
	}
}

// serverFails: a failover, clean or with nodes left at the old primary for a
// while; a restart, with or without what was on disk; a clock that is set.
func (s *simulation) serverFails() {
	s.disturbed = true
	skew := s.server.skew + any1(s, []time.Duration{0, 0, 2 * time.Second, -2 * time.Second})
	switch x := s.rand.IntN(10); {
	case x < 6:
		s.failOver(skew)
	case x < 8:
		s.server.restart()
		s.happened["restarted"]++
		s.tracef("the primary restarts")
	case x < 9:
		s.empty()
	default:
		s.server.skew = skew + any1(s, []time.Duration{-time.Hour, -90 * time.Second, 90 * time.Second, time.Hour})
		s.happened["clock set"]++
		s.tracef("the primary's clock is set: %v", s.server.skew)
	}
	for _, a := range s.attempts { // gone for who speaks to the primary of now, or forgotten an hour early
		a.void = true
	}
}

func (s *simulation) failOver(skew time.Duration) {
	old, lost := s.server.clone(), s.rand.IntN(30)
	s.server.failOver(lost, skew)
	s.happened["failed over"]++
	s.tracef("the primary fails: up to %d writes are lost, clock %v", lost, skew)
	for _, n := range s.nodes {
		if n.server = s.server; s.rand.IntN(4) == 0 {
			n.server = old
			s.tracef("%s has not heard of it", n.name)
		}
	}
}

// empty: the primary comes back without anything, and the office enrols anew.
func (s *simulation) empty() {
	m := s.server
	m.records, m.marks, m.windows = map[string]simRecord{}, map[string]simMark{}, map[string][]time.Time{}
	m.undo, m.floor = nil, 0
	m.restart()
	s.happened["emptied"]++
	s.tracef("the primary restarts empty")
	for _, p := range s.phones {
		p.forgotten = true
	}
	for _, n := range s.nodes {
		n.server = m
	}
	for _, u := range s.users {
		s.giveAccount(u)
		s.givePhone(u)
	}
}

// rest heals everything, lets it run out, and sees that logins work again.
func (s *simulation) rest() {
	s.weather = calm
	for i, n := range s.nodes {
		if n.cut, n.server, n.fuse = false, s.server, -1; n.dead.Load() {
			s.start(i)
		}
	}
	back := 0 * time.Second
	if s.happened["clock set"] > 0 { // what was begun an hour ahead ends an hour later
		back = 2 * time.Hour
	}
	s.run(func() bool { return false }, back+15*time.Minute)
	s.judgeAll()
	if len(s.violations) == 0 {
		s.judgeEnd()
		s.works()
	}
}

// works: a challenge at one node is answered at the next with the phone's code.
func (s *simulation) works() {
	u := s.users[0]
	s.revive(u)
	for i, n := range s.nodes {
		ask := &simAsk{asked: &asked{right: true}, user: u}
		s.hand(n, ask, login.Request{
			FrontEnd: login.RADIUS, NAS: "again", Client: clients[0], Username: "an", Station: "again" + strconv.Itoa(i), Packet: []byte(strconv.Itoa(len(s.asks))), Password: []byte(password),
		})
		s.run(func() bool { return len(ask.reply) > 0 }, 10*time.Second)
		if len(ask.reply) == 0 || ask.reply[0].Kind != login.Ask {
			s.violated("service is not back at %s: %v", n.name, ask.reply)
			return
		}
		s.look(u)
		code := &simAsk{asked: &asked{right: true, code: s.shown[ask.reply[0].Attempt].Code, from: s.challenges[len(s.challenges)-1]}, user: u}
		r := ask.request
		r.State, r.Packet, r.Password = ask.reply[0].State, []byte(strconv.Itoa(len(s.asks))), []byte(code.code)
		s.hand(s.nodes[(i+1)%3], code, r)
		s.run(func() bool { return len(code.reply) > 0 }, 10*time.Second)
		if len(code.reply) == 0 || code.reply[0].Kind != login.Accept {
			s.violated("service is not back at %s: %v", n.name, code.reply)
		}
	}
}

// revive sees that the user has an account, a phone and no lock.
func (s *simulation) revive(u *simUser) {
	devices, err := s.people.Devices(context.Background(), u.person)
	require.NoError(s, err)
	if len(devices) == 0 {
		s.givePhone(u)
	}
	done := false
	go func() {
		require.NoError(s, s.nodes[0].engine.Unlock(context.Background(), u.who.ID))
		done = true
	}()
	s.run(func() bool { return done }, 10*time.Second)
	for key := range s.server.windows {
		if strings.HasPrefix(key, "tries:") {
			delete(s.server.windows, key)
		}
	}
}
