package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"vssgate/internal/phone"
	"vssgate/test/site"
)

// A visit is one user who wants to get in, or somebody who must not.
type visit struct {
	run     *run
	number  int
	kind    string
	must    string // in, out, or "": the checker's other rules decide
	user    *user
	station string
	nas     nas
	server  int // whom it asks next
	dice    *rand.Rand
}

// A script is one way to log in. It tells whether the visitor was let in.
type script struct {
	name, client, must string
	weight             int
	tries              int
	play               func(v *visit, ctx context.Context) bool
}

var scripts = []script{
	{"code", "asks", "in", 30, 3, (*visit).byCode},
	{"number", "asks", "in", 18, 3, (*visit).byNumber},
	{"hold", "holds", "in", 20, 3, (*visit).byApproval},
	{"append", "appends", "in", 8, 3, (*visit).byAppending},
	{"bind", "binds", "in", 24, 3, (*visit).byApproval},
	{"bind denied", "binds", "out", 4, 1, (*visit).denied},
	{"bind unanswered", "binds", "out", 3, 1, (*visit).justAsk},
	{"bind, wrong password", "binds", "out", 2, 1, (*visit).wrongPassword},
	{"bind beside a thief", "binds", "", 6, 3, (*visit).bindBesideAThief},
	{"wrong code first", "asks", "in", 5, 3, (*visit).afterAWrongCode},
	{"used code again", "asks", "in", 4, 3, (*visit).andItsReplay},
	{"code and OK at once", "asks", "in", 5, 3, (*visit).twice},
	{"thief beside", "asks", "in", 4, 3, (*visit).besideAThief},
	{"denied", "holds", "out", 4, 1, (*visit).denied},
	{"wrong number", "asks", "out", 2, 1, (*visit).byAnotherNumber},
	{"late code", "asks", "", 3, 1, (*visit).late},
	{"wrong password", "asks", "out", 2, 1, (*visit).wrongPassword},
	{"no phone", "holds", "out", 2, 1, (*visit).justAsk},
}

// newVisit is what the seed says of visit n.
func (r *run) newVisit(n int) (*visit, script) {
	dice := rand.New(rand.NewPCG(r.seed, uint64(n)+1))
	v := &visit{run: r, number: n * 10, dice: dice, server: dice.IntN(nodes), station: fmt.Sprintf("203.0.%d.%d", n/200, 1+n%200)}
	total := 0
	for _, s := range scripts {
		total += s.weight
	}
	s, at := scripts[0], dice.IntN(total)
	for _, s = range scripts {
		if at -= s.weight; at < 0 {
			break
		}
	}
	if n < len(scripts) { // each at least once
		s = scripts[n]
	}
	every := max(r.size.logins/r.size.revocations, 1)
	v.user = r.users[dice.IntN(r.size.users)]
	switch {
	case n%every == every/2 && n/every < r.size.revocations:
		s = script{"revoked phone", "holds", "out", 0, 1, (*visit).revoked}
		v.user = r.users[r.size.users+n/every]
	case s.name == "no phone":
		v.user = r.users[r.size.users+r.size.revocations+dice.IntN(r.size.absent)]
	}
	v.kind, v.must, v.nas = s.name, s.must, r.kinds[s.client]
	v.nas.resend, v.nas.resends = time.Second, 2
	if v.nas.binds {
		v.station = v.nas.from // all that LDAP shows of who binds
	}
	switch {
	case (s.client == "holds" || v.nas.binds) && dice.IntN(2) == 0: // as one that asks each server once, and long
		v.nas.resend, v.nas.resends = r.size.hold+time.Second, 0
	case dice.IntN(3) == 0: // as one that has no patience with any server
		v.nas.resend, v.nas.resends = 700*time.Millisecond, 0
	}
	return v, s
}

func (v *visit) visit(ctx context.Context, s script) {
	v.user.mu.Lock()
	defer v.user.mu.Unlock()
	began := time.Now()
	in := false
	tries := 0
	for !in && tries < s.tries && ctx.Err() == nil {
		tries++
		in = s.play(v, ctx)
	}
	v.run.visits.write(visitLine{Visit: v.number, Kind: v.kind, Must: v.must, In: in, Tries: tries, TookMS: time.Since(began).Milliseconds()})
	v.run.done.Add(1)
	if in {
		v.run.in.Add(1)
	}
}

// other is somebody else beside this visit, who must stay outside.
func (v *visit) other(n int, kind string) *visit {
	o := *v
	o.number, o.kind, o.must, o.server = v.number+n, kind, "out", v.server+1
	if !v.nas.binds {
		o.station = fmt.Sprintf("198.51.%d.%d", v.number/2000, 1+v.number/10%200)
		o.nas.resends = 0
	}
	return &o
}

func (v *visit) ended(in bool) {
	v.run.visits.write(visitLine{Visit: v.number, Kind: v.kind, Must: v.must, In: in, Tries: 1})
}

func (v *visit) think(ctx context.Context) {
	pause(ctx, time.Duration(rand.Int64N(int64(v.run.size.think))))
}

// look is what the phone shows of this visit's login.
func (v *visit) look(ctx context.Context) (phone.Login, bool) {
	ctx, cancel := context.WithTimeout(ctx, v.run.size.validFor)
	defer cancel()
	return v.user.look(ctx, v.nas.client, v.station)
}

// say answers, as long as a login is valid.
func (v *visit) say(ctx context.Context, login, what, number string) string {
	ctx, cancel := context.WithTimeout(ctx, v.run.size.validFor)
	defer cancel()
	return v.user.answer(ctx, login, phone.Answer{Answer: what, Number: number})
}

// begin types the password and reads the challenge, and what the phone shows.
func (v *visit) begin(ctx context.Context) (site.Answer, phone.Login, bool) {
	a, ok := v.ask(ctx, v.user.password, "")
	if !ok || a.Code != site.AccessChallenge {
		return a, phone.Login{}, false
	}
	l, ok := v.look(ctx)
	v.think(ctx)
	return a, l, ok && l.Code != ""
}

func (v *visit) enters(ctx context.Context, typed, state string) bool {
	a, ok := v.ask(ctx, typed, state)
	return ok && a.Code == site.AccessAccept
}

func (v *visit) byCode(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	return ok && v.enters(ctx, l.Code, a.State)
}

var twoDigits = regexp.MustCompile(`\b[0-9]{2}\b`)

func (v *visit) byNumber(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok {
		return false
	}
	return v.matches(ctx, a, l.ID, twoDigits.FindString(a.Text))
}

// byAnotherNumber types a number that no challenge has shown.
func (v *visit) byAnotherNumber(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	return ok && v.matches(ctx, a, l.ID, site.WrongCode(twoDigits.FindString(a.Text)))
}

// matches approves with that number, and goes on at the NAS.
func (v *visit) matches(ctx context.Context, a site.Answer, login, number string) bool {
	v.say(ctx, login, "approve", number)
	ok := true
	for range 2 {
		if a, ok = v.ask(ctx, "ok", a.State); !ok || a.Code != site.AccessChallenge {
			return ok && a.Code == site.AccessAccept
		}
	}
	return false
}

// byApproval waits at the NAS while the phone is looked at.
func (v *visit) byApproval(ctx context.Context) bool { return v.held(ctx, "approve") }

func (v *visit) denied(ctx context.Context) bool { return v.held(ctx, "deny") }

func (v *visit) held(ctx context.Context, answer string) bool {
	return v.whileHeld(ctx, func(ctx context.Context, _ *sync.WaitGroup) {
		if l, ok := v.look(ctx); ok {
			v.think(ctx)
			v.say(ctx, l.ID, answer, "")
		}
	})
}

// whileHeld is a request with the password alone; meanwhile others do what they do.
func (v *visit) whileHeld(ctx context.Context, others func(context.Context, *sync.WaitGroup)) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { others(ctx, &wg) })
	in := v.enters(ctx, v.user.password, "")
	if !in {
		pause(ctx, v.run.size.think) // the phone may just be answering
	}
	cancel()
	wg.Wait()
	return in
}

func (v *visit) byAppending(ctx context.Context) bool {
	a, ok := v.ask(ctx, v.user.password, "")
	if ok && a.Code == site.AccessAccept {
		return true
	}
	l, ok := v.look(ctx)
	if !ok {
		return false
	}
	v.think(ctx)
	return v.enters(ctx, v.user.password+","+l.Code, "")
}

func (v *visit) afterAWrongCode(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok {
		return false
	}
	a, ok = v.ask(ctx, site.WrongCode(l.Code), a.State)
	return ok && a.Code == site.AccessChallenge && v.enters(ctx, l.Code, a.State)
}

// andItsReplay is a login by code; then somebody else tries the same State and
// code, at another server.
func (v *visit) andItsReplay(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok || !v.enters(ctx, l.Code, a.State) {
		return false
	}
	o := v.other(1, "replay")
	o.ended(o.enters(ctx, l.Code, a.State))
	return true
}

// twice presents one State at two servers at once, with the code and with an
// approval: one of them lets in.
func (v *visit) twice(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok {
		return false
	}
	v.say(ctx, l.ID, "approve", twoDigits.FindString(a.Text))
	twin := *v
	twin.number, twin.kind, twin.must, twin.server = v.number+3, "twin", "", v.server+1
	in := false
	var wg sync.WaitGroup
	wg.Go(func() {
		in = twin.enters(ctx, "ok", a.State)
		twin.ended(in)
	})
	own := v.enters(ctx, l.Code, a.State)
	wg.Wait()
	return own || in
}

// besideAThief is a login by number, while somebody else who has the password
// waits for it, and then tries the owner's code.
func (v *visit) besideAThief(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok {
		return false
	}
	thief := v.other(2, "thief")
	var wg sync.WaitGroup
	wg.Go(func() {
		b, ok := thief.ask(ctx, v.user.password, "")
		for range 2 {
			if ok && b.Code == site.AccessChallenge {
				b, ok = thief.ask(ctx, "ok", b.State)
			}
		}
		thief.ended(ok && b.Code == site.AccessChallenge && thief.enters(ctx, l.Code, b.State))
	})
	v.say(ctx, l.ID, "approve", twoDigits.FindString(a.Text))
	in := v.enters(ctx, "ok", a.State)
	wg.Wait()
	return in
}

// late types the code when its time is over.
func (v *visit) late(ctx context.Context) bool {
	a, l, ok := v.begin(ctx)
	if !ok {
		return false
	}
	pause(ctx, time.Until(l.Expires)+300*time.Millisecond)
	return v.enters(ctx, l.Code, a.State)
}

func (v *visit) wrongPassword(ctx context.Context) bool {
	return v.enters(ctx, v.user.password+"x", "")
}

func (v *visit) justAsk(ctx context.Context) bool { return v.enters(ctx, v.user.password, "") }

// revoked has the phone revoked while its login is open, and answers then.
func (v *visit) revoked(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		l, ok := v.look(ctx)
		patient, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if ok && v.run.revoke(patient, v.user) {
			v.say(ctx, l.ID, "approve", "")
		}
	})
	in := v.enters(ctx, v.user.password, "")
	wg.Wait()
	return in
}
