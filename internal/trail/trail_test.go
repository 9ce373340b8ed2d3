package trail

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

var (
	vpn   = &login.Client{Name: "hq-vpn"}
	start = time.Date(2026, 11, 24, 14, 20, 0, 0, time.UTC)
)

// A desk is a Trail with a clock of its own.
type desk struct {
	*Trail
	t     *testing.T
	clock time.Time
}

func newDesk(t *testing.T) *desk {
	d := &desk{Trail: New(), t: t, clock: start}
	d.now = func() time.Time { return d.clock }
	return d
}

// after lets time pass and tells an event.
func (d *desk) after(ms int, ev login.Event) {
	d.clock = d.clock.Add(time.Duration(ms) * time.Millisecond)
	d.Tell(ev)
}

func asks(id login.ID, word string) login.Event {
	return login.Event{Attempt: id, Kind: login.EventAsked, Word: word, Request: &login.Request{
		FrontEnd: login.RADIUS, Client: vpn, Username: "An.NV", Station: "203.0.113.7", Session: "s1", Password: []byte("a secret"),
		Source: netip.MustParseAddr("192.0.2.10")}}
}

func ends(id login.ID, reason login.Reason, took time.Duration) login.Event {
	return login.Event{Attempt: id, Kind: login.EventEnded, Word: string(reason), Record: &login.AuditRecord{
		Attempt: id, FrontEnd: login.RADIUS, Client: "hq-vpn", NAS: "fw1", From: "203.0.113.7", Account: "id-1", Username: "an.nv",
		Accepted: reason == login.Accepted, Reason: reason, Factor: login.FactorApproval, WouldBe: login.NoDevice, Requests: 2, Pushes: 1, Took: took}}
}

func replies(id login.ID, r login.Reply) login.Event {
	return login.Event{Attempt: id, Kind: login.EventReply, Reply: &r}
}

func all(*Login) bool { return true }

// only is the one login that is remembered.
func (d *desk) only(id login.ID) Login {
	d.t.Helper()
	found := d.Find(id.Trace())
	require.Len(d.t, found, 1)
	require.Len(d.t, d.Find(id.String()), 1)
	return found[0]
}

func told(l Login) (lines []string) {
	for _, e := range l.Events {
		lines = append(lines, fmt.Sprintf("%d %s %s x%d", e.After.Milliseconds(), e.Kind, e.Word, e.Count))
	}
	return lines
}

func TestALoginIsToldInItsOrder(t *testing.T) {
	d := newDesk(t)
	id := login.ID{1}
	d.after(0, asks(id, login.AsksAnew))
	d.after(12, login.Event{Attempt: id, Kind: login.EventChecked, Word: "right", Took: 11500 * time.Microsecond})
	d.after(1, login.Event{Attempt: id, Kind: login.EventPrompt, Word: "sent"})
	d.after(0, login.Event{Attempt: id, Kind: login.EventHeld, Took: 55 * time.Second})
	d.after(100, login.Event{Attempt: id, Kind: login.EventPush, Word: "sent"})
	d.after(5, login.Event{Attempt: id, Kind: login.EventPush, Word: "sent"})
	for range 300 {
		d.after(1000, login.Event{Attempt: id, Kind: login.EventAgain})
	}
	require.Equal(t, Open, d.only(id).Stage)
	d.after(1, login.Event{Attempt: id, Kind: login.EventPhone, Word: "approve", Device: "thumbprint"})
	d.after(1, ends(id, login.Accepted, 300*time.Second))
	d.after(0, replies(id, login.Reply{Kind: login.Accept, Reason: login.Accepted}))
	d.after(3000, login.Event{Attempt: id, Kind: login.EventResent})
	l := d.only(id)
	require.Equal(t, []string{
		"0 request password x1", "12 first_factor right x1", "13 prompt sent x1", "13 held  x1", "113 push sent x2", "1118 retransmission  x255",
		"300119 phone approve x1", "300120 verdict accepted x1", "300120 reply accept x1", "303120 reply_sent_again  x1",
	}, told(l))
	require.Equal(t, 11500*time.Microsecond, l.Events[1].Took)
	require.Equal(t, 5*time.Millisecond, l.Events[4].Took)
	require.Equal(t, []string{"an.nv", "An.NV", "hq-vpn", "203.0.113.7", "fw1", "id-1", "thumbprint", Ended, "accepted", "approval"},
		[]string{l.Username, l.Typed, l.Name, l.From, l.NAS, l.Account, l.Device, l.Stage, l.Reason, l.Factor})
	require.Equal(t, "no_device", l.WouldBe)
	require.Equal(t, start, l.Created)
	require.Equal(t, 300120*time.Millisecond, l.Ended.Sub(l.Created))
	require.NotContains(t, fmt.Sprintf("%+v %+v", l, d.entries[id]), "a secret")
}

func TestARequestThatJoinsIsToldWithTheLoginItJoins(t *testing.T) {
	d := newDesk(t)
	id, own := login.ID{1}, login.ID{2}
	d.after(0, asks(id, login.AsksAnew))
	d.after(10, asks(own, login.AsksAnew))
	d.after(5, login.Event{Attempt: own, Kind: login.EventChecked, Word: "right"})
	d.after(1, login.Event{Attempt: id, Kind: login.EventJoined, Was: own})
	require.Equal(t, []string{"0 request password x1", "10 request join x1", "15 first_factor right x1"}, told(d.only(id)))
	require.Empty(t, d.Find(own.String()))
	require.Equal(t, 1, d.open)
	d.after(1, login.Event{Attempt: id, Kind: login.EventJoined, Was: login.ID{9}}) // nobody
	d.after(1, login.Event{Attempt: login.ID{3}, Kind: login.EventJoined, Was: id}) // this node did not see it begin
	require.Len(t, d.only(login.ID{3}).Events, 3)
}

func TestWhatNeverBecameALoginIsListedToo(t *testing.T) {
	d := newDesk(t)
	down, gone, chap, forged, elsewhere := login.ID{1}, login.ID{2}, login.ID{3}, login.ID{4}, login.ID{5}
	alone := func(id login.ID, r login.Reply, word string) login.Event {
		ev := replies(id, r)
		ev.Alone, ev.Word = true, word
		return ev
	}
	d.after(0, asks(down, login.AsksAnew))
	d.after(5000, alone(down, login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable}, ""))
	d.after(1, asks(gone, login.AsksAnew))
	d.after(1, alone(gone, login.Reply{Kind: login.Silence}, "left"))
	d.after(1, asks(chap, login.AsksProof))
	d.after(1, alone(chap, login.Reply{Kind: login.BadAnswer, Reason: login.Probed}, ""))
	d.after(0, login.Event{Attempt: chap, Kind: login.EventDropped, Word: "chap"})
	drop := asks(forged, "bad_message_authenticator")
	drop.Kind = login.EventDropped
	d.after(1, drop)
	d.after(1, asks(elsewhere, login.AsksAnew))
	d.after(1, replies(elsewhere, login.Reply{Kind: login.Reject, Reason: login.BadPassword}))
	stages := map[login.ID]string{}
	for _, l := range d.Logins(all, 0) {
		require.Equal(t, "An.NV", l.Username)
		require.False(t, l.Ended.IsZero())
		stages[l.ID] = l.Stage + " " + l.Reason
	}
	require.Equal(t, map[login.ID]string{down: "no_answer unavailable", gone: "no_answer left", chap: "dropped chap", forged: "dropped bad_message_authenticator",
		elsewhere: "ended bad_password"}, stages)
	require.Zero(t, d.open)
	require.Equal(t, elsewhere, d.Logins(all, 1)[0].ID, "the newest first")
}

func TestTheRecordMayComeAfterTheReply(t *testing.T) {
	d := newDesk(t)
	id := login.ID{1}
	d.after(0, asks(id, login.AsksAnew))
	d.after(1, replies(id, login.Reply{Kind: login.Reject, Reason: login.Denied}))
	d.after(1, ends(id, login.Denied, time.Second))
	l := d.only(id)
	require.Equal(t, []string{Ended, "denied", "an.nv", "id-1", "fw1"}, []string{l.Stage, l.Reason, l.Username, l.Account, l.NAS})
	require.Len(t, d.recent.ids, 1)
}

func TestAnInterimReplyLeavesALoginOpen(t *testing.T) {
	for _, r := range []login.Reply{
		{Kind: login.Ask}, {Kind: login.Relay}, {Kind: login.Silence}, {Kind: login.Reject, Reason: login.HoldOver, Interim: true},
		{Kind: login.Reject, Reason: login.BadCode, Interim: true}, {Kind: login.NoAnswer, Reason: login.Unavailable},
	} {
		d := newDesk(t)
		d.after(0, asks(login.ID{1}, login.AsksAnew))
		d.after(1, replies(login.ID{1}, r))
		require.Equal(t, Open, d.only(login.ID{1}).Stage, "%+v", r)
		d.after(1, asks(login.ID{2}, login.AsksAnew))
		require.Equal(t, Asking, d.only(login.ID{2}).Stage)
	}
}

func TestWhatTheUserReadHasNoNumber(t *testing.T) {
	d := newDesk(t)
	id := login.ID{1}
	d.after(0, asks(id, login.AsksAnew))
	require.Nil(t, d.only(id).Said)
	until := start.Add(time.Hour)
	d.after(1, replies(id, login.Reply{Kind: login.Ask, Prompt: login.PromptNumber, Number: "73", State: []byte("73737373")}))
	require.Equal(t, &login.Reply{Kind: login.Ask, Prompt: login.PromptNumber, Number: "**", Attempt: id, Trace: id.Trace()}, d.only(id).Said)
	d.after(1, replies(id, login.Reply{Kind: login.Reject, Reason: login.LockedOut, Until: until, Tries: 2, Approval: login.ApprovalSimple}))
	said := d.only(id).Said
	require.True(t, until.Equal(said.Until))
	require.Equal(t, []any{login.LockedOut, 2, login.ApprovalSimple}, []any{said.Reason, said.Tries, said.Approval})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	d := newDesk(t)
	for i := range maxRecent + 5 {
		id := login.ID{1, byte(i), byte(i >> 8), byte(i >> 16)}
		d.after(1, asks(id, login.AsksAnew))
		d.after(0, ends(id, login.Denied, 0))
	}
	for i := range maxDropped + 5 {
		drop := asks(login.ID{2, byte(i), byte(i >> 8)}, fmt.Sprint("reason ", i))
		drop.Kind = login.EventDropped
		d.after(1, drop)
	}
	require.Len(t, d.entries, maxRecent+maxDropped)
	require.Empty(t, d.Find(login.ID{1}.String()), "the oldest is gone")
	for range 10 * maxEvents {
		d.after(1, asks(login.ID{3}, login.AsksOK))
	}
	d.after(1, ends(login.ID{3}, login.Denied, 0))
	events := d.only(login.ID{3}).Events
	require.Len(t, events, maxEvents)
	require.Equal(t, "verdict", events[maxEvents-1].Kind)

	d.after(1, asks(login.ID{4}, login.AsksAnew)) // it will end on another node
	require.Equal(t, 1, d.open)
	d.after(int(forgetOpen.Milliseconds())+1, asks(login.ID{5}, login.AsksAnew))
	require.Empty(t, d.Find(login.ID{4}.String()))
	require.Equal(t, 1, d.open)
	d.open = maxOpen
	d.after(1, asks(login.ID{6}, login.AsksAnew))
	require.Empty(t, d.Find(login.ID{6}.String()))
	for i := range 2 * maxWords {
		d.words.of(fmt.Sprint(i))
	}
	require.Len(t, d.words.all, maxWords)
}

func TestServiceAccountsDriveNoUsersOut(t *testing.T) {
	d := newDesk(t)
	d.after(1, asks(login.ID{1}, login.AsksAnew))
	d.after(0, ends(login.ID{1}, login.Denied, 0))
	for i := range maxRecent + 5 {
		id := login.ID{2, byte(i), byte(i >> 8), byte(i >> 16)}
		ask := asks(id, login.AsksAnew)
		ask.Request.Rule = "exempt:cn=svc"
		d.after(1, ask)
		d.after(0, ends(id, login.Accepted, 0))
	}
	require.Len(t, d.entries, 1+maxService)
	require.Equal(t, Ended, d.only(login.ID{1}).Stage)
}

func TestALoginThatBeganElsewhereIsToldFromItsBeginning(t *testing.T) {
	d := newDesk(t)
	d.after(0, ends(login.ID{1}, login.Expired, 2*time.Minute))
	l := d.only(login.ID{1})
	require.Equal(t, start.Add(-2*time.Minute), l.Created)
	require.Equal(t, []string{"120000 verdict expired x1"}, told(l))
	require.Equal(t, "203.0.113.7", l.From)
	d.after(0, login.Event{Attempt: login.ID{2}, Kind: login.EventPush, Word: "sent"})
	require.Empty(t, d.Find(login.ID{2}.String()), "an afterthought makes no login")
}

func TestWhoFollowsSeesWhatHappensFromNowOn(t *testing.T) {
	d := newDesk(t)
	d.after(0, asks(login.ID{1}, login.AsksAnew))
	w := d.Follow()
	d.after(7, login.Event{Attempt: login.ID{1}, Kind: login.EventCode, Word: "wrong"})
	seen := <-w.C
	require.Equal(t, []any{"code", "wrong", 7 * time.Millisecond, "An.NV", login.ID{1}}, []any{seen.Event.Kind, seen.Event.Word, seen.Event.After, seen.Login.Username, seen.Login.ID})
	for range maxUnseen + 3 {
		d.after(1, login.Event{Attempt: login.ID{1}, Kind: login.EventAgain})
	}
	require.Equal(t, 3, w.Missed(), "nobody is kept waiting")
	require.Zero(t, w.Missed())
	w.Stop()
	require.Empty(t, d.watchers)
}

func TestASessionBelongsToTheLoginThatBeganIt(t *testing.T) {
	begin := func(change func(*Session)) Session {
		s := Session{Client: "hq-vpn", NAS: "fw1", ID: "s9", Username: "AN.NV", Station: "203.0.113.7", Began: start.Add(3 * time.Second)}
		change(&s)
		return s
	}
	d := newDesk(t)
	id := login.ID{1}
	without := asks(id, login.AsksAnew)
	without.Request.Session = ""
	d.after(0, without)
	d.after(1000, ends(id, login.Accepted, 0))
	d.after(10, asks(login.ID{2}, login.AsksAnew))
	d.after(10, ends(login.ID{2}, login.Denied, 0))
	for name, c := range map[string]struct {
		change func(*Session)
		ok     bool
	}{
		"by user and station, soon after":   {func(*Session) {}, true},
		"no station in accounting":          {func(s *Session) { s.Station = "" }, true},
		"another station":                   {func(s *Session) { s.Station = "203.0.113.8" }, false},
		"another user":                      {func(s *Session) { s.Username = "binh.tt" }, false},
		"nobody's name":                     {func(s *Session) { s.Username = "" }, false},
		"another client":                    {func(s *Session) { s.Client = "branch" }, false},
		"another NAS":                       {func(s *Session) { s.NAS = "fw2" }, false},
		"long after":                        {func(s *Session) { s.Began = start.Add(time.Hour) }, false},
		"before":                            {func(s *Session) { s.Began = start.Add(-time.Hour) }, false},
		"the id of a login that was denied": {func(s *Session) { s.ID, s.Station = "s1", "x" }, false},
	} {
		found, ok := d.Login(begin(c.change))
		require.Equal(t, c.ok, ok, name)
		require.True(t, !ok || found == id, name)
	}
	d.after(1, asks(login.ID{3}, login.AsksAnew))
	d.after(1, ends(login.ID{3}, login.Accepted, 0))
	found, ok := d.Login(begin(func(s *Session) { s.ID, s.Station, s.Username = "s1", "", "" }))
	require.True(t, ok)
	require.Equal(t, login.ID{3}, found, "the Access-Request named the session")
}

func TestATypedNameIsCut(t *testing.T) {
	d := newDesk(t)
	ev := asks(login.ID{1}, login.AsksAnew)
	ev.Request.Username = strings.Repeat("x", 253)
	d.after(0, ev)
	require.Len(t, d.only(login.ID{1}).Username, 64)
}

// There may be 100,000 of them.
func TestAnOpenLoginCostsLittle(t *testing.T) {
	const n = 100_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	d := newDesk(t)
	requests := make([]*login.Request, n) // they are somebody else's
	for i := range requests {
		requests[i] = &login.Request{FrontEnd: login.RADIUS, Client: vpn, Username: fmt.Sprint("user", i), Station: fmt.Sprint("10.1.", i/250, ".", i%250)}
	}
	before := heap()
	for i := range n {
		id := login.ID{byte(i), byte(i >> 8), byte(i >> 16)}
		d.Tell(login.Event{Attempt: id, Kind: login.EventAsked, Word: login.AsksAnew, Request: requests[i]})
		d.Tell(login.Event{Attempt: id, Kind: login.EventChecked, Word: "right", Took: time.Millisecond})
		d.Tell(login.Event{Attempt: id, Kind: login.EventPrompt, Word: "sent"})
		d.Tell(login.Event{Attempt: id, Kind: login.EventHeld, Took: time.Minute})
	}
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	require.Less(t, each, uint64(400))
	runtime.KeepAlive(requests)
	runtime.KeepAlive(d)
}
