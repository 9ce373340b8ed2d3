package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

// Who logs in: everybody has a name, a number and one phone.
const password = "Mat-khau-2026"

func username(i int) string { return fmt.Sprintf("u%06d", i) }
func userDN(i int) string   { return "uid=" + username(i) + ",ou=people,dc=vss,dc=example" }

func identity(i int) login.Identity {
	return login.Identity{
		ID: fmt.Sprintf("6f0e4c1a-93d2-4d5b-9a51-%012d", i), DN: userDN(i), Username: username(i), DisplayName: displayName,
		Groups: groups, Number: fmt.Sprintf("79%08d", i),
	}
}

const displayName = "Nguyễn Thị Minh Châu"

var groups = []string{"cn=staff,ou=groups,dc=vss,dc=example", "cn=vpn,ou=groups,dc=vss,dc=example"}

func enrolOptions() enrol.Options {
	return enrol.Options{MinVersion: "1.6.8", Platforms: []string{"ios", "android"}, MaxDevices: 5, PublicURL: "http://127.0.0.1:1"}
}

// populate writes a data folder in which n people are enrolled. It is in memory:
// nothing of it is measured that waits for a disk.
func populate(b *testing.B, n int) (dir string) {
	dir = memoryDir(b)
	keys := writeKeys(b, dir)
	s, err := store.OpenEmbedded(filepath.Join(dir, "vssgate.db"), slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	enrolAll(b, s, keys, n)
	require.NoError(b, s.Close())
	return dir
}

// populateRedis starts a Redis in which n people are enrolled under the keys in
// dir.
func populateRedis(b *testing.B, n int) (redis *testenv.RedisServer, dir string) {
	dir, redis = memoryDir(b), testenv.StartRedis(b)
	s, err := store.OpenRedis(b.Context(), store.RedisOptions{Addresses: []string{redis.Addr}})
	require.NoError(b, err)
	enrolAll(b, s, writeKeys(b, dir), n)
	require.NoError(b, s.Close())
	return redis, dir
}

func memoryDir(b *testing.B) (dir string) {
	dir, err := os.MkdirTemp("/dev/shm", "vssgate-bench-")
	require.NoError(b, err)
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// enrolAll enrols many at a time, so that one commit serves them all.
func enrolAll(b *testing.B, s login.Store, keys *otp.Keys, n int) *enrol.People {
	people, err := enrol.New(s, keys, enrolOptions())
	require.NoError(b, err)
	var all errgroup.Group
	all.SetLimit(512)
	for i := range n {
		all.Go(func() (err error) {
			for range 5 { // Redis answers within a second or not at all, also on a busy machine
				if err = enrolOne(people, i); err == nil {
					return nil
				}
			}
			return err
		})
	}
	require.NoError(b, all.Wait())
	return people
}

func enrolOne(people *enrol.People, i int) error {
	ctx, id := context.Background(), identity(i)
	if _, _, err := people.Mention(ctx, id); err != nil {
		return err
	}
	code, err := people.AddActivation(ctx, id.ID)
	if err != nil {
		return err
	}
	thumbprint := make([]byte, 32)
	rand.Read(thumbprint)
	_, _, err = people.Enrol(ctx, enrol.Enrolment{
		Code: code.Code, Device: base64.RawURLEncoding.EncodeToString(thumbprint), Key: phoneKey, Name: "Phone", Platform: "android",
		AppVersion: "2.1.0", PushToken: "a-push-token", Can: []string{enrol.CanCode, enrol.CanApprove, enrol.CanNumber}, Notifications: enrol.Allowed,
	})
	return err
}

// phoneKey stands for everybody's: nobody signs anything here.
var phoneKey = func() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return point
}()
