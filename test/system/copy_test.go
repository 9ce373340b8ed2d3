package system_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

func TestAnInstallationMovesToRedisAndBack(t *testing.T) {
	redis := testenv.StartRedis(t)
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	logIn := func() {
		t.Helper()
		asked := s.NAS(site.Asks).Ask(asks)
		require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
		require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks.Saying(phone.Code(), asked.State)).Code)
	}
	logIn()
	_, stderr, code := s.Run("store", "copy", "--to", "redis")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "write store.redis")

	before, err := os.ReadFile(s.Config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.Config, fmt.Appendf(before, "store: {redis: {addresses: [%q]}}\n", redis.Addr), 0o600))
	_, stderr, code = s.Run("store", "copy", "--to", "redis")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "another vssgate is running")
	s.Stop()
	require.Regexp(t, `copied [1-9][0-9]* records`, s.Command("store", "copy", "--to", "redis"))
	s.Start()
	logIn()
	second := s.Phone(2)
	for _, to := range []string{"redis", "embedded"} {
		_, stderr, code = s.Run("store", "copy", "--to", to, "--force")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "1 vssgate running on this Redis")
	}
	s.Stop()

	_, stderr, code = s.Run("store", "copy", "--to", "embedded")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "--force")
	s.Command("store", "copy", "--to", "embedded", "--force")
	require.NoError(t, os.WriteFile(s.Config, before, 0o600))
	redis.Stop()
	s.Start()
	logIn()
	second.None() // it is known here, too
	changes := s.Changes()
	require.Equal(t, "store copy", changes[len(changes)-1].Action)
	s.Verify()
}
