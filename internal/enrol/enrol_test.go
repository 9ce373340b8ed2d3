package enrol

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/store"
	"vssgate/otp"
)

// counting is a store that counts what it is asked, and fails when told to.
type counting struct {
	login.Store
	loads, finds, saves atomic.Int64
	failSave            func(login.Record) error
	forgot              time.Time     // Since says so; zero: the store's own
	ahead               time.Duration // of the store's clock
}

func (c *counting) Now(ctx context.Context) (time.Time, error) {
	now, err := c.Store.Now(ctx)
	return now.Add(c.ahead), err
}

func (c *counting) Since(ctx context.Context) (time.Time, error) {
	if !c.forgot.IsZero() {
		return c.forgot, nil
	}
	return c.Store.Since(ctx)
}

func (c *counting) Load(ctx context.Context, keys ...string) (login.Record, error) {
	c.loads.Add(1)
	return c.Store.Load(ctx, keys...)
}

func (c *counting) Find(ctx context.Context, index, after string, limit int) ([]login.Record, error) {
	c.finds.Add(1)
	return c.Store.Find(ctx, index, after, limit)
}

func (c *counting) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	c.saves.Add(1)
	if c.failSave != nil {
		if err := c.failSave(r); err != nil {
			return r, err
		}
	}
	return c.Store.Save(ctx, r, cond)
}

type fixture struct {
	*People
	store *counting
	path  string
}

var testOptions = Options{
	MinVersion: "1.6.8", Platforms: []string{"ios", "android"}, MaxDevices: 3, PublicURL: "https://otp.example.vn/",
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := store.OpenEmbedded(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	counted := &counting{Store: s}
	p, err := New(counted, keys, testOptions)
	require.NoError(t, err)
	return &fixture{People: p, store: counted, path: path}
}

const (
	annNumber   = "7912345678"
	annPersonal = "001234567890"
	binhNumber  = "7987654321"
)

func ann(number string) login.Identity {
	return login.Identity{ID: "uuid-ann", Username: "an.nv", DisplayName: "Nguyễn Văn An", Number: number}
}

func binh(number string) login.Identity {
	return login.Identity{ID: "uuid-binh", Username: "binh.tt", DisplayName: "Trần Thị Bình", Number: number}
}

// someKey stands for a device's key: this package only keeps it.
func someKey() (id string, key []byte) {
	raw := make([]byte, 32)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw), append([]byte{4}, make([]byte, 64)...)
}

func phone(code secret.Secret) Enrolment {
	id, key := someKey()
	return Enrolment{
		Code: code, Device: id, Key: key, Name: "phone", Platform: "android", AppVersion: "1.6.8",
		PushToken: "push-token-of-" + secret.Secret(id), Can: []string{CanCode, CanApprove, CanNumber}, Notifications: Allowed,
	}
}

func (f *fixture) activation(t testing.TB, id login.Identity) Activation {
	t.Helper()
	_, problem, err := f.Mention(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, problem)
	a, err := f.AddActivation(t.Context(), id.ID)
	require.NoError(t, err)
	return a
}

func (f *fixture) enrolled(t testing.TB, id login.Identity, change func(*Enrolment)) Device {
	t.Helper()
	e := phone(f.activation(t, id).Code)
	if change != nil {
		change(&e)
	}
	d, _, err := f.Enrol(t.Context(), e)
	require.NoError(t, err)
	return d
}
