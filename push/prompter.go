package push

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vssgate/internal/login"
)

// Sender tells one device. FCM is one, Webhook another.
type Sender interface {
	// Check asks the service without telling anybody, in a few seconds.
	Check(ctx context.Context) error
	// Send takes no longer than CallTimeout and ctx allow.
	Send(ctx context.Context, t Target, m Message) Outcome
	// Ready tells whether a message would be tried now.
	Ready() bool
}

// Devices knows whom to tell.
type Devices interface {
	// Targets are the person's usable devices that have a push token.
	Targets(ctx context.Context, person string) ([]Target, error)
	// ForgetToken drops that push token of the device; the device itself stays,
	// and so does a token that it has brought meanwhile.
	ForgetToken(ctx context.Context, device, token string) error
}

// Meter counts what became of messages. It never blocks.
type Meter interface{ Push(outcome string) }

// PrompterOptions bound a Prompter. The zero value of each means its default.
type PrompterOptions struct {
	Workers int // logins told at the same time; default 64
	Queue   int // logins that wait for each worker; default 64
	Log     *slog.Logger
	Meter   Meter
	Trail   login.Trail // nil: nobody follows logins

	// Mine is asked right before a login's devices are told: whether that is up to
	// this Prompter, and to no other. Any node may be asked to prompt for a login,
	// since the one that was may have died before it could. nil: always.
	Mine func(context.Context, login.Prompt) (bool, error)
}

const (
	defaultWorkers = 64
	defaultQueue   = 64
	maxTries       = 3      // of one message, before its login's end
	maxPending     = 10_000 // messages that wait to be tried again
)

// Prompter tells the devices of people about their logins. It implements
// login.Prompter.
type Prompter struct {
	sender  atomic.Pointer[Sender]
	devices Devices
	log     *slog.Logger
	meter   Meter
	trail   login.Trail
	mine    func(context.Context, login.Prompt) (bool, error)
	queues  []chan job // what belongs to one login stays in order

	mu      sync.Mutex
	pending map[login.ID][]*retry // messages to be tried again
	waiting int                   // how many those are
}

// A job is to tell all devices of a person but one, or one of them again. A
// notice has an id and an end of its own, like a login.
type job struct {
	kind   Kind
	prompt login.Prompt
	until  time.Time // its end, by this node's clock
	notice login.Notice
	target Target // one device again; the zero value: all
	tries  int
}

// A retry is a message that waits for its timer.
type retry struct{ timer *time.Timer }

// NewPrompter makes a Prompter; Run makes it work. A nil sender is one that is
// never ready: nothing to push with is configured.
func NewPrompter(s Sender, d Devices, o PrompterOptions) *Prompter {
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Prompter{devices: d, log: o.Log, meter: o.Meter, trail: o.Trail, mine: o.Mine, queues: make([]chan job, o.Workers), pending: map[login.ID][]*retry{}}
	p.Use(s)
	for i := range p.queues {
		p.queues[i] = make(chan job, o.Queue)
	}
	return p
}

// Use puts another sender in the place of the one that there is; nil: nothing to
// push with is configured any more.
func (p *Prompter) Use(s Sender) {
	if s == nil {
		s = noSender{}
	}
	p.sender.Store(&s)
}

type noSender struct{}

func (noSender) Check(context.Context) error                   { return nil }
func (noSender) Ready() bool                                   { return false }
func (noSender) Send(context.Context, Target, Message) Outcome { return Outcome{Result: NotReady} }

func (p *Prompter) by() Sender { return *p.sender.Load() }

// Ready tells whether a prompt can go out at all now.
func (p *Prompter) Ready() bool { return p.by().Ready() }

// Prompt tells every usable device of the person that a login waits, unless that
// has been done. It returns at once.
func (p *Prompter) Prompt(prompt login.Prompt) {
	if !p.Ready() {
		p.outcome(Login, prompt.Login, NotReady)
		return
	}
	p.enqueue(job{kind: Login, prompt: prompt, until: time.Now().Add(prompt.Left)})
}

// Closed tells the person's devices that the login has ended, and gives up
// what was to be tried again. It returns at once. A phone that knows nothing
// of that login ignores it.
func (p *Prompter) Closed(prompt login.Prompt) {
	p.giveUp(prompt.Login)
	if !p.Ready() {
		return
	}
	p.enqueue(job{kind: Closed, prompt: prompt})
}

// noticeFor is how long a notice is of use to a phone that is off.
const noticeFor = 24 * time.Hour

// Notice tells the person's usable devices, but the one it is about, what has
// happened. It returns at once.
func (p *Prompter) Notice(n login.Notice) {
	until := time.Now().Add(noticeFor)
	j := job{kind: Notice, notice: n, prompt: login.Prompt{Login: login.NewID(), Person: n.Person, Expires: until}, until: until}
	if !p.Ready() {
		p.outcome(Notice, j.prompt.Login, NotReady)
		return
	}
	p.enqueue(j)
}

func (p *Prompter) enqueue(j job) {
	select {
	case p.queues[int(j.prompt.Login[0])%len(p.queues)] <- j:
	default:
		p.outcome(j.kind, j.prompt.Login, QueueFull)
		p.log.Warn("push queue full: the login goes on without", "login", j.prompt.Login.Trace(), "kind", j.kind)
	}
}

// Run works until ctx ends, and returns when its last worker has. It asks the
// service first, so that what is wrong is told before the first login.
func (p *Prompter) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() {
		if err := p.by().Check(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("nothing can be pushed as things are; vssgate doctor says what to do", "error", err)
		}
	})
	for _, q := range p.queues {
		workers.Go(func() { p.work(ctx, q) })
	}
	workers.Wait()
	p.giveUpAll()
	return nil
}

func (p *Prompter) work(ctx context.Context, q <-chan job) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-q:
			p.do(ctx, j)
		}
	}
}

// do tells the devices of one job, side by side, as long as the login lasts.
func (p *Prompter) do(ctx context.Context, j job) {
	call := ctx
	if j.kind != Closed {
		var cancel context.CancelFunc
		call, cancel = context.WithDeadline(ctx, j.until)
		defer cancel()
	}
	if call.Err() != nil {
		p.outcome(j.kind, j.prompt.Login, TooLate)
		return
	}
	if j.kind == Login && j.target == (Target{}) && !p.isMine(call, j.prompt) {
		return
	}
	var sends sync.WaitGroup
	for _, t := range p.targets(call, j) {
		sends.Go(func() { p.tell(ctx, call, j, t) })
	}
	sends.Wait()
}

// isMine tells whether to tell of a login now. Where that cannot be found out
// nobody is told twice: the login goes on without.
func (p *Prompter) isMine(ctx context.Context, prompt login.Prompt) bool {
	if p.mine == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	mine, err := p.mine(ctx, prompt)
	if err != nil {
		p.outcome(Login, prompt.Login, NoAnswer)
		p.log.Warn("not pushed: the store does not say whether another node has", "login", prompt.Login.Trace(), "error", err)
	}
	return mine && err == nil
}

func (p *Prompter) targets(ctx context.Context, j job) []Target {
	if j.target != (Target{}) {
		return []Target{j.target}
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	targets, err := p.devices.Targets(ctx, j.prompt.Person)
	targets = slices.DeleteFunc(targets, j.not)
	switch {
	case err != nil:
		p.outcome(j.kind, j.prompt.Login, NoAnswer)
		p.log.Warn("devices cannot be looked up: nobody is told", "login", j.prompt.Login.Trace(), "error", err)
	case len(targets) == 0 && j.notice.Except == "": // a first phone has no others to be told of it
		p.outcome(j.kind, j.prompt.Login, NoTarget)
	}
	return targets
}

// not: the device that a notice is about, and one that came in when the login
// was open already, and cannot answer it.
func (j job) not(t Target) bool {
	if j.kind == Notice {
		return t.Device == j.notice.Except
	}
	return !t.Since.Before(j.prompt.Opened)
}

// tell sends to one device within call, and sees to what came of it.
func (p *Prompter) tell(ctx, call context.Context, j job, t Target) {
	o := p.by().Send(call, t, j.message())
	p.outcome(j.kind, j.prompt.Login, o.Result)
	log := p.log.With("login", j.prompt.Login.Trace(), "account", j.prompt.Account, "device", t.Device, "kind", j.kind, "outcome", o.Result)
	switch {
	case o.Result == Sent:
		log.Debug("pushed")
	case o.Result == Unregistered, o.Result == SenderMismatch, o.Result == BadToken:
		p.forget(ctx, t, log)
	case o.RetryAfter > 0:
		p.again(j, t, o, log)
	default:
		log.Warn("not pushed", "error", o.Err)
	}
}

func (j job) message() Message {
	m := Message{Kind: j.kind, Expires: j.prompt.Expires, Until: j.until, Notice: j.notice.Word}
	if j.kind != Notice {
		m.Login = j.prompt.Login.String()
	}
	return m
}

// forget drops a token that will never work again. The app brings a new one.
func (p *Prompter) forget(ctx context.Context, t Target, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	if err := p.devices.ForgetToken(ctx, t.Device, t.Token); err != nil {
		log.Warn("push token of no use, and not forgotten", "error", err)
		return
	}
	log.Warn("push token of no use: forgotten. The device stays; it is told again when VssID has been opened on it")
}

// again puts one message off, as long as its login lasts.
func (p *Prompter) again(j job, t Target, o Outcome, log *slog.Logger) {
	j.target, j.tries = t, j.tries+1
	late := !time.Now().Add(o.RetryAfter).Before(j.until)
	if late || j.kind == Closed || j.tries >= maxTries || !p.putOff(j, o.RetryAfter) {
		p.outcome(j.kind, j.prompt.Login, NotRetried)
		log.Warn("not pushed", "error", o.Err)
		return
	}
	log.Debug("pushed again later", "in", o.RetryAfter, "error", o.Err)
}

func (p *Prompter) putOff(j job, wait time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting >= maxPending {
		return false
	}
	r := &retry{}
	r.timer = time.AfterFunc(wait, func() {
		if p.due(j.prompt.Login, r) {
			p.enqueue(j)
		}
	})
	p.pending[j.prompt.Login] = append(p.pending[j.prompt.Login], r)
	p.waiting++
	return true
}

// due takes a message off the list and tells whether it was still on it.
func (p *Prompter) due(id login.ID, r *retry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.pending[id], r)
	if i < 0 {
		return false
	}
	p.waiting--
	if p.pending[id] = slices.Delete(p.pending[id], i, i+1); len(p.pending[id]) == 0 {
		delete(p.pending, id)
	}
	return true
}

func (p *Prompter) giveUp(id login.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.pending[id] {
		r.timer.Stop()
		p.waiting--
	}
	delete(p.pending, id)
}

func (p *Prompter) giveUpAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, waiting := range p.pending {
		for _, r := range waiting {
			r.timer.Stop()
		}
	}
	clear(p.pending)
	p.waiting = 0
}

// outcome counts what became of a message, and tells who follows the login.
func (p *Prompter) outcome(k Kind, id login.ID, r Result) {
	if p.meter != nil {
		p.meter.Push(string(r))
	}
	if p.trail != nil && k == Login {
		p.trail.Tell(login.Event{Attempt: id, Kind: login.EventPush, Word: string(r)})
	}
}
