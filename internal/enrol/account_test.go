package enrol

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/otp"
)

func TestWhatStandsInAnAccountsWay(t *testing.T) {
	type world struct {
		*fixture
		t *testing.T
	}
	set := func(w world, bhxh, personal string) {
		_, err := w.SetNumbers(w.t.Context(), ann(""), bhxh, personal)
		require.NoError(w.t, err)
	}
	cases := []struct {
		name   string
		before func(world)
		number string
		want   login.Reason
	}{
		{"no number in the directory", nil, "", login.NoNumber},
		{"a number of blanks is none", nil, "  ", login.NoNumber},
		{"nine digits are no number", nil, "123456789", login.BadNumber},
		{"letters are no number", nil, "79123456AB", login.BadNumber},
		{"digits of another script are no number", nil, "٧٩١٢٣", login.BadNumber},
		{"a number but no device", nil, annNumber, login.NoDevice},
		{"a device", func(w world) { w.enrolled(t, ann(annNumber), nil) }, annNumber, ""},
		{"blanks around the number do not count", func(w world) { w.enrolled(t, ann(annNumber), nil) }, " " + annNumber + "\n", ""},
		{"another number later in the directory", func(w world) { w.enrolled(t, ann(annNumber), nil) }, binhNumber, login.NumberChanged},
		{"another person's known number later in the directory", func(w world) {
			w.enrolled(t, ann(annNumber), nil)
			w.enrolled(t, binh(binhNumber), nil)
		}, binhNumber, login.NumberChanged},
		{"nonsense later in the directory", func(w world) { w.enrolled(t, ann(annNumber), nil) }, "?", login.NumberChanged},
		{"the number gone from the directory", func(w world) { w.enrolled(t, ann(annNumber), nil) }, "", login.NoNumber},
		{"back to the pinned number", func(w world) {
			w.enrolled(t, ann(annNumber), nil)
			_, problem, err := w.Mention(t.Context(), ann(binhNumber))
			require.NoError(t, err)
			require.Equal(t, login.NumberChanged, problem)
		}, annNumber, ""},
		{"the same person's other number later in the directory", func(w world) {
			_, err := w.SetNumbers(t.Context(), binh(""), annNumber, annPersonal) // makes both one person's
			require.NoError(t, err)
			w.enrolled(t, ann(annNumber), nil)
		}, annPersonal, ""},
		{"a number set here, none in the directory", func(w world) { set(w, annNumber, ""); w.enrolled(t, ann(""), nil) }, "", ""},
		{"a number set here wins over the directory's", func(w world) { set(w, annNumber, ""); w.enrolled(t, ann(""), nil) }, binhNumber, ""},
		{"a number set here wins over nonsense", func(w world) { set(w, annNumber, ""); w.enrolled(t, ann(""), nil) }, "?", ""},
		{"a changed number that was confirmed here", func(w world) {
			w.enrolled(t, ann(annNumber), nil)
			set(w, binhNumber, "")
		}, binhNumber, login.NoDevice},
		{"the device was revoked", func(w world) {
			d := w.enrolled(t, ann(annNumber), nil)
			_, err := w.Revoke(t.Context(), d.ID)
			require.NoError(t, err)
		}, annNumber, login.NoDevice},
		{"only an old app", func(w world) {
			w.enrolled(t, ann(annNumber), func(e *Enrolment) { e.AppVersion = "1.6.7" })
		}, annNumber, login.OldApp},
		{"an app of unreadable version", func(w world) {
			w.enrolled(t, ann(annNumber), func(e *Enrolment) { e.AppVersion = "1.7-beta" })
		}, annNumber, login.OldApp},
		{"an old app beside a new one", func(w world) {
			w.enrolled(t, ann(annNumber), func(e *Enrolment) { e.AppVersion = "1.6.7" })
			w.enrolled(t, ann(annNumber), nil)
		}, annNumber, ""},
		{"a platform that is no longer allowed", func(w world) {
			w.enrolled(t, ann(annNumber), nil)
			o := testOptions
			o.Platforms = []string{"ios"}
			require.NoError(t, w.Configure(o))
		}, annNumber, login.OldApp},
		{"the phone of another account of the same person", func(w world) { w.enrolled(t, binh(annNumber), nil) }, annNumber, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if c.before != nil {
				c.before(world{f, t})
			}
			got, err := f.Account(t.Context(), ann(c.number))
			require.NoError(t, err)
			require.Equal(t, c.want, got.Problem)
			nobody := c.want != "" && c.want != login.NoDevice && c.want != login.OldApp
			require.Equal(t, nobody, got.Person == "", "a person when nothing but a phone is in the way")
			require.Equal(t, c.want == login.NumberChanged || c.name == "the number gone from the directory", got.Former != "",
				"open logins of the person before are to end")
		})
	}
}

func TestWhatDevicesMakePossible(t *testing.T) {
	usable := Device{AppVersion: "1.6.8", Platform: "ios", SignedIn: true, PushToken: "t", Can: []string{CanCode}}
	with := func(change func(*Device)) Device {
		d := usable
		change(&d)
		return d
	}
	noToken := with(func(d *Device) { d.PushToken = "" })
	denied := with(func(d *Device) { d.Notifications = Denied })
	signedOut := with(func(d *Device) { d.SignedIn = false })
	old := with(func(d *Device) { d.AppVersion = "1.6" })
	number := with(func(d *Device) { d.Can = []string{CanNumber} })
	simple := with(func(d *Device) { d.Can = []string{CanApprove} })
	cases := []struct {
		name    string
		devices []Device
		want    login.Account
	}{
		{"no device", nil, login.Account{Person: "p", Problem: login.NoDevice, Notify: login.PushMissing}},
		{"an old one alone", []Device{old}, login.Account{Person: "p", Problem: login.OldApp, Notify: login.PushMissing}},
		{"one that can be told", []Device{usable}, login.Account{Person: "p", Notify: login.PushReady}},
		{"one of two can be told", []Device{noToken, usable}, login.Account{Person: "p", Notify: login.PushReady}},
		{"one of two lets VssID notify", []Device{denied, usable}, login.Account{Person: "p", Notify: login.PushReady}},
		{"none has a push token", []Device{noToken}, login.Account{Person: "p", Notify: login.PushMissing}},
		{"all deny notifications", []Device{denied, denied}, login.Account{Person: "p", Notify: login.PushNotAllowed}},
		{"one denies, one has no token", []Device{denied, noToken}, login.Account{Person: "p", Notify: login.PushMissing}},
		{"signed out gets no prompt", []Device{signedOut}, login.Account{Person: "p", Notify: login.PushMissing}},
		{"an old one's token does not count", []Device{old, noToken}, login.Account{Person: "p", Notify: login.PushMissing}},
		{"one can type a number", []Device{usable, number}, login.Account{Person: "p", CanNumber: true}},
		{"one can approve", []Device{usable, simple}, login.Account{Person: "p", CanSimple: true}},
		{"what an old one can does not count", []Device{usable, with(func(d *Device) { d.AppVersion, d.Can = "1", []string{CanNumber} })}, login.Account{Person: "p"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, testOptions.judge("p", c.devices))
		})
	}
}

func TestAnAccountSeenBeforeIsTwoReadsAndNoWrite(t *testing.T) {
	f := newFixture(t)
	f.enrolled(t, ann(annNumber), nil)
	loads, finds, saves := f.store.loads.Load(), f.store.finds.Load(), f.store.saves.Load()
	got, err := f.Account(t.Context(), ann(annNumber))
	require.NoError(t, err)
	require.Empty(t, got.Problem)
	require.Equal(t, int64(1), f.store.loads.Load()-loads)
	require.Equal(t, int64(1), f.store.finds.Load()-finds)
	require.Zero(t, f.store.saves.Load()-saves)
}

func TestARefusedAccountIsWrittenOnce(t *testing.T) {
	f := newFixture(t)
	for _, number := range []string{"", "?"} {
		_, err := f.Account(t.Context(), ann(number))
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), f.store.saves.Load())
}

func TestManyAskingAtOnceMakeOnePerson(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	persons := make([]string, 32)
	for i := range persons {
		wg.Go(func() {
			id := []login.Identity{ann(annNumber), binh(annNumber)}[i%2]
			a, _, err := f.Mention(t.Context(), id)
			if err == nil {
				persons[i] = a.Person
			}
		})
	}
	wg.Wait()
	for _, person := range persons {
		require.NotEmpty(t, person)
		require.Equal(t, persons[0], person)
	}
}

func TestSettingNumbers(t *testing.T) {
	t.Run("either number finds the person", func(t *testing.T) {
		f := newFixture(t)
		a, err := f.SetNumbers(t.Context(), ann(""), annNumber, annPersonal)
		require.NoError(t, err)
		for _, number := range []string{annNumber, annPersonal} {
			b, _, err := f.Mention(t.Context(), login.Identity{ID: "uuid-" + number, Number: number})
			require.NoError(t, err)
			require.Equal(t, a.Person, b.Person)
		}
	})
	t.Run("two numbers of different persons are refused", func(t *testing.T) {
		f := newFixture(t)
		for _, id := range []login.Identity{ann(annNumber), binh(annPersonal)} {
			_, _, err := f.Mention(t.Context(), id)
			require.NoError(t, err)
		}
		_, err := f.SetNumbers(t.Context(), ann(""), annNumber, annPersonal)
		require.ErrorIs(t, err, ErrTwoPersons)
	})
	t.Run("a number of the wrong length is refused", func(t *testing.T) {
		f := newFixture(t)
		for _, pair := range [][2]string{{"", ""}, {annPersonal, ""}, {"", annNumber}, {"79123", ""}, {"79123456x8", ""}} {
			_, err := f.SetNumbers(t.Context(), ann(""), pair[0], pair[1])
			require.ErrorIs(t, err, ErrNumber)
		}
	})
	t.Run("a number that was set by mistake is given back to its owner", func(t *testing.T) {
		f := newFixture(t)
		wrong := "099999999999"
		a, err := f.SetNumbers(t.Context(), ann(""), annNumber, wrong)
		require.NoError(t, err)
		owner, _, err := f.Mention(t.Context(), binh(wrong))
		require.NoError(t, err)
		require.Equal(t, a.Person, owner.Person, "the mistake")

		a, err = f.SetNumbers(t.Context(), ann(""), annNumber, annPersonal)
		require.NoError(t, err)
		owner, problem, err := f.Mention(t.Context(), binh(wrong))
		require.NoError(t, err)
		require.Empty(t, problem)
		require.NotEqual(t, a.Person, owner.Person)
	})
	t.Run("the first number stays when the second is not said", func(t *testing.T) {
		f := newFixture(t)
		a, err := f.SetNumbers(t.Context(), ann(""), annNumber, annPersonal)
		require.NoError(t, err)
		b, err := f.SetNumbers(t.Context(), ann(""), "", annPersonal)
		require.NoError(t, err)
		require.Equal(t, a.Person, b.Person)
		c, _, err := f.Mention(t.Context(), binh(annNumber))
		require.NoError(t, err)
		require.Equal(t, a.Person, c.Person)
	})
}

func TestAccountsAreListedByUserName(t *testing.T) {
	f := newFixture(t)
	for _, id := range []login.Identity{binh(binhNumber), ann("")} {
		_, _, err := f.Mention(t.Context(), id)
		require.NoError(t, err)
	}
	all, err := f.Accounts(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "an.nv", all[0].Username)
	require.Equal(t, "******4321", Mask(all[1].BHXH))
	require.Equal(t, "", Mask(all[0].BHXH))

	_, err = f.Lookup(t.Context(), "nobody")
	require.ErrorIs(t, err, ErrNotFound)
}

func TestANameChangedInTheDirectoryIsTakenOver(t *testing.T) {
	f := newFixture(t)
	f.enrolled(t, ann(annNumber), nil)
	renamed := ann(annNumber)
	renamed.Username = "an.nv2"
	_, err := f.Account(t.Context(), renamed)
	require.NoError(t, err)
	a, err := f.Lookup(t.Context(), renamed.ID)
	require.NoError(t, err)
	require.Equal(t, "an.nv2", a.Username)
}

func TestTheStoreShowsNoNumberCodeOrToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s, err := store.OpenEmbedded(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	p, err := New(s, keys, testOptions)
	require.NoError(t, err)
	f := &fixture{People: p}
	_, err = f.SetNumbers(t.Context(), ann(""), annNumber, annPersonal)
	require.NoError(t, err)
	act := f.activation(t, ann(""))
	_, _, err = f.Enrol(t.Context(), phone(act.Code))
	require.NoError(t, err)
	f.enrolled(t, binh(binhNumber), nil)
	require.NoError(t, s.Close())

	short := act.Typed.Reveal()[len("an.nv:"):]
	hidden := []string{annNumber, annPersonal, binhNumber, act.Code.Reveal(), strings.ReplaceAll(short, "-", ""), "push-token-of-", "an.nv", "Bình"}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(dir, file.Name()))
		require.NoError(t, err)
		for _, s := range hidden {
			require.False(t, bytes.Contains(raw, []byte(s)), "%s holds %q in clear", file.Name(), s)
		}
	}
}

func TestARecordMovedToAnotherKeyIsNotOpened(t *testing.T) {
	f := newFixture(t)
	mine := f.enrolled(t, ann(annNumber), nil)
	other := f.enrolled(t, binh(binhNumber), nil)
	rec, err := f.store.Load(t.Context(), deviceKey(mine.ID))
	require.NoError(t, err)
	victim, err := f.store.Load(t.Context(), deviceKey(other.ID))
	require.NoError(t, err)
	victim.Value, victim.Durable = rec.Value, true
	_, err = f.store.Save(t.Context(), victim, login.Condition{})
	require.NoError(t, err)
	_, _, err = f.Device(t.Context(), other.ID)
	require.ErrorIs(t, err, otp.ErrSealed)
}

func TestNumbersUnderAnOlderKeyAreFound(t *testing.T) {
	f := newFixture(t)
	oldLine, newLine := otp.NewKeyLine(), otp.NewKeyLine()
	with := func(file string) *People {
		keys, err := otp.ParseKeys([]byte(file))
		require.NoError(t, err)
		p, err := New(f.store, keys, testOptions)
		require.NoError(t, err)
		return p
	}
	a, _, err := with(oldLine).Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	b, _, err := with(newLine+oldLine).Mention(t.Context(), binh(annNumber))
	require.NoError(t, err)
	require.Equal(t, a.Person, b.Person)
}

func TestVersions(t *testing.T) {
	cases := []struct {
		version, least string
		old            bool
	}{
		{"1.6.8", "1.6.8", false}, {"1.6.7", "1.6.8", true}, {"1.6.10", "1.6.8", false}, {"1.6", "1.6.8", true},
		{"1.7", "1.6.8", false}, {"2", "1.6.8", false}, {"1.6.8.1", "1.6.8", false}, {"1.6.8", "1.6.8.0", false},
		{"", "1.6.8", true}, {"1..8", "1.6.8", true}, {"v2.0", "1.6.8", true}, {"2.0-beta", "1.6.8", true},
		{"+2", "1.6.8", true}, {"-2", "1.6.8", true}, {" 2", "1.6.8", true}, {"99999999999999999999", "1.6.8", true},
	}
	for _, c := range cases {
		require.Equal(t, c.old, older(c.version, c.least), "%q against %q", c.version, c.least)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.MinVersion = "new" },
		func(o *Options) { o.Platforms = []string{"windows"} },
		func(o *Options) { o.MaxDevices = 0 },
	} {
		o := testOptions
		change(&o)
		_, err := New(nil, nil, o)
		require.Error(t, err)
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add(annNumber)
	f.Add(" " + annPersonal)
	f.Add("٠١٢٣٤٥٦٧٨٩")
	f.Fuzz(func(t *testing.T, s string) {
		number, err := ParseNumber(s)
		if err != nil {
			require.NotContains(t, err.Error(), "%")
			return
		}
		again, err := ParseNumber(number.Reveal())
		require.NoError(t, err)
		require.Equal(t, number, again)
		require.Equal(t, len(number), len(Mask(number)))
		require.NotContains(t, Mask(number), number.Reveal()[:len(number)-4])
	})
}

func FuzzVersions(f *testing.F) {
	f.Add("1.6.8", "1.6.10")
	f.Fuzz(func(t *testing.T, a, b string) {
		_, readA := parseVersion(a)
		_, readB := parseVersion(b)
		if readA && readB {
			require.False(t, older(a, b) && older(b, a))
			require.False(t, older(a, a))
			return
		}
		if !readA {
			require.True(t, older(a, b))
		}
	})
}

func FuzzActivationCodes(f *testing.F) {
	f.Add("ABCDEFGHIJKLMNOPQRSTUVWXYA")
	f.Add("an.nv:ABCD-EFGH")
	f.Fuzz(func(t *testing.T, s string) {
		user, code, ok := splitCode(s)
		if !ok {
			return
		}
		again := code
		if len(code) == shortLetters {
			again = user + ":" + code
		}
		user2, code2, ok := splitCode(again)
		require.True(t, ok)
		require.Equal(t, []string{user, code}, []string{user2, code2})
	})
}
