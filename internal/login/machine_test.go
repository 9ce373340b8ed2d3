package login_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vssgate/internal/login"
)

// Whatever NASes ask, phones answer and time does, in whatever order: nobody is
// let in without both factors, no code or approval counts twice or too late, no
// login prompts twice, and each ends in one record.
//
// rapid prints the seed of a run that fails; -rapid.seed runs it again.
func TestLoginsKeepTheirPromisesInAnyOrder(t *testing.T) {
	factors := map[login.Factor]int{}
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		in(t, func(w *world) {
			defer func() { failed = recover() }() // rapid's own goroutine has to see it
			m := &machine{w: w, open: map[login.ID]login.OpenLogin{}, approved: map[login.ID]approval{}, said: map[login.ID]login.AnswerKind{}, refused: map[login.ID]bool{}, letIn: map[login.ID]*asked{}, factors: factors}
			rt.Repeat(map[string]func(*rapid.T){
				"": m.check, "ask": m.then(m.ask), "ask again": m.then(m.askAgain), "answer the challenge": m.then(m.respond),
				"phone": m.then(m.answer), "leave": m.leave,
			})
			m.end(rt)
		})
		switch { // on two lines: rapid tells failures apart by where they are
		case fmt.Sprintf("%T", failed) == "rapid.invalidData":
			panic(failed)
		case failed != nil:
			panic(failed)
		}
	})
	t.Logf("let in: %v", factors)
	require.NotZero(t, factors[login.FactorCode], "nobody was let in by code: nothing was tried")
	require.NotZero(t, factors[login.FactorApproval], "nobody was let in by approval: nothing was tried")
}

// A machine is a world and what must be true of it, known from the outside only.
type machine struct {
	w        *world
	open     map[login.ID]login.OpenLogin // each login that the phone has ever shown
	approved map[login.ID]approval        // those it approved
	said     map[login.ID]login.AnswerKind
	refused  map[login.ID]bool   // those it denied or reported, or approved with a wrong number
	letIn    map[login.ID]*asked // who was let in
	factors  map[login.Factor]int

	order    []login.ID // of open
	requests []*asked
	shown    []*challenge
}

type approval struct {
	number string
	at     time.Time
}

// A challenge is what a NAS was asked.
type challenge struct {
	state  []byte
	number string
	login  login.ID
	of     *asked
}

// An asked is a request and what it was answered.
type asked struct {
	request  login.Request
	right    bool   // its password
	code     string // that it carries
	from     *challenge
	leaves   func()
	left     bool
	mu       sync.Mutex
	answered time.Time
	reply    []login.Reply
	judged   bool // its reply was looked at
}

var (
	clients = []*login.Client{
		named("asks", client(login.Challenge, login.ApprovalNumber)), named("holds", client(login.Hold, login.ApprovalSimple)),
		named("holds, then asks", thenAsks(client(login.Hold, login.ApprovalSimple))), named("appends", client(login.Append, login.ApprovalSimple)),
		named("codes only", client(login.Challenge, login.ApprovalOff)), named("application", client(login.Hold, login.ApprovalSimple)),
	}
	application = clients[len(clients)-1]
)

func named(name string, c *login.Client) *login.Client { c.Name = name; return c }

func thenAsks(c *login.Client) *login.Client { c.Then = login.ThenChallenge; return c }

func (m *machine) ask(t *rapid.T) {
	r := login.Request{
		FrontEnd: login.RADIUS, NAS: "nas", Source: netip.MustParseAddr("192.0.2.1"), First: m.w,
		Client:   pick(t, "client", clients),
		Username: rapid.SampledFrom([]string{"an", "an", "an", "an", "AN", "binh"}).Draw(t, "user"),
		Station:  rapid.SampledFrom([]string{"1", "1", "1", "1", "2", ""}).Draw(t, "station"),
		Packet:   []byte(strconv.Itoa(len(m.requests))),
	}
	if r.Client == application {
		r.FrontEnd, r.OwnCheck, r.Packet, r.NAS = login.LDAP, true, nil, ""
	}
	a := &asked{right: rapid.IntRange(0, 14).Draw(t, "slip") > 0}
	typed := password
	if !a.right {
		typed = "wrong"
	}
	if a.code = m.code(t); a.code != "" {
		typed += "," + a.code
	}
	r.Password = []byte(typed)
	m.handle(a, r)
}

// code draws what is typed: mostly nothing, else the code of any login, or none's.
func (m *machine) code(t *rapid.T) string {
	kind := rapid.IntRange(0, 11).Draw(t, "code")
	if all := m.logins(); kind > 8 && len(all) > 0 {
		return pick(t, "of login", all[max(0, len(all)-4):]).Code
	}
	if kind == 8 {
		return "000000"
	}
	return ""
}

// logins are all that were ever open, in the order in which they were shown.
func (m *machine) logins() (all []login.OpenLogin) {
	for _, id := range m.order {
		all = append(all, m.open[id])
	}
	return all
}

func (m *machine) handle(a *asked, r login.Request) {
	r.Reply = func(reply login.Reply) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answered = time.Now()
		a.reply = append(a.reply, reply)
	}
	a.request = r
	m.requests = append(m.requests, a)
	a.leaves = m.w.Handle(&r)
}

// pick draws one by its place, which is all that is told of it.
func pick[T any](t *rapid.T, what string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

// askAgain sends any request once more, as a NAS does or somebody who saw it.
func (m *machine) askAgain(t *rapid.T) {
	if len(m.requests) == 0 {
		t.Skip("none")
	}
	old := pick(t, "request", m.requests[max(0, len(m.requests)-4):])
	m.handle(&asked{right: old.right, code: old.code, from: old.from}, old.request)
}

// respond answers any challenge that was ever shown, mostly from where it was.
func (m *machine) respond(t *rapid.T) {
	if len(m.shown) == 0 {
		t.Skip("none")
	}
	c := pick(t, "challenge", m.shown[max(0, len(m.shown)-4):])
	a := &asked{right: c.of.right, code: m.open[c.login].Code, from: c}
	if rapid.Bool().Draw(t, "something else") {
		a.code = m.code(t)
	}
	r := c.of.request
	r.State, r.Packet, r.Password = c.state, []byte(strconv.Itoa(len(m.requests))), []byte(a.code)
	switch rapid.IntRange(0, 19).Draw(t, "by") {
	case 0:
		r.Username, a.right = "binh", c.of.request.Username == "binh"
	case 1:
		r.Client, a.right = clients[1], c.of.request.Client == clients[1]
	}
	m.handle(a, r)
}

func (m *machine) leave(t *rapid.T) {
	if len(m.requests) == 0 {
		t.Skip("none")
	}
	a := pick(t, "request", m.requests[max(0, len(m.requests)-4):])
	a.left = true
	a.leaves()
}

// answer is what the phone says of any login that it ever showed.
func (m *machine) answer(t *rapid.T) {
	all := m.logins()
	if len(all) == 0 {
		t.Skip("none")
	}
	l := pick(t, "login", all[max(0, len(all)-4):])
	kind := []login.AnswerKind{login.Deny, login.Deny, login.Report, login.Approve}[min(3, rapid.IntRange(0, 15).Draw(t, "says"))]
	number := pick(t, "number", append(m.numbers(l.ID), "", "42"))
	who := rapid.SampledFrom([]string{person, person, person, "person-2"}).Draw(t, "who")
	_, err := m.w.Engine.Answer(m.w.Context(), l.ID, login.Answering{Kind: kind, Number: number, Person: who, Device: "phone-1"})
	if err != nil {
		m.refused[l.ID] = m.refused[l.ID] || err == login.ErrWrongNumber
		return
	}
	require.Equal(t, person, who, "somebody else's phone")
	if before, again := m.said[l.ID]; again {
		require.Equal(t, before, kind, "another answer than before")
		return
	}
	m.said[l.ID] = kind
	require.True(t, time.Now().Before(l.Expires), "an answer after the deadline")
	if kind == login.Approve {
		m.approved[l.ID] = approval{number, time.Now()}
	}
	m.refused[l.ID] = kind != login.Approve
}

// numbers are those that were shown for a login.
func (m *machine) numbers(id login.ID) (all []string) {
	for _, c := range m.shown {
		if c.login == id {
			all = append(all, c.number, c.number)
		}
	}
	return all
}

// then is an action after which time may pass.
func (m *machine) then(action func(*rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		action(t)
		m.check(t)
		time.Sleep(rapid.SampledFrom([]time.Duration{0, 0, 0, 0, time.Second, 6 * time.Second, 11 * time.Second, 56 * time.Second, 61 * time.Second}).Draw(t, "wait"))
	}
}

// check looks at all that has happened since the last step.
func (m *machine) check(t *rapid.T) {
	synctest.Wait()
	list, err := m.w.Logins(m.w.Context(), person)
	require.NoError(t, err)
	for i := len(list.Open) - 1; i >= 0; i-- {
		l := list.Open[i]
		if was, known := m.open[l.ID]; known {
			require.Equal(t, was.Code, l.Code, "the code is the same each time")
		} else {
			m.order = append(m.order, l.ID)
		}
		m.open[l.ID] = l
	}
	for _, a := range m.requests {
		m.judge(t, a)
	}
	m.checkPrompts(t)
	m.checkAudit(t)
}

func (m *machine) judge(t *rapid.T, a *asked) {
	a.mu.Lock()
	defer a.mu.Unlock()
	require.LessOrEqual(t, len(a.reply), 1, "answered twice")
	if len(a.reply) == 0 || a.judged {
		return
	}
	a.judged = true
	switch r := a.reply[0]; r.Kind {
	case login.Accept:
		m.accepted(t, a, r)
	case login.Ask:
		require.True(t, a.right, "a challenge for a wrong password")
		m.shown = append(m.shown, &challenge{state: r.State, number: r.Number, login: r.Attempt, of: a})
	}
}

// accepted is what must hold of everybody who is let in.
func (m *machine) accepted(t *rapid.T, a *asked, r login.Reply) {
	l, known := m.open[r.Attempt]
	require.True(t, known, "let in by a login that no phone was shown")
	require.True(t, a.right, "let in with a wrong password")
	require.False(t, m.refused[l.ID], "let in by a login that was refused")
	if first := m.letIn[l.ID]; first != nil {
		require.True(t, sameAsker(first, a), "one login let in two requests")
		require.Less(t, a.answered.Sub(first.answered), 10*time.Second)
		return
	}
	m.letIn[l.ID] = a
	m.factors[r.Factor]++
	switch r.Factor {
	case login.FactorCode:
		require.Equal(t, l.Code, a.code)
		require.True(t, a.answered.Before(l.Expires), "a code after the deadline")
	case login.FactorApproval:
		m.collected(t, a, l)
	default:
		require.Fail(t, "let in", "by %q", r.Factor)
	}
}

// collected is what must hold of an approval that lets somebody in.
func (m *machine) collected(t *rapid.T, a *asked, l login.OpenLogin) {
	given, yes := m.approved[l.ID]
	require.True(t, yes, "nobody approved it")
	require.Less(t, a.answered.Sub(given.at), time.Minute, "collected after grace")
	c := a.request.Client
	require.NotEqual(t, login.ApprovalOff, c.Approval)
	if c.Approval == login.ApprovalNumber {
		require.NotNil(t, a.from)
		require.Equal(t, a.from.number, given.number, "the number of another chain")
		return
	}
	for _, b := range m.requests {
		newer := b.request.Packet != nil && a.request.Station != "" && a.from == nil && b.from == nil && a.right && b.right && a.code == "" && b.code == "" &&
			sameAsker(a, b) && number(b) > number(a)
		require.False(t, newer && !b.left && len(b.reply) == 0, "the newest request gets the verdict")
	}
}

func number(a *asked) int { n, _ := strconv.Atoi(string(a.request.Packet)); return n }

// sameAsker tells whether two requests say the same from the same place; without
// State and station, only the same packet does.
func sameAsker(a, b *asked) bool {
	one, two := a.request, b.request
	return one.Client == two.Client && one.NAS == two.NAS && one.Station == two.Station && one.Username == two.Username && string(one.State) == string(two.State) &&
		string(one.Password) == string(two.Password) && (one.Station != "" || one.State != nil || string(one.Packet) == string(two.Packet))
}

// checkPrompts: each login prompts once, and no more of an account within eight
// minutes than push_limit, those apart that were approved. (A login's own two
// minutes blur the ten.)
func (m *machine) checkPrompts(t *rapid.T) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	once := map[login.ID]bool{}
	recent := map[string]int{}
	for _, p := range m.w.prompts {
		require.False(t, once[p.Login], "prompted twice")
		once[p.Login] = true
		_, approved := m.approved[p.Login]
		if !approved && time.Since(p.Expires) < 6*time.Minute {
			recent[p.Account]++
			require.LessOrEqual(t, recent[p.Account], testPolicy.PushLimit.Count)
		}
	}
}

// checkAudit: each login ends in one record, and nobody is let in without.
func (m *machine) checkAudit(t *rapid.T) {
	ended := map[login.ID]login.AuditRecord{}
	for _, r := range m.w.audited() {
		_, twice := ended[r.Attempt]
		require.False(t, twice, "two records of one login")
		ended[r.Attempt] = r
		if r.Accepted {
			require.Contains(t, []login.Factor{login.FactorCode, login.FactorApproval}, r.Factor)
		}
	}
	for id := range m.letIn {
		require.True(t, ended[id].Accepted, "let in without a record")
	}
}

// end lets everything run out: every request has one answer and every login one
// record.
func (m *machine) end(t *rapid.T) {
	time.Sleep(5 * time.Minute)
	m.check(t)
	for _, a := range m.requests {
		require.Len(t, a.reply, 1, "never answered")
	}
	records := map[login.ID]bool{}
	for _, r := range m.w.audited() {
		records[r.Attempt] = true
	}
	list, err := m.w.Logins(m.w.Context(), person)
	require.NoError(t, err)
	require.Empty(t, list.Open)
	for id := range m.open {
		require.True(t, records[id], "a login without a record")
	}
}
