package login_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/otp"
)

// A world is an engine with one directory, one person with one phone, and
// everything that happened. Time is the bubble's.
type world struct {
	*testing.T
	*login.Engine
	store *store.Embedded

	mu      sync.Mutex
	audit   []login.AuditRecord
	prompts []login.Prompt
	closed  []login.Prompt
	notices []login.Notice
	broken  error // the auditor fails with it

	checks  atomic.Int64  // passwords asked
	names   atomic.Int64  // names asked
	passed  []string      // the passwords
	slow    time.Duration // how long the directory takes
	dead    atomic.Bool   // the directory cannot be asked
	silent  bool          // nothing to push with
	mute    bool          // it claims prompts and does not live to send one
	problem login.Reason
	person  string // whose the account is
	changed string // the password, since it was changed
	path    string // the store's file
	former  string
	groups  []string      // that "an" is in
	disk    time.Duration // how long the audit takes
	writing func()        // what happens while it writes; nil: nothing
	stop    func()        // of a node beside: it does nothing any more

	evidence func(login.ID, login.Given) (login.Answering, error) // what is found of it; nil: it stands
	later    func() ([]string, error)                             // asked for all of them; nil: nobody is
}

const (
	password = "đúng-mật-khẩu"
	person   = "person-1"
	ident    = "uuid-1"
)

func (w *world) Resolve(_ context.Context, name string) (login.Identity, error) {
	w.names.Add(1)
	switch name {
	case "an", "AN":
		who := login.Identity{ID: ident, Username: "an", DN: "uid=an", Groups: w.groups}
		if w.later != nil {
			who.AllGroups = func(context.Context) ([]string, error) { return w.later() }
		}
		return who, nil
	case `OTHER\an`: // of another domain, called the same there
		return login.Identity{ID: "uuid-3", Username: "an", DN: "uid=an,dc=other"}, nil
	case "binh":
		return login.Identity{ID: "uuid-2", Username: "binh", DN: "uid=binh"}, nil
	}
	return login.Identity{}, nil
}

func (w *world) Check(_ context.Context, id login.Identity, pw []byte) (login.Checked, error) {
	w.checks.Add(1)
	w.mu.Lock()
	w.passed = append(w.passed, string(pw))
	w.mu.Unlock()
	time.Sleep(w.slow)
	if w.dead.Load() {
		return login.Checked{}, errors.New("directory is down")
	}
	if right := cmp.Or(w.changed, password); string(pw) == right {
		return login.Checked{First: login.FirstRight}, nil
	}
	if string(pw) == "expired" {
		return login.Checked{First: login.FirstWrong, Reason: login.PasswordExpired, Detail: "data 532"}, nil
	}
	return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
}

func (w *world) Account(context.Context, login.Identity) (login.Account, error) {
	if w.problem != "" {
		return login.Account{Problem: w.problem, Former: w.former, Person: w.owner(), Notify: login.PushMissing}, nil
	}
	return login.Account{Person: cmp.Or(w.owner(), person), Notify: login.PushReady, CanNumber: true, CanSimple: true}, nil
}

// Witness finds what was said as it stands there, unless the evidence is forged.
func (w *world) Witness(_ context.Context, id login.ID, g login.Given) (login.Answering, error) {
	if w.evidence != nil {
		return w.evidence(id, g)
	}
	return login.Answering{Kind: g.Kind, Number: g.Number, Person: cmp.Or(w.owner(), person), Device: g.Device}, nil
}

func (w *world) owner() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.person
}

func (w *world) Ready() bool { return !w.silent }
func (w *world) Prompt(p login.Prompt) {
	if w.mute {
		return
	}
	if w.Engine != nil {
		if mine, err := w.MayPrompt(w.Context(), p); !mine || err != nil {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prompts = append(w.prompts, p)
}
func (w *world) Closed(p login.Prompt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = append(w.closed, p)
}
func (w *world) Notice(n login.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
}
func (w *world) Login(r login.AuditRecord) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if w.disk > 0 { // a slow one
		w.mu.Unlock()
		time.Sleep(w.disk)
		w.mu.Lock()
	}
	if w.writing != nil {
		w.writing()
	}
	w.audit = append(w.audit, r)
	return nil
}

func (w *world) audited() []login.AuditRecord {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]login.AuditRecord(nil), w.audit...)
}

func (w *world) prompted() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.prompts)
}

type noMeter struct{}

func (noMeter) Verdict(login.FrontEnd, string, bool, login.Reason, time.Duration) {}
func (noMeter) Open(int)                                                          {}
func (noMeter) Joined()                                                           {}
func (noMeter) LateApproval()                                                     {}
func (noMeter) Upstream(time.Duration)                                            {}

var testPolicy = login.Policy{
	ValidFor: 2 * time.Minute, Grace: time.Minute, CodeDigits: 6, NumberDigits: 2, WrongCodes: 3, MaxOpen: 3,
	Lockout:   login.Lockout{After: 5, For: 15 * time.Minute, StopAfter: 100},
	Throttle:  login.Throttle{PerAccount: 4, PerSource: 20, Within: 10 * time.Minute},
	PushLimit: login.Limit{Count: 3, Within: 10 * time.Minute},
}

// in runs test in a bubble of its own time, with an engine on a real embedded
// store.
func in(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		var err error
		w.path = filepath.Join(t.TempDir(), "vssgate.db")
		w.store, err = store.OpenEmbedded(w.path, log)
		require.NoError(t, err)
		keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
		require.NoError(t, err)
		w.Engine = login.New(login.Options{
			Policy: testPolicy, Store: w.store, Keys: keys, People: w, Witness: w, Prompter: w, Auditor: w, Meter: noMeter{},
			Log: log, Patience: 10 * time.Second, MaxBusy: 100000,
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Engine.Run(ctx) }()
		defer func() {
			stop()
			require.NoError(t, <-ended)
			require.NoError(t, w.store.Close())
		}()
		synctest.Wait()
		test(w)
	})
}

// Clients of each mode.
func client(mode login.Mode, approval login.Approval) *login.Client {
	c := &login.Client{Name: "hq-vpn", Mode: mode, Approval: approval, Separator: ",", Then: login.ThenReject, Hold: 55 * time.Second, Language: "vi"}
	if mode == login.Challenge {
		c.Hold = 5 * time.Second
	}
	return c
}

// A pending request and what it was answered.
type pending struct {
	w     *world
	reply chan login.Reply
	leave func()
}

var packets atomic.Int64

func (w *world) ask(c *login.Client, change ...func(*login.Request)) *pending {
	p := &pending{w: w, reply: make(chan login.Reply, 2)}
	r := &login.Request{
		FrontEnd: login.RADIUS, Client: c, NAS: "nas", Station: "203.0.113.7", Source: netip.MustParseAddr("192.0.2.1"),
		Packet: []byte(strconv.FormatInt(packets.Add(1), 10)), Username: "an", Password: []byte(password), First: w,
		Reply: func(r login.Reply) { p.reply <- r },
	}
	for _, f := range change {
		f(r)
	}
	p.leave = w.Handle(r)
	return p
}

func saying(s string) func(*login.Request)    { return func(r *login.Request) { r.Password = []byte(s) } }
func station(s string) func(*login.Request)   { return func(r *login.Request) { r.Station = s } }
func user(s string) func(*login.Request)      { return func(r *login.Request) { r.Username = s } }
func nas(s string) func(*login.Request)       { return func(r *login.Request) { r.NAS = s } }
func withState(s []byte) func(*login.Request) { return func(r *login.Request) { r.State = s } }
func bind(r *login.Request)                   { r.FrontEnd, r.OwnCheck, r.Packet, r.NAS = login.LDAP, true, nil, "" }

// got is the reply once everything that can happen now has happened.
func (p *pending) got() login.Reply {
	p.w.Helper()
	synctest.Wait()
	select {
	case r := <-p.reply:
		require.Empty(p.w, p.reply, "answered twice")
		return r
	default:
		p.w.Fatal("not answered")
		return login.Reply{}
	}
}

func (p *pending) waits() {
	p.w.Helper()
	synctest.Wait()
	require.Empty(p.w, p.reply, "answered too early")
}

func (p *pending) is(kind login.ReplyKind, reason login.Reason) login.Reply {
	p.w.Helper()
	r := p.got()
	require.Equal(p.w, kind, r.Kind, "reason %s, factor %s", r.Reason, r.Factor)
	require.Equal(p.w, reason, r.Reason)
	return r
}

// phone is what the person sees now: exactly one login.
func (w *world) phone() login.OpenLogin {
	w.Helper()
	synctest.Wait()
	list, err := w.Logins(w.Context(), person)
	require.NoError(w, err)
	require.Len(w, list.Open, 1)
	return list.Open[0]
}

func (w *world) answer(id login.ID, kind login.AnswerKind, number string) (login.Answered, error) {
	return w.Engine.Answer(w.Context(), id, login.Answering{Kind: kind, Number: number, Person: person, Device: "phone-1", Presence: "device_key", Signed: "jws"})
}

// wrong is a code that is not the right one.
func wrong(code string) string {
	if code == "000000" {
		return "111111"
	}
	return "000000"
}

func TestChallengeAndTypedCode(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn).is(login.Ask, "")
		require.Equal(w, login.PromptNumber, ask.Prompt)
		require.Regexp(w, `^[1-9][0-9]$`, ask.Number)
		require.Len(w, ask.State, 24)
		require.Len(w, ask.Trace, 6)
		require.Equal(w, 1, w.prompted())
		seen := w.phone()
		require.Equal(w, seen.Code, w.phone().Code, "the same code each time it is shown")
		require.Equal(w, "203.0.113.7", seen.From)

		time.Sleep(30 * time.Second)
		ok := w.ask(vpn, withState(ask.State), saying(seen.Code[:3]+" "+seen.Code[3:])).is(login.Accept, login.Accepted)
		require.Equal(w, login.FactorCode, ok.Factor)
		require.Equal(w, "an", ok.Identity.Username)
		require.EqualValues(w, 1, w.checks.Load())

		records := w.audited()
		require.Len(w, records, 1)
		require.Equal(w, login.FactorCode, records[0].Factor)
		require.Equal(w, 2, records[0].Requests)
		require.Equal(w, 30*time.Second, records[0].Took)
		require.Len(w, w.closed, 1)
	})
}

func TestALostAcceptIsGivenAgainFor10SecondsToTheSameAskerOnly(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn).got()
		code := w.phone().Code
		w.ask(vpn, withState(ask.State), saying(code)).is(login.Accept, login.Accepted)
		w.ask(vpn, withState(ask.State), saying(code)).is(login.Accept, login.Accepted)
		w.ask(vpn, withState(ask.State), saying(code), station("198.51.100.9")).is(login.Reject, login.CodeUsed)
		w.ask(vpn, withState(ask.State), saying(code), nas("other")).is(login.Reject, login.CodeUsed)
		w.ask(vpn, withState(ask.State), saying(code), user("AN")).is(login.BadAnswer, login.BadState)
		time.Sleep(10 * time.Second)
		w.ask(vpn, withState(ask.State), saying(code)).is(login.Reject, login.CodeUsed)
		w.ask(vpn, saying(password+","+code)).is(login.Reject, login.CodeUsed)
		require.Len(w, w.audited(), 1)
	})
}

func TestAStateIsForOneClientOneUserOneStep(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		other := client(login.Challenge, login.ApprovalNumber)
		other.Name = "branch-vpn"
		ask := w.ask(vpn).got()
		code := w.phone().Code
		w.ask(other, withState(ask.State), saying(code)).is(login.BadAnswer, login.BadState)
		w.ask(vpn, withState(ask.State), saying(code), user("binh")).is(login.BadAnswer, login.BadState)
		forged := append([]byte(nil), ask.State...)
		forged[3] ^= 1
		w.ask(vpn, withState(forged), saying(code)).is(login.BadAnswer, login.BadState)
		again := w.ask(vpn, withState(ask.State), saying(wrong(code))).is(login.Ask, "")
		require.Equal(w, login.PromptWrongCode, again.Prompt)
		require.Equal(w, 2, again.Tries)
		w.ask(vpn, withState(ask.State), saying(code)).is(login.BadAnswer, login.BadState)
		lost := w.ask(vpn, withState(ask.State), saying(wrong(code))).is(login.Ask, "")
		require.Equal(w, again.State, lost.State, "a lost challenge is given again, and the code not counted twice")
		require.Equal(w, 2, lost.Tries)
		w.ask(vpn, withState(again.State), saying(code)).is(login.Accept, login.Accepted)
	})
}

func TestThreeWrongCodesEndALoginAndFiveLockTheAccount(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		reply := w.ask(vpn).got()
		bad := wrong(w.phone().Code)
		for range 2 {
			reply = w.ask(vpn, withState(reply.State), saying(bad)).is(login.Ask, "")
		}
		w.ask(vpn, withState(reply.State), saying(bad)).is(login.Reject, login.BadCode)
		require.Equal(w, login.BadCode, w.audited()[0].Reason)

		reply = w.ask(vpn).is(login.Ask, "")
		code := w.phone().Code
		bad = wrong(code)
		reply = w.ask(vpn, withState(reply.State), saying(bad)).is(login.Ask, "")
		reply = w.ask(vpn, withState(reply.State), saying(bad)).is(login.Ask, "")
		locked := w.ask(vpn, withState(reply.State), saying(code)).is(login.Reject, login.LockedOut)
		require.Equal(w, 15*time.Minute, time.Until(locked.Until).Round(time.Second), "even with the right code")
		w.ask(vpn).is(login.Reject, login.LockedOut)

		time.Sleep(15 * time.Minute)
		reply = w.ask(vpn).is(login.Ask, "")
		w.ask(vpn, withState(reply.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

func TestARightCodeForgivesOnlyWhatWasWrongBeforeItsLogin(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for range 4 { // 2 wrong and 1 right each: never locked, if each success forgives what came before it
			reply := w.ask(vpn).is(login.Ask, "")
			code := w.phone().Code
			reply = w.ask(vpn, withState(reply.State), saying(wrong(code))).is(login.Ask, "")
			reply = w.ask(vpn, withState(reply.State), saying(wrong(code))).is(login.Ask, "")
			w.ask(vpn, withState(reply.State), saying(code)).is(login.Accept, login.Accepted)
			time.Sleep(11 * time.Second)
		}
	})
}

func TestHoldUntilApproved(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		held.waits()
		time.Sleep(10 * time.Second)
		held.waits()
		done, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeAccepted, done.Outcome)
		r := held.is(login.Accept, login.Accepted)
		require.Equal(w, login.FactorApproval, r.Factor)
		require.Equal(w, "jws", w.audited()[0].Signed)
		require.Equal(w, "phone-1", w.audited()[0].Device)

		again, err := w.answer(r.Attempt, login.Approve, "")
		require.NoError(w, err, "the same answer gets the same result")
		require.Equal(w, login.OutcomeAccepted, again.Outcome)
		var endedErr *login.EndedError
		_, err = w.answer(r.Attempt, login.Deny, "")
		require.ErrorAs(w, err, &endedErr)
		require.Equal(w, login.Accepted, endedErr.Verdict)
		w.ask(vpn).is(login.Accept, login.Accepted) // a lost reply, new Identifier
		time.Sleep(10 * time.Second)
		w.ask(vpn).waits() // a new login
		require.Len(w, w.audited(), 1)
	})
}

func TestADenialIsToldAtOnce(t *testing.T) {
	in(t, func(w *world) {
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		done, err := w.answer(w.phone().ID, login.Deny, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeRejected, done.Outcome)
		held.is(login.Reject, login.Denied)
		require.Equal(w, login.Denied, w.audited()[0].Reason)
	})
}

func TestAReportLocksTheAccountFor15Minutes(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		_, err := w.answer(w.phone().ID, login.Report, "")
		require.NoError(w, err)
		held.is(login.Reject, login.Reported)
		time.Sleep(14 * time.Minute)
		w.ask(vpn).is(login.Reject, login.LockedOut)
		time.Sleep(2 * time.Minute)
		w.ask(vpn).waits()
	})
}

func TestAHoldEndsOnTime(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		time.Sleep(vpn.Hold - time.Millisecond)
		held.waits()
		time.Sleep(time.Second)
		held.is(login.Reject, login.HoldOver)
	})
}

func TestLateApprovalIsCollectedOnce(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		time.Sleep(55 * time.Second)
		held.is(login.Reject, login.HoldOver)
		done, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeRetry, done.Outcome)
		require.Equal(w, time.Minute, done.RetryWithin)
		time.Sleep(59 * time.Second)
		w.ask(vpn).is(login.Accept, login.Accepted)
		require.EqualValues(w, 1, w.checks.Load(), "the retry joined: its password is known")
		require.Equal(w, 1, w.prompted())
		time.Sleep(10 * time.Second)
		w.ask(vpn).waits()
		require.Len(w, w.audited(), 1)
	})
}

// What decides is the store's clock when the accept is written: a node that took
// long over it lets nobody in.
func TestAnApprovalIsCollectedBeforeItsEndOrNotAtAll(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		time.Sleep(55 * time.Second)
		held.is(login.Reject, login.HoldOver)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		time.Sleep(59 * time.Second)
		w.evidence = func(_ login.ID, g login.Given) (login.Answering, error) {
			time.Sleep(2 * time.Second)
			return login.Answering{Kind: g.Kind, Person: person, Device: g.Device}, nil
		}
		retry := w.ask(vpn)
		time.Sleep(10 * time.Second)
		retry.is(login.Reject, login.Expired)
		require.Equal(w, login.Expired, w.audited()[0].Reason)
	})
}

func TestAnApprovalThatNobodyCollectsIsVoidAfterGrace(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		time.Sleep(55 * time.Second)
		held.is(login.Reject, login.HoldOver)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		time.Sleep(61 * time.Second)
		w.ask(vpn).waits()
		time.Sleep(3 * time.Second)
		require.Empty(w, w.audited(), "open until its deadline")
	})
}

func TestRetriesJoinWithOneCheckAndOnePromptAndTheNewestIsAnswered(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		w.slow = 2 * time.Second
		first := w.ask(vpn)
		time.Sleep(time.Second)
		second := w.ask(vpn) // while the directory is still thinking
		time.Sleep(2 * time.Second)
		third := w.ask(vpn)
		first.is(login.Silence, "")
		second.is(login.Silence, "")
		third.waits()
		require.EqualValues(w, 1, w.checks.Load())
		require.Equal(w, 1, w.prompted())
		require.Equal(w, 3, w.phone().Waiting)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		third.is(login.Accept, login.Accepted)
		require.Equal(w, 3, w.audited()[0].Requests)
	})
}

func TestAnotherSpellingJoinsAfterItsPasswordWasChecked(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		first := w.ask(vpn)
		first.waits()
		second := w.ask(vpn, user("AN"))
		first.is(login.Silence, "")
		second.waits()
		require.EqualValues(w, 2, w.checks.Load())
		require.Equal(w, 1, w.prompted())
	})
}

func TestTwoSpellingsAtTheSameInstantAreOneLogin(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		a, b := w.ask(vpn), w.ask(vpn, user("AN"))
		synctest.Wait()
		require.Equal(w, 1, len(a.reply)+len(b.reply), "one of them is superseded")
		require.Equal(w, 2, w.phone().Waiting)
	})
}

func TestWithoutStationOnlyTheSamePacketJoins(t *testing.T) {
	for _, c := range []struct {
		name   string
		user   bool
		checks int64
	}{{"join: strict", false, 2}, {"join: user", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(w *world) {
				vpn := client(login.Hold, login.ApprovalSimple)
				vpn.JoinUser = c.user
				w.ask(vpn, station(""))
				synctest.Wait()
				w.ask(vpn, station(""))
				synctest.Wait()
				require.Equal(w, c.checks, w.checks.Load())
				require.Equal(w, 1, w.prompted(), "the second login is on the phone, not pushed")
			})
		})
	}
}

func TestANumberLetsItsOwnChainIn(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		thief := w.ask(vpn).got()
		owner := w.ask(vpn).got() // same NAT, same name
		require.NotEqual(w, thief.Number, owner.Number)
		require.EqualValues(w, 1, w.checks.Load())
		_, err := w.answer(owner.Attempt, login.Approve, "")
		require.ErrorIs(w, err, login.ErrNumberMissing)
		_, err = w.answer(owner.Attempt, login.Approve, owner.Number)
		require.NoError(w, err)
		pressed := w.ask(vpn, withState(thief.State), saying("ok"))
		pressed.waits()
		w.ask(vpn, withState(owner.State), saying("ok")).is(login.Accept, login.Accepted)
		require.Equal(w, login.FactorApproval, w.audited()[0].Factor)
		pressed.is(login.Reject, login.CodeUsed)
	})
}

func TestAWrongNumberEndsTheLoginAndCountsAsAWrongCode(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for range 5 {
			ask := w.ask(vpn).is(login.Ask, "")
			bad := "10"
			if ask.Number == bad {
				bad = "11"
			}
			_, err := w.answer(ask.Attempt, login.Approve, bad)
			require.ErrorIs(w, err, login.ErrWrongNumber)
			w.ask(vpn, withState(ask.State), saying("ok")).is(login.Reject, login.WrongNumber)
		}
		w.ask(vpn).is(login.Reject, login.LockedOut)
	})
}

func TestOkIsHeldBrieflyAndChallengedAgain(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn).got()
		ok := w.ask(vpn, withState(ask.State), saying("ok"))
		ok.waits()
		time.Sleep(5 * time.Second)
		again := ok.is(login.Ask, "")
		require.Equal(w, login.PromptAgain, again.Prompt)
		require.Equal(w, ask.Number, again.Number)
		pressed := w.ask(vpn, withState(again.State), saying(""))
		time.Sleep(time.Second)
		done, err := w.answer(ask.Attempt, login.Approve, ask.Number)
		require.NoError(w, err)
		require.Equal(w, login.OutcomeAccepted, done.Outcome)
		pressed.is(login.Accept, login.Accepted)
	})
}

func TestHoldThenChallenge(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		vpn.Hold, vpn.Then = 25*time.Second, login.ThenChallenge
		held := w.ask(vpn)
		time.Sleep(25 * time.Second)
		ask := held.is(login.Ask, "")
		w.ask(vpn, withState(ask.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

func TestModeAppend(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		require.Equal(w, 1, w.prompted())
		code := w.phone().Code
		w.ask(vpn, saying(password+","+wrong(code))).is(login.Reject, login.WrongCode)
		require.Equal(w, 1, w.prompted(), "a wrong code prompts nobody")
		w.ask(vpn, saying(password+","+code)).is(login.Accept, login.Accepted)
		require.EqualValues(w, 1, w.checks.Load())
		w.ask(vpn, saying(password+","+code), nas("elsewhere")).is(login.Reject, login.CodeUsed)

		w.ask(vpn, nas("2")).is(login.Reject, login.AppendNeeded)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		w.ask(vpn, nas("2")).is(login.Accept, login.Accepted)
	})
}

func TestPasswordsThatOnlyLookAppended(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		kind        login.ReplyKind
		reason      login.Reason
		checks      int64
	}{
		{"a code behind an unknown password is part of it", "other,123456", login.Reject, login.BadPassword, 1},
		{"five digits are part of the password", password + ",12345", login.Reject, login.BadPassword, 1},
		{"seven digits are part of the password", password + ",1234567", login.Reject, login.BadPassword, 1},
		{"digits alone are a password", "123456", login.Reject, login.BadPassword, 1},
		{"a separator alone is part of the password", password + ",", login.Reject, login.BadPassword, 1},
		{"nothing before the code is refused unasked", ",123456", login.Reject, login.EmptyPassword, 0},
		{"nothing before push is refused unasked", ",push", login.Reject, login.EmptyPassword, 0},
		{"an empty password is refused unasked", "", login.Reject, login.EmptyPassword, 0},
		{"NULs are an empty password", "\x00\x00\x00\x00", login.Reject, login.EmptyPassword, 0},
		{"push behind the separator means the password alone", password + ",push", login.Ask, "", 1},
		{"vssid behind the separator too", password + ",vssid", login.Ask, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(w *world) {
				w.ask(client(login.Challenge, login.ApprovalNumber), saying(c.typed)).is(c.kind, c.reason)
				require.Equal(w, c.checks, w.checks.Load())
			})
		})
	}
}

func TestWrongPasswordsReachTheDirectoryFourTimes(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for i := range 3 {
			w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
			require.EqualValues(w, 1, w.checks.Load(), "try %d: the same password is not tried again for 10 s", i)
		}
		require.Len(w, w.audited(), 1)
		for i := range 10 {
			w.ask(vpn, saying("wrong "+strconv.Itoa(i))).is(login.Reject, login.BadPassword)
		}
		require.EqualValues(w, 4, w.checks.Load())
		w.ask(vpn, saying(password)).is(login.Reject, login.BadPassword)
		time.Sleep(10 * time.Minute)
		w.ask(vpn, saying(password)).is(login.Ask, "")
	})
}

func TestRightPasswordsAreNotThrottled(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for i := range 10 {
			ask := w.ask(vpn, nas(strconv.Itoa(i))).is(login.Ask, "")
			w.ask(vpn, nas(strconv.Itoa(i)), withState(ask.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
		}
	})
}

func TestNobodyIsNeverLetIn(t *testing.T) {
	in(t, func(w *world) {
		w.ask(client(login.Challenge, login.ApprovalNumber), user("nobody")).is(login.Reject, login.BadPassword)
		require.EqualValues(w, 1, w.checks.Load(), "the same work is done")
		require.Empty(w, w.audited()[0].Account)
	})
}

func TestAnUnusableAccountIsToldAfterTheRightPasswordOnly(t *testing.T) {
	in(t, func(w *world) {
		w.problem = login.NoDevice
		vpn := client(login.Challenge, login.ApprovalNumber)
		w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
		w.ask(vpn).is(login.Reject, login.NoDevice)
		require.Len(w, w.audited(), 2)
		require.Zero(w, w.prompted())
	})
}

func TestWhyTheDirectoryRefusedIsToldAgainToARetry(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		first := w.ask(vpn, saying("expired")).is(login.Reject, login.PasswordExpired)
		again := w.ask(vpn, saying("expired")).is(login.Reject, login.PasswordExpired)
		require.Equal(w, first.Trace, again.Trace)
		require.EqualValues(w, 1, w.checks.Load(), "the directory was asked again")
		require.Equal(w, login.PasswordExpired, w.audited()[0].Reason)
		require.Zero(w, w.prompted())
	})
}

func TestAChangedNumberEndsOpenLoginsAndRefusesNewOnes(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		held.waits()
		w.problem, w.former = login.NumberChanged, person
		w.ask(vpn, station("198.51.100.9")).is(login.Reject, login.NumberChanged)
		w.ask(vpn, station("198.51.100.8")).is(login.Reject, login.NumberChanged)
		require.Equal(t, []login.Notice{{Person: person, Word: login.NoticeNumber}}, w.notices, "the owner is told, once")
		held.is(login.Reject, login.Revoked)
	})
}

func TestWhileTwoLoginsAreOpenASimpleApprovalOfEitherIsRefused(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		first := w.ask(vpn)
		time.Sleep(time.Second)
		second := w.ask(vpn, station("198.51.100.9"))
		synctest.Wait()
		require.Equal(w, 1, w.prompted(), "the second waits for its turn")
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 2)
		for _, l := range list.Open {
			_, err := w.answer(l.ID, login.Approve, "")
			require.ErrorIs(w, err, login.ErrSeveralLogins)
		}
		w.ask(vpn, saying(password+","+list.Open[1].Code)).is(login.Accept, login.Accepted)
		first.is(login.Reject, login.CodeUsed)
		require.Equal(w, 2, w.prompted(), "the second is prompted when the first has ended")
		_, err = w.answer(list.Open[0].ID, login.Approve, "")
		require.NoError(w, err)
		second.is(login.Accept, login.Accepted)
	})
}

func TestAtMostThreeOpenLoginsAndThreePromptsInTenMinutes(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for i := range 5 {
			r := w.ask(vpn, station("198.51.100."+strconv.Itoa(i))).got()
			if i < 3 {
				require.Equal(w, login.Ask, r.Kind)
			} else {
				require.Equal(w, login.SeveralLogins, r.Reason)
			}
		}
		for i := range 20 { // a bomber with the password
			w.ask(vpn, nas(strconv.Itoa(i)))
			time.Sleep(20 * time.Second)
		}
		require.LessOrEqual(w, w.prompted(), 3)
	})
}

func TestPastThePushLimitOnlyThePushIsMissing(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalOff)
		for i := range 4 {
			r := w.ask(vpn).is(login.Ask, "")
			want := login.PromptCode
			if i == 3 {
				want = login.PromptNoPush
			}
			require.Equal(w, want, r.Prompt)
			w.ask(vpn, withState(r.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
			time.Sleep(10 * time.Second)
		}
		require.Equal(w, 3, w.prompted())
	})
}

func TestExpiryHasOneRecordAndLetsNobodyIn(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn).got()
		code := w.phone().Code
		time.Sleep(2*time.Minute - time.Nanosecond)
		require.Empty(w, w.audited())
		time.Sleep(time.Nanosecond)
		require.Equal(w, login.Expired, w.audited()[0].Reason)
		w.ask(vpn, withState(ask.State), saying(code)).is(login.Reject, login.Expired)
		_, err := w.answer(ask.Attempt, login.Approve, ask.Number)
		var endedErr *login.EndedError
		require.ErrorAs(w, err, &endedErr)
		w.ask(vpn, saying(password+","+code)).is(login.Reject, login.Expired)
		time.Sleep(time.Hour)
		require.Len(w, w.audited(), 1)
	})
}

func TestALoginThatExpiresClosesItsBooks(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		w.ask(vpn).is(login.Ask, "")
		time.Sleep(time.Minute)
		w.ask(vpn, station("198.51.100.9")).is(login.Ask, "")
		require.Equal(w, 1, w.prompted(), "the second waits for its turn")
		time.Sleep(time.Minute)
		require.Equal(w, 2, w.prompted(), "and is prompted when the first has expired")
		require.Len(w, w.closed, 1)
		owed, err := w.store.Find(w.Context(), "open", "", 0)
		require.NoError(w, err)
		require.Len(w, owed, 1, "the expired login owes nothing")
		time.Sleep(time.Minute)
		require.Len(w, w.audited(), 2)

		next := login.New(w.Engine.Options) // as after a restart
		ctx, stop := context.WithTimeout(w.Context(), time.Minute)
		defer stop()
		require.NoError(w, next.Run(ctx))
		require.Len(w, w.audited(), 2, "no record is written twice")
	})
}

func TestWithoutStationTheUserIsToldToAppendTheCode(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn, station(""))
		time.Sleep(vpn.Hold)
		require.Equal(w, login.ApprovalOff, held.is(login.Reject, login.AppendNeeded).Approval, "no retry could collect an approval")
		w.ask(vpn, station(""), saying(password+","+w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

func TestUnlockingForgivesWrongPasswordsToo(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		for i := range 4 {
			w.ask(vpn, saying("wrong "+strconv.Itoa(i))).is(login.Reject, login.BadPassword)
		}
		w.ask(vpn).is(login.Reject, login.BadPassword)
		require.NoError(w, w.Unlock(w.Context(), ident))
		w.ask(vpn).is(login.Ask, "")
	})
}

func TestASlipOfTheFingerIsNoWrongNumber(t *testing.T) {
	in(t, func(w *world) {
		ask := w.ask(client(login.Challenge, login.ApprovalNumber)).is(login.Ask, "")
		for _, slip := range []string{"", "1", "123", "4x"} {
			_, err := w.answer(ask.Attempt, login.Approve, slip)
			require.ErrorIs(w, err, login.ErrNumberMissing)
		}
		require.Empty(w, w.audited())
	})
}

func TestWithoutAuditNobodyIsLetIn(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn).got()
		code := w.phone().Code
		w.mu.Lock()
		w.broken = errors.New("disk full")
		w.mu.Unlock()
		for range 3 {
			w.ask(vpn, withState(ask.State), saying(code)).is(login.NoAnswer, login.Unavailable)
		}
		w.mu.Lock()
		w.broken = nil
		w.mu.Unlock()
		w.ask(vpn, withState(ask.State), saying(code)).is(login.Accept, login.Accepted)
		require.Len(w, w.audited(), 1, "the owed record is written as soon as that is possible again")
		time.Sleep(3 * time.Minute)
		require.Len(w, w.audited(), 1)
	})
}

func TestNobodyHearsAVerdictBeforeItsRecordIsWritten(t *testing.T) {
	in(t, func(w *world) {
		w.disk = 3 * time.Second
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		held.waits()
		id := w.phone().ID
		go w.answer(id, login.Deny, "")
		synctest.Wait()
		time.Sleep(w.disk - time.Millisecond)
		held.waits()
		late := w.ask(client(login.Hold, login.ApprovalSimple)) // one that comes meanwhile does not either
		late.waits()
		require.Empty(w, w.audited())
		time.Sleep(time.Millisecond)
		require.Len(w, w.audited(), 1)
		held.is(login.Reject, login.Denied)
	})
}

func TestAnUnreachableDirectoryGivesNoAnswer(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		w.dead.Store(true)
		for range 6 {
			w.ask(vpn).is(login.NoAnswer, login.Unavailable)
		}
		w.dead.Store(false)
		w.ask(vpn).is(login.Ask, "")
		require.Empty(w, w.audited())
	})
}

func TestABrokenStoreGivesNoAnswerAndAsksNobody(t *testing.T) {
	in(t, func(w *world) {
		w.Engine.Store = brokenStore{w.store}
		w.ask(client(login.Challenge, login.ApprovalNumber)).is(login.NoAnswer, login.Unavailable)
		require.Zero(w, w.checks.Load())
	})
}

type brokenStore struct{ login.Store }

func (brokenStore) Find(context.Context, string, string, int) ([]login.Record, error) {
	return nil, errors.New("store is down")
}

func TestARuleIsNamed(t *testing.T) {
	in(t, func(w *world) {
		w.problem = login.NoDevice
		exempt := func(r *login.Request) { bind(r); r.Rule = "exempt:cn=svc" }
		app := client(login.Hold, login.ApprovalSimple)
		w.ask(app, exempt).is(login.Accept, login.Accepted)
		w.ask(app, exempt, saying("wrong")).is(login.Reject, login.BadPassword)
		require.Equal(w, login.Factor("exempt:cn=svc"), w.audited()[0].Factor)
		require.Equal(w, login.FactorNone, w.audited()[1].Factor)
	})
}

func TestABindJoinsOnlyWhereNobodyWaits(t *testing.T) {
	in(t, func(w *world) {
		app := client(login.Hold, login.ApprovalSimple)
		first := w.ask(app, bind)
		first.waits()
		first.leave() // sssd gives up after 8 s
		first.is(login.Silence, "")
		second := w.ask(app, bind)
		second.waits()
		require.Equal(w, 1, w.prompted())
		require.EqualValues(w, 2, w.checks.Load(), "each bind is checked on its own connection")
		thief := w.ask(app, bind)
		thief.waits()
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 2, "two connections never share a login")
	})
}

func TestARetryCollectsWhatWasApprovedWhileNobodyWaited(t *testing.T) {
	in(t, func(w *world) {
		app := client(login.Hold, login.ApprovalSimple)
		first := w.ask(app, bind)
		first.waits()
		first.leave()
		synctest.Wait()
		done, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeRetry, done.Outcome)
		w.ask(app, bind).is(login.Accept, login.Accepted)
	})
}

func TestABindWithAnAppendedCode(t *testing.T) {
	in(t, func(w *world) {
		app := client(login.Append, login.ApprovalSimple)
		w.ask(app, bind).is(login.Reject, login.AppendNeeded)
		code := w.phone().Code
		w.ask(app, bind, saying("wrong,"+code)).is(login.Reject, login.BadPassword)
		require.Equal(w, code, w.phone().Code, "the open login is untouched")
		w.ask(app, bind, saying(password+","+wrong(code))).is(login.Reject, login.WrongCode)
		w.ask(app, bind, saying(password+","+code)).is(login.Accept, login.Accepted)
		w.ask(app, bind, saying(password+","+code)).is(login.Reject, login.CodeUsed)
	})
}

func TestOneCodeFromManyHandsLetsOneIn(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		code := w.phone().Code
		var hands []*pending
		for i := range 64 {
			hands = append(hands, w.ask(vpn, saying(password+","+code), nas(strconv.Itoa(i))))
		}
		accepts := 0
		for _, h := range hands {
			if h.got().Kind == login.Accept {
				accepts++
			}
		}
		require.Equal(w, 1, accepts)
		require.Len(w, w.audited(), 1)
	})
}

func TestGuessesInParallelAreComparedNoMoreThanAllowed(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		bad := wrong(w.phone().Code)
		tried := map[login.Reason]int{}
		var hands []*pending
		for range 1000 {
			hands = append(hands, w.ask(vpn, saying(password+","+bad)))
		}
		for _, h := range hands {
			tried[h.got().Reason]++
		}
		require.LessOrEqual(w, tried[login.WrongCode], 3)
		require.Equal(w, 1000, tried[login.WrongCode]+tried[login.BadCode]+tried[login.LockedOut]+tried[login.Unavailable])
	})
}

func TestOnlyTheOwnersDeviceEnrolledBeforeMayAnswer(t *testing.T) {
	in(t, func(w *world) {
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		held.waits()
		id := w.phone().ID
		for name, a := range map[string]login.Answering{
			"another person":       {Kind: login.Approve, Person: "person-2", Device: "d"},
			"enrolled afterwards":  {Kind: login.Approve, Person: person, Device: "d", Enrolled: time.Now().Add(time.Second)},
			"enrolled that moment": {Kind: login.Approve, Person: person, Device: "d", Enrolled: time.Now()},
			"nobody":               {Kind: login.Approve},
		} {
			_, err := w.Engine.Answer(w.Context(), id, a)
			require.ErrorIs(w, err, login.ErrNotYours, name)
		}
		_, err := w.Engine.Answer(w.Context(), id, login.Answering{Kind: login.Approve, Person: person, Shown: &login.Shown{Client: "other"}})
		require.ErrorIs(w, err, login.ErrShown)
		held.waits()
	})
}

func TestWhatARevokedDeviceApprovedIsNotCollected(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		held := w.ask(vpn)
		time.Sleep(55 * time.Second)
		held.is(login.Reject, login.HoldOver)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		require.NoError(w, w.Withdraw(w.Context(), person, func(_, device string) bool { return device == "phone-2" }))
		require.Empty(w, w.audited(), "another device's approval stands")
		require.NoError(w, w.Withdraw(w.Context(), person, func(_, device string) bool { return device == "phone-1" }))
		require.Equal(w, login.Revoked, w.audited()[0].Reason)
		w.ask(vpn).waits()
	})
}

func TestApprovalOffTakesCodesOnly(t *testing.T) {
	in(t, func(w *world) {
		ask := w.ask(client(login.Challenge, login.ApprovalOff)).is(login.Ask, "")
		require.Equal(w, login.PromptCode, ask.Prompt)
		require.Empty(w, ask.Number)
		_, err := w.answer(ask.Attempt, login.Approve, "")
		require.ErrorIs(w, err, login.ErrApprovalOff)
	})
}

func TestALongPollWakesAtTheLogin(t *testing.T) {
	in(t, func(w *world) {
		none, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		woken := make(chan login.Logins, 1)
		ctx, stop := context.WithTimeout(w.Context(), time.Minute)
		defer stop()
		go func() {
			list, _ := w.Wait(ctx, person, none.Version)
			woken <- list
		}()
		synctest.Wait()
		require.Empty(w, woken)
		w.ask(client(login.Challenge, login.ApprovalNumber))
		require.Len(w, (<-woken).Open, 1)
	})
}

// A conversation is a first factor of three rounds.
type conversation struct {
	w     *world
	round int
}

func (c conversation) Resolve(ctx context.Context, name string) (login.Identity, error) {
	return c.w.Resolve(ctx, name)
}

func (c conversation) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	if c.round < 3 {
		return login.Checked{First: login.FirstMore, Relay: c.round, Next: func(*login.Request) login.FirstFactor { return conversation{c.w, c.round + 1} }}, nil
	}
	return login.Checked{First: login.FirstRight}, nil
}

func TestAFirstFactorOfSeveralRounds(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		talk := func(r *login.Request) { r.First, r.Conversation, r.Password = conversation{w, 1}, true, nil }
		one := w.ask(vpn, talk).is(login.Relay, "")
		two := w.ask(vpn, talk, withState(one.State)).is(login.Relay, "")
		require.Equal(w, 2, two.Data)
		w.ask(vpn, talk, withState(one.State)).is(login.BadAnswer, login.BadState)
		held := w.ask(vpn, talk, withState(two.State))
		held.waits()
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		held.is(login.Accept, login.Accepted)
	})
}

func TestMoreThanCanBeDecidedAtOnceIsShed(t *testing.T) {
	in(t, func(w *world) {
		w.MaxBusy, w.slow = 3, 5*time.Second
		c := client(login.Challenge, login.ApprovalNumber)
		var all []*pending
		for i := range 5 {
			all = append(all, w.ask(c, station(strconv.Itoa(i))))
			synctest.Wait()
		}
		for _, p := range all[:3] {
			p.waits()
		}
		for _, p := range all[3:] {
			p.is(login.NoAnswer, login.Shed)
		}
		time.Sleep(w.slow)
		for _, p := range all[:3] {
			p.is(login.Ask, "")
		}
		require.EqualValues(w, 3, w.checks.Load(), "what is shed is asked of nobody")
		w.slow = 0
		w.ask(client(login.Challenge, login.ApprovalNumber), user("binh")).is(login.Ask, "")
	})
}

func TestANumberTypedAsANameIsMasked(t *testing.T) {
	for typed, want := range map[string]string{"0123456789": "**********", " 012345678901 ": "************", "an.nv": "an.nv", "123456789": "123456789", "01234567890": "01234567890"} {
		require.Equal(t, want, login.ShownName(typed))
	}
	require.Len(t, login.ShownName(strings.Repeat("x", 1000)), 64)
}
