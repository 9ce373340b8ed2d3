package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"vssgate/internal/accounting"
	"vssgate/internal/admin"
	"vssgate/internal/audit"
	"vssgate/internal/login"
	"vssgate/internal/trail"
)

// searchAudit is how much of the audit is read, from its end, for a login that
// is older than the memory.
const searchAudit = 256 << 20

// A want is whose logins are asked for.
type want struct{ user, account, client string }

// wanted finds out who is meant: by name, and by the account that the directory
// has under that name, if it can be asked.
func (a *App) wanted(ctx context.Context, user, client string) want {
	w := want{user: user, client: client}
	if user != "" {
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		if id, err := a.resolve(ctx, user); err == nil {
			w.account = id.ID
		}
	}
	return w
}

func (w want) fits(l *trail.Login) bool {
	user := w.user == "" || strings.EqualFold(w.user, l.Username) || strings.EqualFold(w.user, l.Typed) || w.account != "" && w.account == l.Account
	return user && (w.client == "" || w.client == l.Name)
}

// listLogins lists what this node remembers, and what is open on any node.
func (a *App) listLogins(ctx context.Context, _ string, in admin.Logins) ([]admin.Login, error) {
	w := a.wanted(ctx, in.User, in.Client)
	seen := a.trail.Logins(w.fits, 0) // before the store is asked: what is open here and not there has ended
	open := map[login.ID]bool{}
	var all []trail.Login
	err := a.engine.Overviews(ctx, func(o login.Overview) bool {
		open[o.ID] = true
		if l := openLogin(o); w.fits(&l) {
			all = append(all, l)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, l := range seen {
		if l = a.settled(l, open[l.ID]); !open[l.ID] && (!in.Open || l.Stage == trail.Asking) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(x, y trail.Login) int { return y.Created.Compare(x.Created) })
	if in.Last > 0 && len(all) > in.Last {
		all = all[:in.Last]
	}
	out := make([]admin.Login, len(all))
	for i := range all {
		out[i] = loginLine(&all[i])
	}
	return out, nil
}

// settled is a login that was seen here, as it is now that the store has said
// whether it is open.
func (a *App) settled(l trail.Login, isOpen bool) trail.Login {
	if l.Stage != trail.Open || isOpen {
		return l
	}
	for _, now := range a.trail.Find(l.ID.String()) {
		l = now
	}
	if l.Stage == trail.Open {
		l.Stage = trail.Elsewhere
	}
	return l
}

// openLogin is an attempt of the store as it is shown.
func openLogin(o login.Overview) trail.Login {
	stage := trail.Open
	switch {
	case o.Approved:
		stage = "approved"
	case o.Waits:
		stage = "held"
	}
	return trail.Login{
		ID: o.ID, Name: o.Client, FrontEnd: o.FrontEnd, Username: o.Username, Typed: o.Typed, Account: o.Account, NAS: o.NAS, From: o.From,
		Stage: stage, Created: o.Created, Requests: o.Requests, Pushes: o.Pushes, Device: o.Device,
	}
}

func loginLine(l *trail.Login) admin.Login {
	return admin.Login{
		Attempt: l.ID.String(), Trace: l.ID.Trace(), FrontEnd: string(l.FrontEnd), Client: l.Name, Username: l.Username, From: l.From,
		Stage: l.Stage, Reason: l.Reason, Created: l.Created, Ended: ifAny(l.Ended),
	}
}

// showLogin tells all that is known of one login: what this node saw of it, what
// the store has while it is open, or its audit record.
func (a *App) showLogin(ctx context.Context, _ string, in admin.WhichLogin) (admin.ShownLogin, error) {
	which := strings.Trim(in.Login, "[] \t")
	found := a.trail.Find(which)
	var o login.Overview
	err := a.engine.Overviews(ctx, func(one login.Overview) bool {
		if strings.EqualFold(which, one.ID.Trace()) || strings.EqualFold(which, one.ID.String()) {
			o = one
		}
		return o.ID == (login.ID{})
	})
	if err != nil && len(found) == 0 {
		return admin.ShownLogin{}, err
	}
	isOpen := o.ID != (login.ID{})
	switch {
	case isOpen && (len(found) == 0 || found[0].ID != o.ID):
		found = append([]trail.Login{openLogin(o)}, found...)
		return a.shown(ctx, found, "store"), nil
	case isOpen:
		open := openLogin(o)
		open.Events, open.Said, open.Client = found[0].Events, found[0].Said, found[0].Client
		open.Device = cmp.Or(open.Device, found[0].Device)
		found[0] = open
	case len(found) == 0:
		return a.fromAudit(which)
	default:
		found[0] = a.settled(found[0], false)
	}
	return a.shown(ctx, found, "memory"), nil
}

// shown describes the newest of several logins with one trace.
func (a *App) shown(ctx context.Context, found []trail.Login, source string) admin.ShownLogin {
	l := &found[0]
	out := admin.ShownLogin{
		Login: loginLine(l), Account: l.Account, NAS: l.NAS, Factor: l.Factor, WouldBe: l.WouldBe, Device: a.deviceName(ctx, l.Device), Requests: l.Requests, Pushes: l.Pushes,
		TookMS: l.Took.Milliseconds(), Source: source, Events: []admin.LoginEvent{}, Sessions: a.sessionsOf(l.ID), Timers: a.timersOf(l.Name),
	}
	if l.Typed != l.Username {
		out.Typed = l.Typed
	}
	if l.Said != nil {
		l.Said.ValidFor = a.config().SecondFactor.ValidFor
		out.Read = a.reply(l.Client, *l.Said)
	}
	for _, e := range l.Events {
		out.Events = append(out.Events, a.event(ctx, l, e, l.Created.Add(e.After)))
	}
	for _, other := range found[1:] {
		out.More = append(out.More, other.ID.String())
	}
	return out
}

func (a *App) event(ctx context.Context, l *trail.Login, e trail.Event, at time.Time) admin.LoginEvent {
	out := admin.LoginEvent{AtMS: e.After.Milliseconds(), Time: at, Kind: e.Kind, What: e.Word, TookMS: float64(e.Took.Microseconds()) / 1000}
	if e.Count > 1 {
		out.Count = e.Count
	}
	switch e.Kind {
	case "phone":
		out.Device = a.deviceName(ctx, l.Device)
	case "first_factor":
		out.Device = a.firstFactorOf(l.Name)
	}
	return out
}

// deviceName is how the owner of a device calls it; its id where nobody knows.
func (a *App) deviceName(ctx context.Context, id string) string {
	if id == "" {
		return ""
	}
	if d, _, err := a.people.Device(ctx, id); err == nil && d.Name != "" {
		return d.Name
	}
	return id
}

// firstFactorOf is the name of the first factor of a client.
func (a *App) firstFactorOf(client string) string {
	for _, c := range a.config().RADIUS.Clients {
		if c.Name == client {
			return c.FirstFactor
		}
	}
	for _, c := range a.config().LDAP.Clients {
		if c.Name == client {
			return c.FirstFactor
		}
	}
	return ""
}

func (a *App) sessionsOf(id login.ID) []admin.Session {
	all := []admin.Session{}
	if a.accounting.sessions == nil {
		return all
	}
	for _, s := range a.accounting.sessions.Of(id) {
		all = append(all, admin.Session{
			ID: s.ID, NAS: s.NAS, Address: s.Address, Started: ifAny(s.Started), Updated: s.Updated, Stopped: ifAny(s.Stopped),
			LastedS: int64(s.Lasted.Seconds()), In: s.In, Out: s.Out, Cause: s.Cause,
		})
	}
	return all
}

// loginOf finds the login that a session belongs to.
func (a *App) loginOf(r *accounting.Record) (login.ID, bool) {
	return a.trail.Login(trail.Session{Client: r.Client, NAS: r.NAS, ID: r.Session, Username: r.Username, Station: r.Station, Began: r.When().Add(-r.Lasted)})
}

// fromAudit shows a login that only the audit remembers.
func (a *App) fromAudit(which string) (admin.ShownLogin, error) {
	files, err := audit.Files(a.config().Audit.File)
	if err != nil {
		return admin.ShownLogin{}, err
	}
	f, err := audit.Find(files, which, searchAudit)
	if err != nil {
		return admin.ShownLogin{}, err
	}
	if f == nil {
		return admin.ShownLogin{}, wrong("no login %q in memory, in the store, or in the last %d MiB of the audit: check the six characters, look on the other nodes, and in older audit files", which, searchAudit>>20)
	}
	id, err := login.ParseID(f.Attempt)
	if err != nil {
		return admin.ShownLogin{}, err
	}
	return admin.ShownLogin{
		Login:   auditedLogin(f),
		Account: f.Account, NAS: f.NAS, Factor: f.Factor, Device: f.Device, Requests: f.Requests, Pushes: f.Pushes, TookMS: f.TookMS,
		Source: "audit", Events: []admin.LoginEvent{}, Sessions: a.sessionsOf(id), Timers: a.timersOf(f.Client),
	}, nil
}

func auditedLogin(f *audit.Found) admin.Login {
	return admin.Login{
		Attempt: f.Attempt, Trace: f.Trace, FrontEnd: f.FrontEnd, Client: f.Client, Username: f.Username, From: f.From, Stage: trail.Ended,
		Reason: f.Reason, Created: f.Time.Add(-time.Duration(f.TookMS) * time.Millisecond), Ended: &f.Time,
	}
}

// followLogins sends events as they happen, until the caller has seen enough.
func (a *App) followLogins(ctx context.Context, in admin.FollowLogins, send func(admin.FollowedEvent) error) error {
	who := a.wanted(ctx, in.User, in.Client)
	w := a.trail.Follow()
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-w.C:
			if !who.fits(&s.Login) || in.Trace != "" && !strings.EqualFold(strings.Trim(in.Trace, "[]"), s.Login.ID.Trace()) {
				continue
			}
			out := admin.FollowedEvent{
				LoginEvent: a.event(ctx, &s.Login, s.Event, s.At), Attempt: s.Login.ID.String(), Trace: s.Login.ID.Trace(), Client: s.Login.Name,
				Username: s.Login.Username, From: s.Login.From, Missed: w.Missed(),
			}
			if err := send(out); err != nil {
				return err
			}
		}
	}
}
