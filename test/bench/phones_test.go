package bench

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vssgate/internal/login"
	"vssgate/internal/phone"
	"vssgate/internal/phoneapi"
	"vssgate/internal/texts"
)

// BenchmarkPhones has 5,000 phones wait in long polls, each with a connection
// of its own, and then 500 others answer logins while they do. The phones are in
// this process too, as little of them as there can be: the connections.
func BenchmarkPhones(b *testing.B) {
	const phones, answers, most = 5000, 500, 500
	moreFiles(b, 2*(phones+answers)+1000)
	for b.Loop() {
		s := newBare(b, phones+answers)
		api := serveAPI(b, s)
		all := api.enrol(b, phones+answers)
		debug.FreeOSMemory() // what enrolling left
		before := residentMiB(b)
		open := &sender{}
		for _, p := range all[answers:] {
			p.HTTP.CloseIdleConnections()
			p.HTTP = &http.Client{Transport: open}
			_, err := p.Logins(b.Context(), time.Minute, "")
			require.ErrorIs(b, err, errSent)
		}
		for api.waiting.Load() < phones {
			time.Sleep(10 * time.Millisecond)
		}
		held := residentMiB(b)
		b.ReportMetric(held, "MiB")
		b.ReportMetric(held-before, "MiB-polls")
		if held > most {
			b.Errorf("%d waiting phones and their node take %.0f MiB", phones, held)
		}
		var took []time.Duration
		for i := range answers {
			took = append(took, s.approved(b, i, all[i]))
		}
		open.close()
		slices.Sort(took)
		b.ReportMetric(float64(took[answers/2].Microseconds()), "µs-answer-p50")
		b.ReportMetric(float64(took[answers*99/100].Microseconds()), "µs-answer-p99")
	}
}

// moreFiles lets this process have so many open, as far as the system does.
func moreFiles(b *testing.B, n uint64) {
	var limit unix.Rlimit
	require.NoError(b, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur >= n {
		return
	}
	limit.Cur = min(n, limit.Max)
	require.NoError(b, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	require.GreaterOrEqual(b, limit.Cur, n, "open files: ulimit -Hn %d is too low", limit.Max)
}

// A sender sends requests, each on a connection of its own, and never reads an
// answer.
type sender struct{ conns []net.Conn }

var errSent = errors.New("sent")

func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, conn)
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	return nil, errSent
}

func (s *sender) close() {
	for _, conn := range s.conns {
		conn.Close()
	}
}

// A phoneServer is the phone API over a real engine.
type phoneServer struct {
	*login.Engine
	s       *bare
	url     string
	waiting atomic.Int64 // long polls that are open
}

func (p *phoneServer) Wait(ctx context.Context, person, since string) (login.Logins, error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	return p.Engine.Wait(ctx, person, since)
}

func serveAPI(b *testing.B, s *bare) *phoneServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	p := &phoneServer{Engine: s.engine, s: s, url: "http://" + ln.Addr().String()}
	words, err := texts.New(texts.Options{})
	require.NoError(b, err)
	api, err := phoneapi.New(phoneapi.Options{
		People: s.people, Engine: p, Store: s.store, Texts: words, PublicURL: p.url, Meter: noProblems{}, Log: slog.New(slog.DiscardHandler),
		Notice: func(login.Notice) {}, Record: func(_, _, _ string) error { return nil },
	})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, ln, nil) }()
	b.Cleanup(func() { stop(); <-done })
	return p
}

type noProblems struct{}

func (noProblems) Problem(string) {}

// enrol gives everybody one more phone, with a key and a connection of its own.
func (p *phoneServer) enrol(b *testing.B, n int) []*phone.Client {
	all := make([]*phone.Client, n)
	var work errgroup.Group
	work.SetLimit(256)
	for i := range n {
		work.Go(func() error {
			key, err := phone.NewKey()
			if err != nil {
				return err
			}
			if all[i], err = phone.New(p.url, key); err != nil {
				return err
			}
			all[i].HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			code, err := p.s.people.AddActivation(context.Background(), identity(i).ID)
			if err != nil {
				return err
			}
			_, err = all[i].Enrol(context.Background(), phone.Enrolment{
				ActivationCode: code.Print().ActivationCode, Name: "Phone", Platform: "android", AppVersion: "2.1.0", Can: []string{"code", "approve", "number"},
			})
			return err
		})
	}
	require.NoError(b, work.Wait())
	return all
}

// approved is from user i's tap on the phone to the verdict for the request
// that waits.
func (s *bare) approved(b *testing.B, i int, p *phone.Client) time.Duration {
	client := &login.Client{Name: "wifi", Mode: login.Hold, Hold: time.Minute, Then: login.ThenReject, Separator: ",", Approval: login.ApprovalSimple, Language: "vi"}
	verdict := make(chan time.Time, 1)
	leave := s.engine.Handle(&login.Request{
		FrontEnd: login.RADIUS, Client: client, NAS: "wifi-1", Station: string(netipOf(i)), Username: username(i), Password: []byte(password), First: instant{},
		Reply: func(r login.Reply) {
			if r.Kind == login.Accept {
				verdict <- time.Now()
			}
		},
	})
	defer leave()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	list, err := p.Logins(ctx, 20*time.Second, "")
	require.NoError(b, err)
	require.Len(b, list.Logins, 1)
	tapped := time.Now()
	done, err := p.Approve(ctx, list.Logins[0].ID, "")
	require.NoError(b, err)
	require.Equal(b, "accepted", done.Verdict)
	return (<-verdict).Sub(tapped)
}

// residentMiB is what the kernel counts for this process.
func residentMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	kB, err := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(status)[1]))
	require.NoError(b, err)
	return float64(kB) / 1024
}
