package radius_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/phone"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// A rogue has the installation's keys and its store, as one of its nodes that went
// over to somebody else, and writes there what it likes.
type rogue struct {
	t      *testing.T
	engine *login.Engine
	people *enrol.People
}

func newRogue(t *testing.T, a *site.Site, redis *testenv.RedisServer) *rogue {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.OpenRedis(t.Context(), store.RedisOptions{Addresses: []string{redis.Addr}, Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	people, err := enrol.New(s, a.Keys(), enrol.Options{MinVersion: "1.6.8", Platforms: []string{"android"}, MaxDevices: 5})
	require.NoError(t, err)
	return &rogue{t, login.New(login.Options{
		Policy: login.Policy{ValidFor: 2 * time.Minute, Grace: time.Minute, CodeDigits: 6, NumberDigits: 2, WrongCodes: 3},
		Store:  s, Keys: a.Keys(), People: people, Log: log, Patience: site.Patience,
	}), people}
}

// approves writes an approval by that phone into its newest login; done ends the
// wait for what comes of it.
func (r *rogue) approves(p *site.Phone, signed string) (done func()) {
	r.t.Helper()
	d, _, err := r.people.Device(r.t.Context(), p.ID)
	require.NoError(r.t, err)
	id, err := login.ParseID(p.Login().ID)
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.engine.Answer(ctx, id, login.Answering{
			Kind: login.Approve, Person: d.Person, Device: d.ID, Enrolled: d.Enrolled, Presence: "device_key", Signed: signed,
		})
		ended <- err
	}()
	return func() {
		cancel()
		require.NoError(r.t, <-ended)
	}
}

// The node that lets in verifies what the phone signed once more: an approval that
// another node, or whoever writes into the store, made up lets nobody in.
func TestAnApprovalThatNoPhoneSignedLetsNobodyIn(t *testing.T) {
	a, b, redis := pair(t)
	key, err := phone.NewKey()
	require.NoError(t, err)
	mine := a.EnrolKey(user, key, phone.Enrolment{})
	r := newRogue(t, a, redis)
	nas := a.NAS(site.Holds)
	login := asks
	held := func(station string) []byte {
		login.Station = station
		p := nas.Packet(login)
		nas.Send(p)
		return p
	}

	honest := held("203.0.113.31")
	mine.Yes()
	require.EqualValues(t, site.AccessAccept, nas.Answer(honest).Code)
	signed := a.Last().Signed
	require.NotEmpty(t, signed)

	for name, evidence := range map[string]string{"nothing": "", "of another login": signed} {
		p := held("203.0.113.32")
		mine.Login()
		done := r.approves(mine, evidence)
		answer := nas.Answer(p)
		done()
		require.EqualValues(t, site.AccessReject, answer.Code, name)
		last := a.Last()
		require.Equal(t, []string{"rejected", "revoked", mine.ID, evidence}, []string{last.Verdict, last.Reason, last.Device, last.Signed}, name)
		a.Logged(`"alert":"evidence"`)
	}
	require.Len(t, append(a.Accepted(), b.Accepted()...), 1)

	again := held("203.0.113.33")
	mine.Yes()
	require.EqualValues(t, site.AccessAccept, nas.Answer(again).Code, "and the next one goes well")
}

// A node dies when it has revoked a phone, and before it has ended that person's
// logins: what the phone has approved lets nobody in.
func TestAnApprovalOfAPhoneRevokedSinceLetsNobodyIn(t *testing.T) {
	a, _, redis := pair(t)
	mine := a.Phone(1)
	nas := a.NAS(site.Asks)
	asked := nas.Ask(asks)
	done, err := mine.Approve(t.Context(), mine.Login().ID, number(t, asked.Text))
	require.NoError(t, err)
	require.Equal(t, "waiting_for_retry", done.Verdict)
	_, err = newRogue(t, a, redis).people.Revoke(t.Context(), mine.ID)
	require.NoError(t, err)
	require.EqualValues(t, site.AccessReject, nas.Ask(asks.Saying("ok", asked.State)).Code)
	require.Equal(t, "revoked", a.Last().Reason)
	require.Empty(t, a.Accepted())
}
