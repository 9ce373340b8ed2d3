package push

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/test/fakefcm"
)

func TestEveryDeviceOfThePersonIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone", "tablet", "old phone")
		w.sender.takes = time.Second
		w.run(t)
		p, prompted := w.prompt(1), time.Now()
		w.prompter.Prompt(p)
		synctest.Wait()
		require.Len(t, w.sender.calls(), 3, "side by side")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 3, w.meter.count(Sent))
		for _, c := range w.sender.calls() {
			require.Equal(t, Message{Kind: Login, Login: p.Login.String(), Expires: p.Expires, Until: prompted.Add(p.Left)}, c.message)
		}
		w.prompter.Closed(p)
		synctest.Wait()
		require.Equal(t, Closed, w.sender.calls()[3].message.Kind)
		require.Len(t, w.sender.calls(), 6)
	})
}

// Several nodes may be asked to prompt for a login: its devices are told by the one
// that is first, and by none while it cannot be known which that is.
func TestALoginsDevicesAreToldByOneNodeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		var asked int
		var fails error
		w.prompter.mine = func(_ context.Context, p login.Prompt) (bool, error) {
			require.Equal(t, w.prompt(1), p)
			asked++
			return asked == 2, fails
		}
		w.sender.results = map[string][]Outcome{"phone": {{Result: Throttled, RetryAfter: time.Second, Err: errors.New("x")}}}
		w.run(t)
		tell := func(calls int) {
			t.Helper()
			w.prompter.Prompt(w.prompt(1))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Len(t, w.sender.calls(), calls)
		}
		tell(0)
		tell(2) // throttled, and tried again without asking anew
		tell(2)
		asked, fails = 1, errors.New("no store")
		tell(2)
		require.Equal(t, 1, w.meter.count(NoAnswer))
	})
}

func TestANoticeGoesToAllDevicesButTheOneItIsAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone", "tablet", "new phone")
		w.sender.results = map[string][]Outcome{"tablet": {{Result: Throttled, RetryAfter: time.Hour, Err: errors.New("x")}}}
		w.run(t)
		w.prompter.Notice(login.Notice{Person: "person", Word: login.NoticeDevice, Except: "new phone"})
		time.Sleep(time.Hour)
		synctest.Wait()
		var told []string
		for _, c := range w.sender.calls() {
			told = append(told, c.target.Device)
			require.Equal(t, Message{Kind: Notice, Notice: login.NoticeDevice, Expires: c.message.Expires, Until: c.message.Until}, c.message, "of no login")
		}
		require.ElementsMatch(t, []string{"phone", "tablet", "tablet"}, told, "throttled is tried again when FCM says")
		require.Empty(t, w.trail.told)
	})
}

func TestWhatBelongsToOneLoginStaysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		w.sender.takes = 3 * time.Second
		w.run(t)
		p := w.prompt(1)
		w.prompter.Prompt(p)
		w.prompter.Closed(p)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		calls := w.sender.calls()
		require.Equal(t, []Kind{Login, Closed}, []Kind{calls[0].message.Kind, calls[1].message.Kind})
		require.GreaterOrEqual(t, calls[1].at.Sub(calls[0].at), 3*time.Second)
	})
}

func TestATokenOfNoUseIsForgottenAndTheOthersStay(t *testing.T) {
	for _, result := range []Result{Unregistered, SenderMismatch, BadToken} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "phone", "gone")
			w.sender.results = map[string][]Outcome{"gone": {{Result: result, Err: errors.New("x")}}}
			w.run(t)
			w.prompter.Prompt(w.prompt(1))
			synctest.Wait()
			require.Equal(t, []string{"gone"}, w.devices.forgotten)
		})
	}
}

func TestOtherRefusalsForgetNothing(t *testing.T) {
	for _, result := range []Result{BadMessage, Throttled, Unavailable, Unreachable, Timeout, Malformed, Misconfigured, BreakerOpen, TooLate} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "phone")
			w.sender.results = map[string][]Outcome{"phone": {{Result: result, Err: errors.New("x")}}}
			w.run(t)
			w.prompter.Prompt(w.prompt(1))
			synctest.Wait()
			require.Empty(t, w.devices.forgotten)
			require.Equal(t, 1, w.meter.count(result))
		})
	}
}

func TestAThrottledMessageIsSentWhenFCMSaysWithinTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone", "tablet")
		w.sender.results = map[string][]Outcome{"phone": {{Result: Throttled, RetryAfter: 20 * time.Second, Err: errors.New("x")}}}
		w.run(t)
		w.prompter.Prompt(w.prompt(1))
		time.Sleep(20*time.Second - 1)
		synctest.Wait()
		require.Len(t, w.sender.calls(), 2)
		time.Sleep(time.Second)
		synctest.Wait()
		calls := w.sender.calls()
		require.Len(t, calls, 3)
		require.Equal(t, "phone", calls[2].target.Device, "the tablet is not told twice")
		require.Zero(t, w.prompter.waiting)
	})
}

func TestAMessageIsNotTriedAgainWithoutEnd(t *testing.T) {
	for name, c := range map[string]struct {
		outcome Outcome
		calls   int
	}{
		"past the login's end":  {Outcome{Result: Throttled, RetryAfter: 3 * time.Minute, Err: errors.New("x")}, 1},
		"more than a few times": {Outcome{Result: Unavailable, RetryAfter: time.Second, Err: errors.New("x")}, maxTries},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "phone")
				w.sender.results = map[string][]Outcome{"phone": slices.Repeat([]Outcome{c.outcome}, 10)}
				w.run(t)
				w.prompter.Prompt(w.prompt(1))
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				require.Len(t, w.sender.calls(), c.calls)
				require.Equal(t, 1, w.meter.count(NotRetried))
				require.Empty(t, w.prompter.pending)
			})
		})
	}
}

func TestALoginThatHasEndedIsNotPromptedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		w.sender.results = map[string][]Outcome{"phone": {{Result: Throttled, RetryAfter: 20 * time.Second, Err: errors.New("x")}}}
		w.run(t)
		p := w.prompt(1)
		w.prompter.Prompt(p)
		synctest.Wait()
		w.prompter.Closed(p)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, w.sender.calls(), 2)
		require.Equal(t, Closed, w.sender.calls()[1].message.Kind)
		require.Zero(t, w.prompter.waiting)
	})
}

func TestNoCallOutlastsTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		w.sender.takes = time.Hour
		w.run(t)
		p := w.prompt(1)
		p.Left = 2 * time.Second
		w.prompter.Prompt(p)
		synctest.Wait()
		deadline, ok := w.sender.calls()[0].deadline, true
		require.True(t, ok)
		require.Equal(t, time.Now().Add(p.Left), deadline)

		p = w.prompt(2)
		p.Left = 0
		w.prompter.Prompt(p)
		synctest.Wait()
		require.Len(t, w.sender.calls(), 1)
		require.Equal(t, 1, w.meter.count(TooLate))
	})
}

func TestAFullQueueShedsAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		for range defaultQueue + 7 { // nobody works yet
			w.prompter.Prompt(w.prompt(9))
		}
		require.Equal(t, 7, w.meter.count(QueueFull))
	})
}

func TestNothingIsSentWhileNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone")
		w.run(t)
		w.sender.broken = true
		require.False(t, w.prompter.Ready())
		w.prompter.Prompt(w.prompt(1))
		w.prompter.Closed(w.prompt(1))
		synctest.Wait()
		require.Empty(t, w.sender.calls())
		require.Equal(t, 1, w.meter.count(NotReady))
	})
	none := NewPrompter(nil, nil, PrompterOptions{})
	require.False(t, none.Ready(), "nothing is configured")
	none.Prompt(login.Prompt{})
	none.Closed(login.Prompt{})
}

func TestWhatIsWrongIsToldBeforeTheFirstLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		w := newWorld(t, "phone")
		w.prompter.log = slog.New(slog.NewTextHandler(&said, nil))
		w.sender.checked = errors.New("the key was revoked")
		w.run(t)
		synctest.Wait()
		require.Contains(t, said.String(), "the key was revoked")
	})
}

func TestDevicesThatCannotBeLookedUpAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.prompter.Prompt(w.prompt(1))
		synctest.Wait()
		w.devices.err = errors.New("store is away")
		w.prompter.Prompt(w.prompt(2))
		synctest.Wait()
		require.Equal(t, 1, w.meter.count(NoTarget))
		require.Equal(t, 1, w.meter.count(NoAnswer))
	})
}

// A device that came in when the login was open cannot answer it: it is told
// neither that it waits nor that it has ended.
func TestADeviceThatCameInDuringALoginIsNotToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "old", "fresh")
		w.run(t)
		p := w.prompt(1)
		w.devices.targets[1].Since = p.Opened
		w.prompter.Prompt(p)
		synctest.Wait()
		w.prompter.Closed(p)
		synctest.Wait()
		var told []string
		for _, c := range w.sender.calls() {
			told = append(told, string(c.message.Kind)+" "+c.target.Device)
		}
		require.Equal(t, []string{"login old", "login.closed old"}, told)
		w.prompter.Notice(login.Notice{Person: "person", Word: login.NoticeNumber})
		synctest.Wait()
		require.Len(t, w.sender.calls(), 4, "what concerns the person it hears like any other")
	})
}

func TestRunReturnsWhenItsLastWorkerHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone", "throttled")
		w.sender.takes = time.Hour
		w.sender.results = map[string][]Outcome{"throttled": {{Result: Throttled, RetryAfter: time.Minute, Err: errors.New("x")}}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.prompter.Run(ctx) }()
		w.prompter.Prompt(w.prompt(1))
		synctest.Wait()
		stop()
		require.NoError(t, <-ended)
		require.Empty(t, w.prompter.pending, "no timer is left")
	})
}

func TestAPromptReachesFCMAndAGoneAppLosesItsToken(t *testing.T) {
	f, fake := start(t)
	devices := &devices{targets: []Target{phone, {Device: "gone", Platform: "ios", Token: "gone-token"}}, told: make(chan string, 1)}
	fake.Unregister("gone-token")
	prompter := NewPrompter(f, devices, PrompterOptions{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- prompter.Run(ctx) }()

	prompt := login.Prompt{Login: login.NewID(), Person: "p", Opened: time.Now(), Expires: time.Now().Add(time.Minute), Left: time.Minute}
	prompter.Prompt(prompt)
	messages, err := fake.Wait(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, prompt.Login.String(), messages[0].Data["login_id"])
	require.Equal(t, "gone", <-devices.told)
	prompter.Closed(prompt)
	messages, err = fake.Wait(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, "login.closed", messages[1].Data["type"])
	stop()
	require.NoError(t, <-ended)
}

var _ login.Prompter = (*Prompter)(nil)
var _ fakefcm.TB = (testing.TB)(nil)

// A world is a Prompter with small programs around it.
type world struct {
	prompter *Prompter
	sender   *sender
	devices  *devices
	meter    *meter
	trail    *trail
}

// trail notes what is told of logins.
type trail struct {
	mu   sync.Mutex
	told []login.Event
}

func (t *trail) Tell(e login.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = append(t.told, e)
}

func TestWhatBecameOfAPromptIsToldToWhoFollowsTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "phone", "tablet")
		w.sender.results = map[string][]Outcome{"tablet": {{Result: Unregistered}}}
		w.run(t)
		p := w.prompt(1)
		w.prompter.Prompt(p)
		synctest.Wait()
		w.prompter.Closed(p)
		synctest.Wait()
		want := []login.Event{{Attempt: p.Login, Kind: login.EventPush, Word: "sent"}, {Attempt: p.Login, Kind: login.EventPush, Word: "unregistered"}}
		require.ElementsMatch(t, want, w.trail.told, "no token, no device; and nothing of the message that it has ended")
	})
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{sender: &sender{}, devices: &devices{}, meter: &meter{}, trail: &trail{}}
	for _, name := range names {
		w.devices.targets = append(w.devices.targets, Target{Device: name, Platform: "android", Token: "token of " + name})
	}
	w.prompter = NewPrompter(w.sender, w.devices, PrompterOptions{Meter: w.meter, Trail: w.trail})
	return w
}

func (w *world) run(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.prompter.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
}

// skew is how far this node's clock is ahead of the store's: of no account to
// the life of a prompt.
const skew = time.Hour

func (w *world) prompt(n byte) login.Prompt {
	return login.Prompt{Login: login.ID{n}, Person: "person", Account: "account", Opened: time.Now(), Expires: time.Now().Add(2*time.Minute - skew), Left: 2 * time.Minute}
}

type call struct {
	target   Target
	message  Message
	at       time.Time
	deadline time.Time
}

type sender struct {
	mu      sync.Mutex
	made    []call
	results map[string][]Outcome // by device, in order; then Sent
	takes   time.Duration
	broken  bool
	checked error
}

func (s *sender) Ready() bool { return !s.broken }

func (s *sender) Check(context.Context) error { return s.checked }

func (s *sender) Send(ctx context.Context, t Target, m Message) Outcome {
	s.mu.Lock()
	deadline, _ := ctx.Deadline()
	s.made = append(s.made, call{t, m, time.Now(), deadline})
	outcome := Outcome{Result: Sent}
	if script := s.results[t.Device]; len(script) > 0 {
		outcome, s.results[t.Device] = script[0], script[1:]
	}
	s.mu.Unlock()
	if outcome.Result != Sent {
		return outcome
	}
	select {
	case <-time.After(s.takes):
		return outcome
	case <-ctx.Done():
		return Outcome{Result: Timeout, Err: ctx.Err()}
	}
}

func (s *sender) calls() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.made)
}

type devices struct {
	targets   []Target
	err       error
	forgotten []string
	told      chan string
}

func (d *devices) Targets(context.Context, string) ([]Target, error) {
	return slices.Clone(d.targets), d.err
}

func (d *devices) ForgetToken(_ context.Context, device, _ string) error {
	if d.told != nil {
		d.told <- device
	}
	d.forgotten = append(d.forgotten, device)
	return nil
}

type meter struct {
	mu     sync.Mutex
	counts map[Result]int
}

func (m *meter) Push(outcome string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = map[Result]int{}
	}
	m.counts[Result(outcome)]++
}

func (m *meter) count(r Result) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[r]
}
