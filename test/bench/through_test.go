package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// BenchmarkThroughAnotherNode takes the time from a phone's approval at one node
// until the NAS that waits at another has its Accept. They share a Redis; the
// promise is 100 ms.
func BenchmarkThroughAnotherNode(b *testing.B) {
	const times, users = 200, 10 // a phone may ask 20 times a second
	redis := testenv.StartRedis(b)
	o := site.Options{More: fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis.Addr)}
	here := site.Start(b, o)
	o.Slapd, o.Secret, o.Before = here.Slapd, here.Secret, site.ShareKey(b, here.Node)
	there := site.Start(b, o)
	var phones [users]*site.Phone
	for i := range phones {
		key, err := phone.NewKey()
		require.NoError(b, err)
		here.EnrolKey(testenv.UserName(i+1), key, phone.Enrolment{})
		phones[i] = there.Client(key)
	}
	nas := here.NAS(site.Holds)
	for b.Loop() {
		took := make([]time.Duration, times)
		for i := range took {
			mine, n := phones[i%users], i%users+1
			p := nas.Packet(site.Request{User: testenv.UserName(n), Password: testenv.UserPassword(n), Station: fmt.Sprintf("203.0.113.%d", i)})
			nas.Send(p)
			l := mine.Login()
			begun := time.Now()
			answered := make(chan error, 1)
			go func() {
				_, err := mine.Approve(b.Context(), l.ID, "")
				answered <- err
			}()
			require.EqualValues(b, site.AccessAccept, nas.Answer(p).Code)
			took[i] = time.Since(begun)
			require.NoError(b, <-answered)
		}
		slices.Sort(took)
		for name, at := range map[string]int{"p50": times / 2, "p99": times * 99 / 100, "most": times - 1} {
			b.ReportMetric(float64(took[at].Microseconds())/1000, "ms-"+name)
		}
	}
}
