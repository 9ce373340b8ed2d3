package login_test

import (
	"context"
	"encoding/base32"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/otp"
)

const allOfThem = login.AllowApprove | login.AllowCode | login.AllowTOTP | login.AllowRecovery | login.AllowHelp

// A desk gives the account "an" codes of its own, from the real enrol.
type desk struct {
	*world
	people  *enrol.People
	account enrol.Account
}

// withCodes runs test with an account that may use codes of its own.
func withCodes(t *testing.T, test func(d *desk)) {
	t.Helper()
	in(t, func(w *world) {
		people, err := enrol.New(w.store, w.Keys, enrol.Options{MinVersion: "1", Platforms: enrol.Platforms, MaxDevices: 5, PublicURL: "https://otp.example.vn"})
		require.NoError(w, err)
		account, problem, err := people.Mention(w.Context(), login.Identity{ID: ident, Username: "an", Number: "0123456789"})
		require.NoError(w, err)
		require.Empty(w, problem)
		w.person = account.Person
		w.Policy.Factors, w.Fallbacks = allOfThem, people
		test(&desk{w, people, account})
	})
}

// app is an authenticator app: what it shows now, or some steps later.
func (d *desk) app() func(later int) string {
	d.Helper()
	given, err := d.people.NewApp(d.Context(), d.account)
	require.NoError(d, err)
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(given.Secret.Reveal())
	require.NoError(d, err)
	return func(later int) string { return otp.TimeCode(secret, uint64(time.Now().Unix()/30+int64(later))) }
}

func (d *desk) help() string {
	d.Helper()
	code, _, err := d.people.NewHelpCode(d.Context(), d.account, 4*time.Hour)
	require.NoError(d, err)
	return code.Reveal()
}

func (d *desk) recovery() (codes []string) {
	d.Helper()
	all, err := d.people.NewRecoveryCodes(d.Context(), d.account)
	require.NoError(d, err)
	for _, code := range all {
		codes = append(codes, code.Reveal())
	}
	return codes
}

// unlike is another code of the same form.
func unlike(code string) string {
	last := "0"
	if strings.HasSuffix(code, "0") {
		last = "2"
	}
	return code[:len(code)-1] + last
}

// Each kind, at a challenge and behind the password, over RADIUS and LDAP, with
// and without a phone.
func TestACodeOfTheAccountsOwnLetsInOnce(t *testing.T) {
	for _, kind := range []login.Factor{login.FactorTOTP, login.FactorHelp, login.FactorRecovery} {
		for _, problem := range []login.Reason{"", login.NoDevice, login.OldApp} {
			t.Run(string(kind)+" "+string(problem), func(t *testing.T) {
				withCodes(t, func(d *desk) {
					d.problem = problem
					app, recovery := d.app(), d.recovery()
					fresh := func() string {
						switch kind {
						case login.FactorTOTP:
							time.Sleep(30 * time.Second)
							return app(0)
						case login.FactorHelp:
							return d.help()
						}
						recovery = recovery[1:]
						return strings.ToLower(recovery[0])
					}
					vpn, app2 := client(login.Challenge, login.ApprovalNumber), client(login.Hold, login.ApprovalSimple)
					ask := d.ask(vpn).is(login.Ask, "")
					code := fresh()
					require.Equal(d, kind, d.ask(vpn, withState(ask.State), saying(code)).is(login.Accept, login.Accepted).Factor)

					ask = d.ask(vpn, nas("two")).is(login.Ask, "")
					d.ask(vpn, nas("two"), withState(ask.State), saying(code)).is(login.Ask, "")

					code = fresh()
					require.Equal(d, kind, d.ask(vpn, nas("three"), saying(password+","+code)).is(login.Accept, login.Accepted).Factor)
					d.ask(vpn, nas("four"), saying(password+","+code)).is(login.Reject, login.BadCode)

					code = fresh()
					require.Equal(d, kind, d.ask(app2, bind, saying(password+","+code)).is(login.Accept, login.Accepted).Factor)
					d.ask(app2, bind, saying(password+","+code)).is(login.Reject, login.BadCode)

					told := map[login.Factor]login.NoticeWord{login.FactorHelp: login.NoticeHelp, login.FactorRecovery: login.NoticeRecovery}
					synctest.Wait()
					var want []login.Notice
					for range 3 {
						if word, known := told[kind]; known {
							want = append(want, login.Notice{Person: d.account.Person, Word: word})
						}
					}
					require.Equal(d, want, d.notices)
					for _, r := range d.audited() {
						if r.Accepted {
							require.Equal(d, kind, r.Factor)
						}
					}
				})
			})
		}
	}
}

func TestWithoutAPhoneTheAccountsOwnCodesAreAskedForAtOnce(t *testing.T) {
	withCodes(t, func(d *desk) {
		d.problem = login.NoDevice
		vpn := client(login.Challenge, login.ApprovalNumber)
		d.ask(vpn).is(login.Reject, login.NoDevice)
		app := d.app()
		ask := d.ask(vpn, nas("2")).is(login.Ask, "")
		require.Equal(d, login.PromptFallback, ask.Prompt)
		require.Equal(d, login.AllowTOTP, ask.Codes)
		require.Empty(d, ask.Number)
		ask = d.ask(vpn, nas("2"), withState(ask.State), saying("ok")).is(login.Ask, "")
		require.Equal(d, login.PromptFallback, ask.Prompt)
		ask = d.ask(vpn, nas("2"), withState(ask.State), saying(unlike(app(0)))).is(login.Ask, "")
		require.Equal(d, login.PromptWrongCode, ask.Prompt)
		require.Equal(d, login.AllowTOTP, ask.Codes)
		require.Zero(d, d.prompted(), "there is nobody to prompt")
		d.ask(vpn, nas("2"), withState(ask.State), saying(app(1))).is(login.Accept, login.Accepted)

		r := d.ask(client(login.Hold, login.ApprovalSimple), nas("3")).is(login.Reject, login.AppendNeeded)
		require.Equal(d, login.AllowTOTP, r.Codes)
		d.ask(client(login.Append, login.ApprovalSimple), nas("4")).is(login.Reject, login.AppendNeeded)
		proof := func(r *login.Request) { r.Conversation, r.NoChallenge = true, true }
		d.ask(vpn, nas("5"), proof).is(login.Reject, login.NoDevice) // MS-CHAP: no code can come
	})
}

// What stands in an account's way besides the phone stays there.
func TestCodesOfItsOwnMakeUpForAPhoneOnly(t *testing.T) {
	for _, problem := range []login.Reason{login.NoNumber, login.BadNumber, login.NumberChanged, login.NoCustodian, login.LockedOut} {
		withCodes(t, func(d *desk) {
			app := d.app()
			d.problem = problem
			d.ask(client(login.Challenge, login.ApprovalNumber)).is(login.Reject, problem)
			d.ask(client(login.Append, login.ApprovalNumber), saying(password+","+app(0))).is(login.Reject, problem)
		})
	}
}

func TestAPolicyWithoutThemCountsNone(t *testing.T) {
	withCodes(t, func(d *desk) {
		app, help, recovery := d.app(), d.help(), d.recovery()[0]
		only := login.Rule{Factors: login.AllowApprove | login.AllowCode}
		d.ruled(only)
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := d.ask(vpn).is(login.Ask, "")
		ask = d.ask(vpn, withState(ask.State), saying(app(0))).is(login.Ask, "")
		require.Equal(d, login.PromptWrongCode, ask.Prompt)
		waiting := d.ask(vpn, withState(ask.State), saying(help)) // the form of no code: as `ok`
		waiting.waits()
		time.Sleep(5 * time.Second)
		ask = waiting.is(login.Ask, "")
		d.ask(vpn, withState(ask.State), saying(recovery)).waits()
		d.ask(vpn, nas("2"), saying(password+","+help)).is(login.Reject, login.WrongCode)
		d.ask(vpn, user("binh"), saying(password+","+help)).is(login.Reject, login.BadPassword)
		d.problem = login.NoDevice
		d.ask(vpn, nas("3")).is(login.Reject, login.NoDevice)
		kinds, _, err := d.people.Fallbacks(d.Context(), ident)
		require.NoError(d, err)
		require.Equal(d, login.AllowTOTP|login.AllowHelp|login.AllowRecovery, kinds, "nothing is used up")
	})
}

func TestAPolicyThatCountsNothingElse(t *testing.T) {
	withCodes(t, func(d *desk) {
		d.ruled(login.Rule{Factors: login.AllowTOTP})
		vpn := client(login.Challenge, login.ApprovalNumber)
		d.ask(vpn).is(login.Reject, login.NotAllowed)
		app := d.app()
		ask := d.ask(vpn, nas("2")).is(login.Ask, "")
		require.Equal(d, login.PromptFallback, ask.Prompt)
		require.Zero(d, d.prompted())
		list, err := d.Logins(d.Context(), d.account.Person)
		require.NoError(d, err)
		ask = d.ask(vpn, nas("2"), withState(ask.State), saying(list.Open[0].Code)).is(login.Ask, "")
		d.ask(vpn, nas("2"), withState(ask.State), saying(app(0))).is(login.Accept, login.Accepted)
	})
}

func TestGuessesAtThemAreCountedLikeAnyOther(t *testing.T) {
	withCodes(t, func(d *desk) {
		app := d.app()
		vpn := client(login.Append, login.ApprovalSimple)
		for i := range 5 {
			d.ask(vpn, nas(string(rune('a'+i))), saying(password+","+unlike(app(0)))).is(login.Reject, login.BadCode)
		}
		r := d.ask(vpn, nas("f"), saying(password+","+app(0))).is(login.Reject, login.LockedOut)
		require.False(d, r.Until.IsZero())
		require.Zero(d, d.prompted(), "a wrong code prompts nobody")
		list, err := d.Logins(d.Context(), d.account.Person)
		require.NoError(d, err)
		require.Empty(d, list.Open, "and opens no login")
		time.Sleep(15 * time.Minute)
		d.ask(vpn, nas("g"), saying(password+","+app(0))).is(login.Accept, login.Accepted)
		require.EqualValues(d, 7, d.checks.Load(), "one check a request")
		d.ask(vpn, nas("h"), saying("wrong,"+app(1))).is(login.Reject, login.BadPassword)
		d.ask(vpn, nas("i"), saying(password+","+app(1))).is(login.Accept, login.Accepted)
	})
}

func TestALostReplyToACodeThatBeganTheLogin(t *testing.T) {
	withCodes(t, func(d *desk) {
		app := d.app()
		vpn := client(login.Append, login.ApprovalSimple)
		typed := saying(password + "," + app(0))
		d.slow = time.Second
		first, second := d.ask(vpn, typed), d.ask(vpn, typed)
		time.Sleep(2 * time.Second)
		kinds := []login.ReplyKind{first.got().Kind, second.got().Kind}
		require.Contains(d, kinds, login.Accept)
		require.Subset(d, []login.ReplyKind{login.Accept, login.NoAnswer}, kinds, "no answer while the record is being written: the packet comes again")
		d.ask(vpn, typed).is(login.Accept, login.Accepted)
		require.EqualValues(d, 1, d.checks.Load())
		require.Len(d, d.audited(), 1)
		d.ask(vpn, typed, station("198.51.100.9")).waits()
		time.Sleep(2 * time.Second)
	})
}

func TestAfterALoginThatEndedTheNextMayBeginWithItsOwnCode(t *testing.T) {
	withCodes(t, func(d *desk) {
		vpn := client(login.Append, login.ApprovalSimple)
		d.ask(vpn).is(login.Reject, login.AppendNeeded)
		typed := password + "," + d.phone0().Code
		d.ask(vpn, saying(typed)).is(login.Accept, login.Accepted)
		time.Sleep(20 * time.Second)
		d.ask(vpn, saying(typed)).is(login.Reject, login.CodeUsed)
		help := d.help()
		require.Equal(d, login.FactorHelp, d.ask(vpn, saying(password+","+help)).is(login.Accept, login.Accepted).Factor)
	})
}

// phone0 is what the phones of the desk's person see.
func (d *desk) phone0() login.OpenLogin {
	d.Helper()
	list, err := d.Logins(d.Context(), d.account.Person)
	require.NoError(d, err)
	require.Len(d, list.Open, 1)
	return list.Open[0]
}

func TestARememberedFallbackIsNotAskedAgain(t *testing.T) {
	withCodes(t, func(d *desk) {
		d.problem = login.NoDevice
		vpn := remembering(login.Append, login.ApprovalSimple)
		app := d.app()
		d.ask(vpn, saying(password+","+app(0))).is(login.Accept, login.Accepted)
		time.Sleep(20 * time.Second)
		d.ask(vpn).remembered()
	})
}

// An app without a separator: the longest code that the account may have.
func TestWithoutSeparatorTheLastDigitsAreTheCode(t *testing.T) {
	withCodes(t, func(d *desk) {
		vpn := client(login.Append, login.ApprovalSimple)
		vpn.Separator = ""
		app, help := d.app(), d.help()
		d.ask(vpn, saying(password+help)).is(login.Accept, login.Accepted)
		d.ask(vpn, nas("2"), saying(password+app(0))).is(login.Accept, login.Accepted)
		d.ask(vpn, nas("3"), saying(app(1))).is(login.Reject, login.BadPassword)
	})
}

// A NAS that sends the same to several servers at once is let in once. (Many at
// once are more guesses than a login may see: it ends, and nobody is let in.)
func TestACodeOfTheAccountsOwnFromManyHandsLetsOneIn(t *testing.T) {
	for _, hands := range []int{3, 64} {
		withCodes(t, func(d *desk) {
			d.Policy.Throttle = login.Throttle{PerAccount: 1000, PerSource: 1000, Within: time.Minute}
			typed := saying(password + "," + d.app()(0))
			vpn := client(login.Append, login.ApprovalSimple)
			var all []*pending
			for i := range hands {
				all = append(all, d.ask(vpn, nas(strconv.Itoa(i)), typed))
			}
			accepted := 0
			for _, p := range all {
				if p.got().Kind == login.Accept {
					accepted++
				}
			}
			if require.LessOrEqual(d, accepted, 1); hands <= d.Policy.WrongCodes {
				require.Equal(d, 1, accepted)
			}
		})
	}
}

// A crash between the mark and the accept loses the code for other logins, and
// not for the one that used it.
func TestACrashBetweenMarkAndAcceptNeverDoublesACode(t *testing.T) {
	withCodes(t, func(d *desk) {
		code, recovery := d.app()(0), d.recovery()[0]
		use := func(attempt login.ID, code string) login.Factor {
			f, err := d.people.UseFallback(d.Context(), login.FallbackCode{Attempt: attempt, Account: ident, Person: d.account.Person, Kinds: allOfThem, Code: code})
			require.NoError(d, err)
			return f
		}
		first, other := login.NewID(), login.NewID()
		require.Equal(d, login.FactorTOTP, use(first, code))
		require.Equal(d, login.FactorTOTP, use(first, code), "the login that used it asks again")
		require.Equal(d, login.FactorNone, use(other, code))
		parsed, _ := otp.ParseRecoveryCode(recovery)
		require.Equal(d, login.FactorRecovery, use(first, parsed))
		require.Equal(d, login.FactorNone, use(other, parsed))
		require.Equal(d, login.FactorNone, use(first, code), "one code, and no other again")
	})
}

// What was used is on disk before anybody is let in: the file as it is then, as
// after a crash, still knows it.
func TestWhatWasUsedStaysUsedAfterACrash(t *testing.T) {
	withCodes(t, func(d *desk) {
		code, help := d.app()(0), d.help()
		vpn := client(login.Append, login.ApprovalSimple)
		d.ask(vpn, saying(password+","+code)).is(login.Accept, login.Accepted)
		d.ask(vpn, nas("2"), saying(password+","+help)).is(login.Accept, login.Accepted)

		file, err := os.ReadFile(d.path)
		require.NoError(d, err)
		copied := filepath.Join(d.TempDir(), "copied.db")
		require.NoError(d, os.WriteFile(copied, file, 0o600))
		s, err := store.OpenEmbedded(copied, slog.New(slog.DiscardHandler))
		require.NoError(d, err)
		defer s.Close()
		people, err := enrol.New(s, d.Keys, enrol.Options{MinVersion: "1", Platforms: enrol.Platforms, MaxDevices: 5})
		require.NoError(d, err)
		for _, used := range []string{code, help} {
			f, err := people.UseFallback(d.Context(), login.FallbackCode{Attempt: login.NewID(), Account: ident, Person: d.account.Person, Kinds: allOfThem, Code: used})
			require.NoError(d, err)
			require.Empty(d, f)
		}
	})
}

// A witness sees on what condition a login is saved that a code lets in.
type witness struct {
	login.Store
	*enrol.People
	used   bool
	before time.Time
}

func (w *witness) UseFallback(ctx context.Context, c login.FallbackCode) (login.Factor, error) {
	f, err := w.People.UseFallback(ctx, c)
	w.used = f != login.FactorNone
	return f, err
}

func (w *witness) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	if w.used && strings.HasPrefix(r.Key, "attempt:") {
		w.used, w.before = false, cond.Before
	}
	return w.Store.Save(ctx, r, cond)
}

// Whatever happens between: the store's clock has the last word.
func TestTheStoreRefusesAnAcceptAtTheDeadline(t *testing.T) {
	withCodes(t, func(d *desk) {
		app := d.app()
		w := &witness{Store: d.Engine.Store, People: d.people}
		d.Engine.Store, d.Fallbacks = w, w
		vpn := client(login.Challenge, login.ApprovalNumber)
		began := time.Now()
		ask := d.ask(vpn).is(login.Ask, "")
		time.Sleep(time.Minute)
		d.ask(vpn, withState(ask.State), saying(app(0))).is(login.Accept, login.Accepted)
		require.True(d, w.before.Equal(began.Add(2*time.Minute)), "%v", w.before)
	})
}

// A password may end like a password with a code.
func TestAnAccountWithoutCodesOfItsOwnHasItsWholePassword(t *testing.T) {
	withCodes(t, func(d *desk) {
		d.changed = "secret,123456"
		vpn := client(login.Append, login.ApprovalSimple)
		d.ask(vpn, saying(d.changed)).is(login.Reject, login.AppendNeeded)
		d.recovery()
		d.ruled(login.Rule{Factors: login.AllowCode | login.AllowTOTP})
		d.ask(vpn, nas("2"), saying(d.changed)).is(login.Reject, login.AppendNeeded)
		require.Empty(d, d.audited())
	})
}

// What an account has and the policy does not count does not make up for a phone.
func TestCodesThatDoNotCountHereMakeUpForNothing(t *testing.T) {
	withCodes(t, func(d *desk) {
		d.problem = login.NoDevice
		d.recovery()
		d.ruled(login.Rule{Factors: login.AllowCode | login.AllowTOTP})
		d.ask(client(login.Challenge, login.ApprovalNumber)).is(login.Reject, login.NoDevice)
		d.app()
		d.person = "somebody else"
		d.ask(client(login.Challenge, login.ApprovalNumber)).is(login.Reject, login.NoDevice)
	})
}

// slowCodes take a second to compare.
type slowCodes struct{ fallbacks }

type fallbacks = login.Fallbacks

func (s slowCodes) UseFallback(ctx context.Context, c login.FallbackCode) (login.Factor, error) {
	time.Sleep(time.Second)
	return s.fallbacks.UseFallback(ctx, c)
}

// A code of the account's own that is to begin a login is being compared, and is
// wrong: neither the end of another login, nor one that joins, has the phone ring
// for it beside that.
func TestACodeThatIsComparedHasNoTurnOnThePhone(t *testing.T) {
	for name, test := range map[string]func(d *desk, vpn *login.Client){
		"another login ends": func(d *desk, vpn *login.Client) {
			first := d.ask(vpn, station("1"))
			first.waits()
			_, err := d.Engine.Answer(d.Context(), d.prompts[0].Login, login.Answering{Kind: login.Deny, Person: d.person, Device: "phone-1", Presence: "device_key", Signed: "jws"})
			require.NoError(d, err)
			first.is(login.Reject, login.Denied)
		},
		"another is on the phone, and one joins": func(d *desk, vpn *login.Client) {
			d.ask(vpn, station("1")).waits()
			d.ask(vpn, station("4")).waits()
		},
	} {
		t.Run(name, func(t *testing.T) {
			withCodes(t, func(d *desk) {
				app := d.app()
				d.Fallbacks = slowCodes{d.Fallbacks}
				vpn := client(login.Hold, login.ApprovalSimple)
				d.ask(vpn, station("4"), saying(password+","+unlike(app(0)))).waits()
				test(d, vpn)
				time.Sleep(2 * time.Second)
				require.Equal(d, 1, d.prompted())
			})
		})
	}
}
