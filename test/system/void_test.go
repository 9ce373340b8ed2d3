package system_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Redis loses what was open in it: whoever asks why a login failed is told, and the
// NAS is not kept waiting for the end of the hold.
func TestALoginThatRedisForgotIsSaidToBeVoid(t *testing.T) {
	redis := testenv.StartRedis(t)
	s := site.Start(t, site.Options{More: fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis.Addr)})
	s.Phone(1)
	nas := s.NAS(site.Holds)
	nas.Send(nas.Packet(asks))
	held := func() []listed { return list(t, s, "--open") }
	require.Eventually(t, func() bool { all := held(); return len(all) == 1 && all[0].Stage == "held" }, site.Patience, 20*time.Millisecond)
	trace := held()[0].Trace
	ready := func() bool { status, _ := s.Get("/readyz"); return status == http.StatusOK }
	require.Eventually(t, ready, site.Patience, 20*time.Millisecond) // then it has seen since when the store remembers
	require.Zero(t, s.Metric("vssgate_store_forgot_total"))

	redis.Do("FLUSHALL")
	s.Logged("login is void: the store has forgotten it")
	s.Logged("the store has another memory now")
	require.Eventually(t, func() bool { return show(t, s, trace).Stage == "void" }, site.Patience, 20*time.Millisecond)
	require.Contains(t, show(t, s, trace).story(), "void")
	require.EqualValues(t, 1, s.Metric("vssgate_store_forgot_total"))
	require.Empty(t, s.Accepted())
}
