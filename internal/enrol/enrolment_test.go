package enrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

func TestAnActivationCode(t *testing.T) {
	t.Run("lets a phone in", func(t *testing.T) {
		f := newFixture(t)
		act := f.activation(t, ann(annNumber))
		e := phone(act.Code)
		d, a, err := f.Enrol(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, e.Device, d.ID)
		require.Equal(t, "an.nv", a.Username)
		require.Equal(t, "https://otp.example.vn/activate#"+act.Code.Reveal(), act.URL.Reveal())
		require.True(t, d.Enrolled.Before(act.Expires))
		all, err := f.DevicesOf(t.Context(), a.ID)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, d, all[0])
	})
	t.Run("gives the same key the same answer again", func(t *testing.T) {
		f := newFixture(t)
		e := phone(f.activation(t, ann(annNumber)).Code)
		first, _, err := f.Enrol(t.Context(), e)
		require.NoError(t, err)
		e.Name = "another name"
		again, _, err := f.Enrol(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, first, again)
	})
	t.Run("is refused to another key", func(t *testing.T) {
		f := newFixture(t)
		code := f.activation(t, ann(annNumber)).Code
		_, _, err := f.Enrol(t.Context(), phone(code))
		require.NoError(t, err)
		_, _, err = f.Enrol(t.Context(), phone(code))
		require.ErrorIs(t, err, ErrActivation)
	})
	t.Run("is refused when unknown or no code at all", func(t *testing.T) {
		f := newFixture(t)
		f.activation(t, ann(annNumber))
		for _, code := range []secret.Secret{"", "x", ":", "an.nv:", secret.Secret(random(codeBytes)), "AAAAAAAAAAAAAAAAAAAAAAAAAA", secret.Secret(strings.Repeat("A", 300))} {
			_, _, err := f.Enrol(t.Context(), phone(code))
			require.ErrorIs(t, err, ErrActivation)
		}
	})
	t.Run("may be typed in small letters, with blanks and hyphens", func(t *testing.T) {
		f := newFixture(t)
		code := f.activation(t, ann(annNumber)).Code.Reveal()
		sloppy := strings.ToLower(code[:4]) + "-" + code[4:9] + " " + code[9:]
		_, _, err := f.Enrol(t.Context(), phone(secret.Secret(sloppy)))
		require.NoError(t, err)
	})
	t.Run("works in its short form with the user name, once", func(t *testing.T) {
		f := newFixture(t)
		act := f.activation(t, ann(annNumber))
		e := phone(secret.Secret("AN.NV" + strings.ToLower(act.Typed.Reveal()[len("an.nv"):])))
		_, _, err := f.Enrol(t.Context(), e)
		require.NoError(t, err)
		_, _, err = f.Enrol(t.Context(), e)
		require.NoError(t, err, "the same key again")
		_, _, err = f.Enrol(t.Context(), phone(act.Code))
		require.ErrorIs(t, err, ErrActivation, "it is the same activation")
	})
	t.Run("does not work in its short form with another user name", func(t *testing.T) {
		f := newFixture(t)
		act := f.activation(t, ann(annNumber))
		_, _, err := f.Enrol(t.Context(), phone(secret.Secret("binh.tt"+act.Typed.Reveal()[len("an.nv"):])))
		require.ErrorIs(t, err, ErrActivation)
	})
	t.Run("cannot be guessed in its short form", func(t *testing.T) {
		f := newFixture(t)
		act := f.activation(t, ann(annNumber))
		for range shortTries {
			_, _, err := f.Enrol(t.Context(), phone(secret.Secret("an.nv:"+random(shortBytes))))
			require.ErrorIs(t, err, ErrActivation)
		}
		_, _, err := f.Enrol(t.Context(), phone(act.Typed))
		require.ErrorIs(t, err, ErrTries)
		_, _, err = f.Enrol(t.Context(), phone(act.Code))
		require.NoError(t, err, "the long code still works")
	})
	t.Run("is not made for an account without a number", func(t *testing.T) {
		f := newFixture(t)
		_, _, err := f.Mention(t.Context(), ann(""))
		require.NoError(t, err)
		_, err = f.AddActivation(t.Context(), ann("").ID)
		require.ErrorIs(t, err, ErrNoNumber)
		_, err = f.AddActivation(t.Context(), "nobody")
		require.ErrorIs(t, err, ErrNotFound)
	})
	t.Run("is void when the account became another person's", func(t *testing.T) {
		f := newFixture(t)
		code := f.activation(t, ann(annNumber)).Code
		_, err := f.SetNumbers(t.Context(), ann(""), binhNumber, "")
		require.NoError(t, err)
		_, _, err = f.Enrol(t.Context(), phone(code))
		require.ErrorIs(t, err, ErrActivation)
	})
	t.Run("prints itself nowhere but where asked", func(t *testing.T) {
		f := newFixture(t)
		act := f.activation(t, ann(annNumber))
		raw, err := json.Marshal(act)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", act, act, act, raw), act.Code.Reveal())
		printed, err := json.Marshal(act.Print())
		require.NoError(t, err)
		require.Contains(t, string(printed), `"activation_code":"`+act.Code.Reveal())
		qr, err := act.QR()
		require.NoError(t, err)
		require.Contains(t, qr, "█")
	})
}

func TestAnActivationCodeExpires(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		used  bool // by the same key, in time
		want  error
	}{
		{"a moment before its end it works", ActivationFor - time.Millisecond, false, nil},
		{"at its end it does not", ActivationFor, false, ErrActivation},
		{"the key that used it hears the same for a while", ActivationFor + time.Minute, true, nil},
		{"much later nobody does", 10 * ActivationFor, true, ErrActivation},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				e := phone(f.activation(t, ann(annNumber)).Code)
				if c.used {
					_, _, err := f.Enrol(t.Context(), e)
					require.NoError(t, err)
				}
				time.Sleep(c.after) // the bubble's clock, not ours
				_, _, err := f.Enrol(t.Context(), e)
				require.ErrorIs(t, err, c.want)
			})
		})
	}
}

func TestOfTwoPhonesRacingForOneCodeOneWins(t *testing.T) {
	for range 5 {
		f := newFixture(t)
		code := f.activation(t, ann(annNumber)).Code
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			e := phone(code)
			wg.Go(func() { _, _, errs[i] = f.Enrol(t.Context(), e) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				require.ErrorIs(t, err, ErrActivation)
			}
		}
		require.Equal(t, 1, won)
		devices, err := f.DevicesOf(t.Context(), ann("").ID)
		require.NoError(t, err)
		require.Len(t, devices, 1)
	}
}

func TestTheSamePhoneAskingTwiceAtOnceGetsOneAnswer(t *testing.T) {
	f := newFixture(t)
	e := phone(f.activation(t, ann(annNumber)).Code)
	devices, errs := make([]Device, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { devices[i], _, errs[i] = f.Enrol(t.Context(), e) })
	}
	wg.Wait()
	for i := range errs {
		require.NoError(t, errs[i])
		require.True(t, devices[0].Enrolled.Equal(devices[i].Enrolled))
	}
}

func TestAPhoneWhoseEnrolmentBrokeOffGoesOn(t *testing.T) {
	f := newFixture(t)
	e := phone(f.activation(t, ann(annNumber)).Code)
	down := errors.New("store down")
	f.store.failSave = func(r login.Record) error {
		if strings.HasPrefix(r.Key, "device:") {
			return down
		}
		return nil
	}
	_, _, err := f.Enrol(t.Context(), e)
	require.ErrorIs(t, err, down)
	f.store.failSave = nil
	_, _, err = f.Enrol(t.Context(), phone(e.Code))
	require.ErrorIs(t, err, ErrActivation, "the code is taken")
	_, _, err = f.Enrol(t.Context(), e)
	require.NoError(t, err)
}

func TestDevicesOfAPersonAreBounded(t *testing.T) {
	f := newFixture(t)
	var first Device
	for range testOptions.MaxDevices {
		first = f.enrolled(t, ann(annNumber), nil)
	}
	e := phone(f.activation(t, ann(annNumber)).Code)
	_, _, err := f.Enrol(t.Context(), e)
	require.ErrorIs(t, err, ErrFull)
	_, err = f.Revoke(t.Context(), first.ID)
	require.NoError(t, err)
	_, _, err = f.Enrol(t.Context(), e)
	require.NoError(t, err, "the same phone, after another was revoked")
}

func TestAKeyIsEnrolledOnce(t *testing.T) {
	f := newFixture(t)
	e := phone(f.activation(t, ann(annNumber)).Code)
	d, _, err := f.Enrol(t.Context(), e)
	require.NoError(t, err)
	again := e
	again.Code = f.activation(t, binh(binhNumber)).Code
	_, _, err = f.Enrol(t.Context(), again)
	require.ErrorIs(t, err, ErrKeyInUse)
	_, err = f.Revoke(t.Context(), d.ID)
	require.NoError(t, err)
	for _, code := range []secret.Secret{e.Code, again.Code} {
		again.Code = code
		_, _, err = f.Enrol(t.Context(), again)
		require.ErrorIs(t, err, ErrRevoked, "for good")
	}
}

func TestAPlatformThatIsNotAllowedIsRefused(t *testing.T) {
	f := newFixture(t)
	e := phone(f.activation(t, ann(annNumber)).Code)
	e.Platform = "web"
	_, _, err := f.Enrol(t.Context(), e)
	require.ErrorIs(t, err, ErrPlatform)
}

func TestARevokedDevice(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled(t, ann(annNumber), nil)
	gone, err := f.Revoke(t.Context(), d.ID)
	require.NoError(t, err)
	require.NotNil(t, gone.Revoked)

	seen, now, err := f.Device(t.Context(), d.ID)
	require.NoError(t, err)
	require.False(t, seen.Revoked.After(now))
	require.Empty(t, seen.PushToken)
	targets, err := f.Targets(t.Context(), d.Person)
	require.NoError(t, err)
	require.Empty(t, targets)
	_, err = f.Update(t.Context(), d.ID, Change{SignedIn: new(bool)})
	require.ErrorIs(t, err, ErrRevoked)

	saves := f.store.saves.Load()
	again, err := f.Revoke(t.Context(), d.ID)
	require.NoError(t, err)
	require.True(t, gone.Revoked.Equal(*again.Revoked))
	require.Equal(t, saves, f.store.saves.Load(), "nothing to write")
	_, err = f.Revoke(t.Context(), "no such device")
	require.ErrorIs(t, err, ErrNotFound)
}

// A failover may lose what was acknowledged: what this node has revoked, or has
// seen revoked, stays so, and the store is told again.
func TestAStoreThatLostARevocationIsToldAgain(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled(t, ann(annNumber), nil)
	before, err := f.store.Load(t.Context(), deviceKey(d.ID))
	require.NoError(t, err)
	lose := func() {
		now, err := f.store.Load(t.Context(), deviceKey(d.ID))
		require.NoError(t, err)
		lost := before
		lost.Version = now.Version
		_, err = f.store.Save(t.Context(), lost, login.Condition{})
		require.NoError(t, err)
	}
	_, err = f.Revoke(t.Context(), d.ID)
	require.NoError(t, err)
	lose()
	again, _, err := f.Device(t.Context(), d.ID)
	require.NoError(t, err)
	require.NotNil(t, again.Revoked)
	require.Empty(t, again.PushToken)
	raw, err := f.store.Load(t.Context(), deviceKey(d.ID))
	require.NoError(t, err)
	require.Empty(t, raw.Indexes, "in the store too")

	lose()
	targets, err := f.Targets(t.Context(), d.Person)
	require.NoError(t, err)
	require.Empty(t, targets)
	_, err = f.Update(t.Context(), d.ID, Change{})
	require.ErrorIs(t, err, ErrRevoked)

	lose()
	f.store.failSave = func(login.Record) error { return errors.New("store is away") }
	_, err = f.Devices(t.Context(), d.Person)
	require.Error(t, err, "rather nobody than a device that was revoked")
}

func TestPromptsGoToDevicesThatCanBeTold(t *testing.T) {
	f := newFixture(t)
	told := f.enrolled(t, ann(annNumber), nil)
	f.enrolled(t, ann(annNumber), func(e *Enrolment) { e.Notifications = Denied })
	f.enrolled(t, ann(annNumber), func(e *Enrolment) { e.AppVersion = "1.0" })
	f.enrolled(t, binh(binhNumber), nil)

	targets, err := f.Targets(t.Context(), told.Person)
	require.NoError(t, err)
	require.Equal(t, []Target{{Device: told.ID, Platform: "android", Token: told.PushToken.Reveal(), Since: told.Enrolled}}, targets)

	out := false
	_, err = f.Update(t.Context(), told.ID, Change{SignedIn: &out})
	require.NoError(t, err)
	targets, err = f.Targets(t.Context(), told.Person)
	require.NoError(t, err)
	require.Empty(t, targets, "signed out")

	in := true
	_, err = f.Update(t.Context(), told.ID, Change{SignedIn: &in})
	require.NoError(t, err)
	require.NoError(t, f.ForgetToken(t.Context(), told.ID, "the one before"))
	targets, err = f.Targets(t.Context(), told.Person)
	require.NoError(t, err)
	require.Len(t, targets, 1, "the device has brought another since")
	require.NoError(t, f.ForgetToken(t.Context(), told.ID, told.PushToken.Reveal()))
	targets, err = f.Targets(t.Context(), told.Person)
	require.NoError(t, err)
	require.Empty(t, targets, "token forgotten")

	saves := f.store.saves.Load()
	require.NoError(t, f.ForgetToken(t.Context(), told.ID, told.PushToken.Reveal()))
	require.NoError(t, f.ForgetToken(t.Context(), "gone", "x"))
	require.Equal(t, saves, f.store.saves.Load(), "nothing to write")
}

func TestADeviceIsChangedOnlyWhereItSaysSo(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled(t, ann(annNumber), nil)
	version := "1.7.0"
	changed, err := f.Update(t.Context(), d.ID, Change{AppVersion: &version})
	require.NoError(t, err)
	d.AppVersion = version
	require.Equal(t, d, changed)
}
