package enrol

import (
	"bytes"
	"encoding/base32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

const everyKind = login.AllowTOTP | login.AllowRecovery | login.AllowHelp

// owns mentions An's account, which can then have codes of its own.
func (p *People) owns(t testing.TB) Account {
	t.Helper()
	a, _, err := p.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	return a
}

// uses types a code in the name of a login.
func (p *People) uses(t testing.TB, a Account, attempt login.ID, code string) login.Factor {
	t.Helper()
	if parsed, ok := otp.ParseRecoveryCode(code); ok {
		code = parsed
	}
	typed := login.FallbackCode{Attempt: attempt, Account: a.ID, Person: a.Person, Kinds: everyKind, Code: code}
	f, err := p.UseFallback(t.Context(), typed)
	for tries := 0; err != nil && tries < 10; tries++ { // a busy machine: the login may ask again
		f, err = p.UseFallback(t.Context(), typed)
	}
	require.NoError(t, err)
	return f
}

// shows is what an authenticator app shows now, or some steps later.
func (a App) shows(t testing.TB, later int) string {
	t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(a.Secret.Reveal())
	require.NoError(t, err)
	return otp.TimeCode(raw, uint64(time.Now().Unix()/30+int64(later)))
}

// One record is one compare-and-set: of 64 callers on two nodes that are shown
// the same code at the same time, one is told that it counts.
func TestACodeIsUsedOnceAmongNodes(t *testing.T) {
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	for _, where := range []string{"embedded", "redis"} {
		t.Run(where, func(t *testing.T) {
			var nodes [2]*People
			var shared login.Store
			addr := ""
			if where == "redis" {
				addr = testenv.Redis(t)
			}
			for i := range nodes {
				if addr != "" {
					s, err := store.OpenRedis(t.Context(), store.RedisOptions{Addresses: []string{addr}})
					require.NoError(t, err)
					t.Cleanup(func() { s.Close() })
					shared = s
				} else if shared == nil {
					shared = newFixture(t).store
				}
				nodes[i], err = New(shared, keys, testOptions)
				require.NoError(t, err)
			}
			a := nodes[0].owns(t)
			app, err := nodes[0].NewApp(t.Context(), a)
			require.NoError(t, err)
			help, _, err := nodes[1].NewHelpCode(t.Context(), a, time.Hour)
			require.NoError(t, err)
			recovery, err := nodes[1].NewRecoveryCodes(t.Context(), a)
			require.NoError(t, err)
			for factor, code := range map[login.Factor]string{login.FactorTOTP: app.shows(t, 0), login.FactorHelp: help.Reveal(), login.FactorRecovery: recovery[7].Reveal()} {
				var mu sync.Mutex
				var all sync.WaitGroup
				told := map[login.Factor]int{}
				for i := range 64 {
					all.Go(func() {
						f := nodes[i%2].uses(t, a, login.NewID(), code)
						mu.Lock()
						defer mu.Unlock()
						told[f]++
					})
				}
				all.Wait()
				require.Equal(t, map[login.Factor]int{factor: 1, login.FactorNone: 63}, told)
			}
			own, err := nodes[0].OwnCodes(t.Context(), a)
			require.NoError(t, err)
			require.Equal(t, OwnCodes{App: true, Confirmed: true, Recovery: 9}, own)
		})
	}
}

func TestCodesCountForThePersonTheyWereMadeFor(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	recovery, err := f.NewRecoveryCodes(t.Context(), a)
	require.NoError(t, err)
	moved, err := f.SetNumbers(t.Context(), ann(""), binhNumber, "")
	require.NoError(t, err)
	require.NotEqual(t, a.Person, moved.Person)
	for _, code := range []string{app.shows(t, 0), recovery[0].Reveal()} {
		require.Empty(t, f.uses(t, moved, login.NewID(), code), "somebody else answers for the account now")
	}
	own, err := f.OwnCodes(t.Context(), moved)
	require.NoError(t, err)
	require.Zero(t, own)
	_, _, err = f.NewHelpCode(t.Context(), moved, time.Hour)
	require.NoError(t, err)
	require.Empty(t, f.uses(t, a, login.NewID(), app.shows(t, 0)), "what the one before had is gone")

	_, _, err = f.Mention(t.Context(), binh(""))
	require.NoError(t, err)
	_, err = f.NewApp(t.Context(), Account{ID: binh("").ID, Username: "binh.tt"})
	require.ErrorIs(t, err, ErrNoNumber)
}

func TestNewCodesReplaceTheOldOnes(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	help, _, err := f.NewHelpCode(t.Context(), a, time.Hour)
	require.NoError(t, err)
	recovery, err := f.NewRecoveryCodes(t.Context(), a)
	require.NoError(t, err)
	require.Len(t, recovery, 10)
	old := []string{app.shows(t, 0), help.Reveal(), recovery[0].Reveal()}

	_, err = f.NewApp(t.Context(), a)
	require.NoError(t, err)
	_, _, err = f.NewHelpCode(t.Context(), a, time.Hour)
	require.NoError(t, err)
	_, err = f.NewRecoveryCodes(t.Context(), a)
	require.NoError(t, err)
	for _, code := range old {
		require.Empty(t, f.uses(t, a, login.NewID(), code))
	}
	for _, kind := range []login.FactorSet{login.AllowTOTP, login.AllowRecovery, login.AllowHelp} {
		dropped, err := f.DropFallbacks(t.Context(), a, kind)
		require.NoError(t, err)
		require.Equal(t, kind, dropped)
		dropped, err = f.DropFallbacks(t.Context(), a, kind)
		require.NoError(t, err)
		require.Zero(t, dropped)
	}
}

func TestCodesThatAreOver(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	help, expires, err := f.NewHelpCode(t.Context(), a, 4*time.Hour)
	require.NoError(t, err)
	require.InDelta(t, 4*time.Hour, time.Until(expires), float64(time.Minute))
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	f.store.ahead = 4 * time.Hour
	require.Empty(t, f.uses(t, a, login.NewID(), help.Reveal()))

	later := func(d time.Duration, steps int) string {
		f.store.ahead = d
		return app.shows(t, int(d/otp.TimeStep)+steps)
	}
	require.Empty(t, f.uses(t, a, login.NewID(), later(ConfirmApp, 0)), "a secret that nobody has used for a week")
	require.Equal(t, login.FactorTOTP, f.uses(t, a, login.NewID(), later(ConfirmApp-time.Hour, 0)))
	require.Empty(t, f.uses(t, a, login.NewID(), later(3*ConfirmApp, -3)), "a code of more than a minute ago")
	require.Equal(t, login.FactorTOTP, f.uses(t, a, login.NewID(), later(3*ConfirmApp, 1)), "an app that is half a minute ahead")
	require.Empty(t, f.uses(t, a, login.NewID(), later(3*ConfirmApp, 0)), "a step before one that was accepted")
}

// After a failover, what may have been used before it does not count, where the
// secret is older than the store's memory.
func TestAStepFromBeforeAFailoverDoesNotCount(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(app.Secret.Reveal())
	require.NoError(t, err)
	step := uint64(time.Now().Unix() / 30)
	f.store.forgot = otp.StepBegins(step + 1)
	attempt := login.NewID()
	require.Empty(t, f.uses(t, a, attempt, otp.TimeCode(raw, step)))
	require.Empty(t, f.uses(t, a, attempt, otp.TimeCode(raw, step)), "nor for the login that tried it before")
	require.Equal(t, login.FactorTOTP, f.uses(t, a, login.NewID(), otp.TimeCode(raw, step+1)), "a step that began since")

	f.store.forgot = time.Now().Add(-time.Millisecond)
	app, err = f.NewApp(t.Context(), a)
	require.NoError(t, err)
	require.Equal(t, login.FactorTOTP, f.uses(t, a, login.NewID(), app.shows(t, 0)), "a secret that was made since")
}

// When the store cannot commit the mark, nobody is let in.
func TestWhatCannotBeMarkedDoesNotCount(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	help, _, err := f.NewHelpCode(t.Context(), a, time.Hour)
	require.NoError(t, err)
	f.store.failSave = func(login.Record) error { return os.ErrDeadlineExceeded }
	got, err := f.UseFallback(t.Context(), login.FallbackCode{Attempt: login.NewID(), Account: a.ID, Person: a.Person, Kinds: everyKind, Code: help.Reveal()})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Empty(t, got)
}

// A use whose commit was not confirmed may not be everywhere: who asks again is
// let in only when a commit was.
func TestAUseThatWasNotConfirmedIsCommittedAgain(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	help, _, err := f.NewHelpCode(t.Context(), a, time.Hour)
	require.NoError(t, err)
	use := login.FallbackCode{Attempt: login.NewID(), Account: a.ID, Person: a.Person, Kinds: everyKind, Code: help.Reveal()}
	got, err := f.UseFallback(t.Context(), use)
	require.NoError(t, err)
	require.Equal(t, login.FactorHelp, got)
	f.store.failSave = func(login.Record) error { return os.ErrDeadlineExceeded } // no replica confirms anything
	_, err = f.UseFallback(t.Context(), use)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	f.store.failSave = nil
	got, err = f.UseFallback(t.Context(), use)
	require.NoError(t, err)
	require.Equal(t, login.FactorHelp, got)
}

func TestAWrongCodeWritesNothing(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	require.Empty(t, f.uses(t, a, login.NewID(), "123456"), "an account that has none")
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	saves := f.store.saves.Load()
	wrong := "0" + app.shows(t, 0)[1:]
	if wrong == app.shows(t, 0) {
		wrong = "1" + wrong[1:]
	}
	require.Empty(t, f.uses(t, a, login.NewID(), wrong))
	f.UseFallback(t.Context(), login.FallbackCode{Account: a.ID, Person: a.Person, Kinds: login.AllowHelp, Code: app.shows(t, 0)})
	require.Equal(t, saves, f.store.saves.Load(), "of a kind that does not count")
}

// Nothing of a code or secret is in the file, and removing the account erases
// its codes.
func TestCodesAtRestAndErased(t *testing.T) {
	f := newFixture(t)
	a := f.owns(t)
	app, err := f.NewApp(t.Context(), a)
	require.NoError(t, err)
	recovery, err := f.NewRecoveryCodes(t.Context(), a)
	require.NoError(t, err)
	help, _, err := f.NewHelpCode(t.Context(), a, time.Hour)
	require.NoError(t, err)
	file, err := os.ReadFile(f.path)
	require.NoError(t, err)
	raw, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(app.Secret.Reveal())
	for _, secret := range append([]secret.Secret{app.Secret, secret.Secret(raw), help}, recovery...) {
		for _, form := range []string{secret.Reveal(), strings.ReplaceAll(secret.Reveal(), "-", "")} {
			require.False(t, bytes.Contains(file, []byte(form)), "in %s", filepath.Base(f.path))
		}
	}
	done, err := f.Remove(t.Context(), a.ID)
	require.NoError(t, err)
	require.True(t, done.Codes)
	_, err = f.store.Load(t.Context(), fallbackKey(a.ID))
	require.ErrorIs(t, err, login.ErrNotFound)
}
