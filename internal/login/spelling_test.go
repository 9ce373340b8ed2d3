package login_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// The front ends, as an appended code meets them.
var doors = map[string][]func(*login.Request){"radius": nil, "ldap": {bind}}

// atEachDoor runs test at each front end: ask asks there.
func atEachDoor(t *testing.T, test func(w *world, ask func(...func(*login.Request)) *pending)) {
	for name, door := range doors {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				app := client(login.Append, login.ApprovalSimple)
				test(w, func(change ...func(*login.Request)) *pending { return w.ask(app, append(change, door...)...) })
			})
		})
	}
}

func TestACodeMayComeUnderAnySpellingOfTheName(t *testing.T) {
	for begun, typed := range map[string]string{"an": "AN", "AN": "an"} {
		atEachDoor(t, func(w *world, ask func(...func(*login.Request)) *pending) {
			ask(user(begun)).is(login.Reject, login.AppendNeeded)
			code := w.phone().Code
			ask(user(typed), saying(password+","+wrong(code))).is(login.Reject, login.WrongCode)
			names := w.names.Load()
			ask(user(typed), saying(password+","+code)).is(login.Accept, login.Accepted)
			require.EqualValues(w, 1, w.names.Load()-names, "the name is resolved once for a request")
			require.Len(w, w.audited(), 1)
			require.Equal(w, "an", w.audit[0].Username)
		})
	}
}

// What reaches the directory is never the code.
func TestUnderAnotherSpellingNoPasswordWithACodeReachesTheDirectory(t *testing.T) {
	atEachDoor(t, func(w *world, ask func(...func(*login.Request)) *pending) {
		ask().is(login.Reject, login.AppendNeeded)
		code := w.phone().Code
		w.passed = nil
		ask(user("AN"), saying(password+","+wrong(code))).is(login.Reject, login.WrongCode)
		ask(user("AN"), saying(password+","+code)).is(login.Accept, login.Accepted)
		ask(user("AN"), saying(password+","+code), nas("elsewhere")).is(login.Reject, login.CodeUsed)
		for _, sent := range w.passed {
			require.Equal(w, password, sent)
		}
	})
}

func TestGuessesUnderOtherSpellingsAreCountedAtTheAccount(t *testing.T) {
	atEachDoor(t, func(w *world, ask func(...func(*login.Request)) *pending) {
		ask().is(login.Reject, login.AppendNeeded)
		code := w.phone().Code
		for range 2 {
			ask(user("AN"), saying(password+","+wrong(code))).is(login.Reject, login.WrongCode)
		}
		ask(user("AN"), saying(password+","+wrong(code))).is(login.Reject, login.BadCode)
		ask(saying(password+","+code)).is(login.Reject, login.BadCode)
		standing, err := w.Standing(w.Context(), ident)
		require.NoError(w, err)
		require.Equal(w, 3, standing.WrongCodes)
		require.Zero(w, standing.WrongPasswords)
	})
}

// An appended code is recognised for ten minutes after its login has ended, and
// belongs to the one that is open rather than to one that has.
func TestUnderAnotherSpellingAnOpenLoginIsMeantRatherThanOneThatEnded(t *testing.T) {
	atEachDoor(t, func(w *world, ask func(...func(*login.Request)) *pending) {
		ask(user("an")).is(login.Reject, login.AppendNeeded)
		used := w.phone().Code
		ask(user("an"), saying(password+","+used)).is(login.Accept, login.Accepted)
		checks := w.checks.Load()
		time.Sleep(9 * time.Minute)
		ask(user("AN"), saying(password+","+used)).is(login.Reject, login.CodeUsed)
		require.Equal(w, checks, w.checks.Load(), "nobody is asked about a login that has ended")

		ask(user("AN")).is(login.Reject, login.AppendNeeded)
		ask(user("an"), saying(password+","+w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

func TestACodeBelongsToNobodyElsesLogin(t *testing.T) {
	atEachDoor(t, func(w *world, ask func(...func(*login.Request)) *pending) {
		ask(user("AN")).is(login.Reject, login.AppendNeeded)
		code := w.phone().Code
		for _, other := range []string{"binh", "nobody", "", `OTHER\an`} {
			ask(user(other), saying(password+","+code)).is(login.Reject, login.BadPassword)
		}
		require.Equal(w, code, w.phone().Code, "the open login is untouched")
		ask(user("an"), saying("other,"+code)).is(login.Reject, login.BadPassword)
	})
}

// What the code confirmed is remembered, and the NAS sends what was typed to its
// gateway under the name that its portal found.
func TestWhatIsRememberedIsKnownBehindTheSameCodeUnderAnotherSpelling(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		typed := password + "," + w.phone().Code
		w.ask(vpn, saying(typed)).is(login.Accept, login.Accepted)
		for range 2 {
			w.ask(vpn, user("AN"), nas("gateway"), saying(typed)).remembered()
		}
		for _, sent := range w.passed {
			require.Equal(w, password, sent)
		}
	})
}

// Whoever asks at the same time with the very same words waits for the one that
// asks, and gets no accept of its own by the same code.
func TestOneCodeFromManyHandsUnderAnotherSpellingLetsOneIn(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		typed := saying(password + "," + w.phone().Code)
		var hands []*pending
		for i := range 32 {
			hands = append(hands, w.ask(vpn, user("AN"), typed, nas(strconv.Itoa(i/2))))
		}
		rooms := map[int]bool{}
		for i, h := range hands {
			if h.got().Kind == login.Accept {
				rooms[i/2] = true
			}
		}
		require.Len(w, rooms, 1)
		require.Len(w, w.audited(), 1)
	})
}

// A tallying store counts what it is asked.
type tallying struct {
	login.Store
	asked *[]string
}

func (s tallying) Find(ctx context.Context, index, after string, limit int) ([]login.Record, error) {
	*s.asked = append(*s.asked, "find")
	return s.Store.Find(ctx, index, after, limit)
}

func (s tallying) Load(ctx context.Context, keys ...string) (login.Record, error) {
	*s.asked = append(*s.asked, "load")
	return s.Store.Load(ctx, keys...)
}

func (s tallying) Count(ctx context.Context, quotas ...login.Quota) (bool, error) {
	*s.asked = append(*s.asked, "count")
	return s.Store.Count(ctx, quotas...)
}

// Who looks for names that there are learns nothing from the time: whoever is
// named, in whichever spelling, with a login open or not, as much is asked.
func TestACodeBehindAWrongPasswordCostsTheSameForAnybody(t *testing.T) {
	vpn := client(login.Append, login.ApprovalSimple)
	for name, at := range map[string]struct {
		client *login.Client
		change []func(*login.Request)
	}{
		"radius":                       {client: vpn},
		"radius without a station":     {vpn, []func(*login.Request){station("")}},
		"radius, and it is remembered": {client: remembering(login.Append, login.ApprovalSimple)},
		"ldap":                         {vpn, []func(*login.Request){bind}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				var asked []string
				node := w.secondOn(tallying{w.store, &asked})
				w.ask(at.client).is(login.Reject, login.AppendNeeded)
				work := map[string][]string{}
				for i, name := range []string{"nobody", "binh", "an", "AN", ""} {
					asked = nil
					node.ask(at.client, append([]func(*login.Request){user(name), saying("guess,123456"), station(strconv.Itoa(i))}, at.change...)...).is(login.Reject, login.BadPassword)
					work[name] = asked
				}
				for name, did := range work {
					require.Equal(w, work["nobody"], did, "%q", name)
				}
				require.EqualValues(w, 5, node.checks.Load(), "and a password is checked for each")
			})
		})
	}
}
