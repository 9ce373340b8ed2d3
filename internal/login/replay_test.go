package login_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/otp"
)

// A copier is the embedded store, of whose file it takes a copy after each write.
type copier struct {
	login.Store
	path   string
	before []byte   // the file as it was after the write before
	copies [][]byte // as it was after each write since, and torn in the middle of it
	draw   *rand.Rand
}

func (c *copier) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	saved, err := c.Store.Save(ctx, r, cond)
	return saved, c.copied(err)
}

func (c *copier) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (bool, error) {
	first, err := c.Store.UseOnce(ctx, key, expiry, durable)
	return first, c.copied(err)
}

func (c *copier) copied(failed error) error {
	now, err := os.ReadFile(c.path)
	if err != nil || bytes.Equal(now, c.before) {
		return cmp.Or(failed, err)
	}
	for range 2 {
		c.copies = append(c.copies, c.torn(now))
	}
	c.copies = append(c.copies, now)
	c.before = now
	return failed
}

// torn is the file when the power failed in the middle of the write: some of its
// pages are new, one of them in part, and the rest old. Either no page that names
// the new state is among them (the first two; bbolt writes the one of them last,
// when the others are on disk), or all are and that one is new in part.
func (c *copier) torn(now []byte) []byte {
	const page = 4096
	named := c.draw.IntN(2) == 0
	var changed []int
	for at := 0; at < len(now); at += page {
		if at >= len(c.before) || !bytes.Equal(c.before[at:min(at+page, len(c.before))], now[at:at+page]) {
			changed = append(changed, at)
		}
	}
	torn := append(bytes.Clone(c.before), make([]byte, max(0, len(now)-len(c.before)))...)
	cut := c.draw.IntN(len(changed) + 1)
	for i, at := range changed {
		size := page
		switch meta := at < 2*page; {
		case named && meta, !named && !meta && i == cut:
			size = c.draw.IntN(64) + 1
		case !named && meta, !named && i > cut:
			size = 0
		}
		copy(torn[at:at+size], now[at:at+size])
	}
	return torn
}

// An office is what there is to be kept, and what was promised of it.
type office struct {
	*desk
	*copier
	promises []func(t require.TestingT, people *enrol.People, engine *login.Engine)
	recovery []string
	phones   []string
	app      func(int) string
	said     map[string]bool
}

// A copy of the embedded store's file taken at any write, or torn in the middle of
// it, is what a crash leaves: it opens, and what was promised before holds. No code
// is good a second time, accounts and devices are there, revoked ones are not.
//
// VSSGATE_REPLAY_SEED repeats a run.
func TestACopyOfTheStoreAtAnyWriteKeepsWhatWasPromised(t *testing.T) {
	seed := rand.Uint64()
	if again := os.Getenv("VSSGATE_REPLAY_SEED"); again != "" {
		_, err := fmt.Sscan(again, &seed)
		require.NoError(t, err)
	}
	t.Logf("VSSGATE_REPLAY_SEED=%d", seed)
	withCodes(t, func(d *desk) {
		file, err := os.ReadFile(d.path)
		require.NoError(d, err)
		c := &copier{Store: d.store, path: d.path, before: file, draw: rand.New(rand.NewPCG(seed, 0))}
		d.Engine.Store = c
		d.people, err = enrol.New(c, d.Keys, replayOptions)
		require.NoError(d, err)
		d.Engine.Fallbacks = d.people
		o := &office{desk: d, copier: c, said: map[string]bool{}}
		o.recovery, o.app = d.recovery(), d.app()
		o.look()
		copies := 0
		things := []func(){o.useRecovery, o.useApp, o.enrols, o.revokes, o.usesCode}
		for range 3 {
			o.draw.Shuffle(len(things), func(i, j int) { things[i], things[j] = things[j], things[i] })
			for _, happens := range things {
				happens()
				copies += o.look()
			}
		}
		d.Logf("%d copies, %d promises: %v", copies, len(o.promises), o.said)
		require.Greater(d, copies, 30)
	})
}

var replayOptions = enrol.Options{MinVersion: "1", Platforms: enrol.Platforms, MaxDevices: 50, PublicURL: "https://otp.example.vn"}

// look opens each copy that was taken since. The last is of now: what has just
// been promised holds there too, and in those before what was promised earlier.
func (o *office) look() int {
	synctest.Wait()
	n := len(o.copies)
	for i, file := range o.copies {
		promises := o.promises
		if i < n-1 && len(promises) > 0 {
			promises = promises[:len(promises)-1]
		}
		o.hold(file, promises)
	}
	o.copies = nil
	return n
}

func (o *office) hold(file []byte, promises []func(require.TestingT, *enrol.People, *login.Engine)) {
	path := filepath.Join(o.TempDir(), "crashed.db")
	require.NoError(o, os.WriteFile(path, file, 0o600))
	s, err := store.OpenEmbedded(path, slog.New(slog.DiscardHandler))
	require.NoError(o, err)
	defer s.Close()
	people, err := enrol.New(s, o.Keys, replayOptions)
	require.NoError(o, err)
	options := o.Engine.Options
	options.Store, options.Fallbacks = s, people
	engine := login.New(options)
	for _, holds := range promises {
		holds(o, people, engine)
	}
}

// promise notes what must hold from now on.
func (o *office) promise(what string, holds func(require.TestingT, *enrol.People, *login.Engine)) {
	o.said[what] = true
	o.promises = append(o.promises, holds)
}

// isUsed: a code of the account's own that has let somebody in lets nobody else in.
func (o *office) isUsed(code string) {
	if parsed, ok := otp.ParseRecoveryCode(code); ok {
		code = parsed
	}
	o.promise("a used code", func(t require.TestingT, people *enrol.People, _ *login.Engine) {
		f, err := people.UseFallback(o.Context(), login.FallbackCode{Attempt: login.NewID(), Account: ident, Person: o.account.Person, Kinds: allOfThem, Code: code})
		require.NoError(t, err)
		require.Empty(t, f, "a used code came back")
	})
}

func (o *office) useRecovery() {
	code := o.recovery[0]
	if len(o.recovery) > 1 {
		o.recovery = o.recovery[1:]
	}
	reply := o.ask(client(login.Append, login.ApprovalSimple), nas(code), saying(password+","+code)).got()
	if reply.Kind == login.Accept {
		o.isUsed(code)
	}
}

func (o *office) useApp() {
	time.Sleep(30 * time.Second)
	code := o.app(0)
	o.ask(client(login.Append, login.ApprovalSimple), nas(code), saying(password+","+code)).is(login.Accept, login.Accepted)
	o.isUsed(code)
}

func (o *office) enrols() {
	act, err := o.people.AddActivation(o.Context(), ident)
	require.NoError(o, err)
	sum := sha256.Sum256([]byte(strconv.Itoa(len(o.phones))))
	d, _, err := o.people.Enrol(o.Context(), enrol.Enrolment{
		Code: act.Code, Device: base64.RawURLEncoding.EncodeToString(sum[:]), Key: make([]byte, 65), Name: "phone", Platform: "android", AppVersion: "1.6.8",
	})
	require.NoError(o, err)
	o.phones = append(o.phones, d.ID)
	o.promise("a device", func(t require.TestingT, people *enrol.People, _ *login.Engine) {
		kept, _, err := people.Device(o.Context(), d.ID)
		require.NoError(t, err)
		require.Equal(t, o.account.Person, kept.Person)
		account, err := people.Lookup(o.Context(), ident)
		require.NoError(t, err)
		require.Equal(t, o.account.Person, account.Person)
	})
}

func (o *office) revokes() {
	if len(o.phones) == 0 {
		o.enrols()
		o.look()
	}
	id := o.phones[o.draw.IntN(len(o.phones))]
	_, err := o.people.Revoke(o.Context(), id)
	require.NoError(o, err)
	o.promise("a revoked device", func(t require.TestingT, people *enrol.People, _ *login.Engine) {
		kept, _, err := people.Device(o.Context(), id)
		require.NoError(t, err)
		require.NotNil(t, kept.Revoked, "a revoked device came back")
	})
}

// usesCode: a login that was let in by its code, or stands open, is void after a
// crash.
func (o *office) usesCode() {
	vpn := client(login.Challenge, login.ApprovalNumber)
	at := nas(strconv.Itoa(len(o.promises)))
	asked := o.ask(vpn, at).is(login.Ask, "")
	list, err := o.Logins(o.Context(), o.account.Person)
	require.NoError(o, err)
	code := list.Open[0].Code
	o.ask(vpn, at, withState(asked.State), saying(code)).is(login.Accept, login.Accepted)
	o.promise("a code that let in", func(t require.TestingT, _ *enrol.People, engine *login.Engine) {
		for _, typed := range []string{code, "ok"} {
			reply := make(chan login.Reply, 1)
			r := &login.Request{FrontEnd: login.RADIUS, Client: vpn, State: asked.State, Password: []byte(typed), Username: "an", First: o.world, Station: "203.0.113.7", Reply: func(r login.Reply) { reply <- r }}
			at(r)
			engine.Handle(r)
			require.Equal(t, login.BadAnswer, (<-reply).Kind, "a login of before the crash")
		}
	})
}
