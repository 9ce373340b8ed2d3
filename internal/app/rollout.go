package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"vssgate/internal/admin"
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
)

// A lister can name all of its users.
type lister interface {
	Each(ctx context.Context, under string, visit func(login.Identity) error) error
}

// rolloutReport tells who could log in tomorrow at this time and who not, by
// part of the directory. It changes nothing.
func (a *App) rolloutReport(ctx context.Context, _ string, in admin.Rollout) (admin.RolledOut, error) {
	request, err := a.asIf(in)
	if err != nil {
		return admin.RolledOut{}, err
	}
	now, err := a.store.Now(ctx)
	if err != nil {
		return admin.RolledOut{}, err
	}
	r := &report{app: a, request: request, in: in, parts: map[string]*admin.RolloutPart{}, seen: map[string]bool{}}
	r.out.At = now.AddDate(0, 0, 1)
	r.grouped = slices.ContainsFunc(a.config().SecondFactor.Policies, func(p config.Policy) bool { return len(p.Match.Group) > 0 })
	for _, f := range a.config().FirstFactors {
		if all, ok := a.directories()[f.Name].FirstFactor.(lister); ok {
			if err := all.Each(ctx, in.Under, func(who login.Identity) error { return r.add(ctx, who) }); err != nil {
				return admin.RolledOut{}, err
			}
		}
	}
	if in.Under != "" && r.out.Total.Users == 0 {
		return admin.RolledOut{}, wrong("no user is below %s: check the spelling, base_dns and user_filter", in.Under)
	}
	return r.sum(), nil
}

// asIf is the request that policies are asked about. Where the user sits is not
// known, so a policy for a network lets nobody in here.
func (a *App) asIf(in admin.Rollout) (*login.Request, error) {
	if dn, err := directory.NormalizeDN(in.Under); in.Under != "" && (err != nil || dn == "") {
		return nil, wrong("--under %q is no DN; want one like ou=hue,dc=example,dc=vn", in.Under)
	}
	r := &login.Request{Client: &login.Client{Name: in.Client}}
	for _, c := range a.config().RADIUS.Clients {
		if c.Name == in.Client {
			r.Client.Observe = c.Observe.Ends
			return r, nil
		}
	}
	for _, c := range a.config().LDAP.Clients {
		if c.Name == in.Client {
			return r, nil
		}
	}
	if in.Client != "" {
		return nil, wrong("no client is called %q", in.Client)
	}
	return r, nil
}

// A report is being made.
type report struct {
	app     *App
	request *login.Request
	in      admin.Rollout
	out     admin.RolledOut
	parts   map[string]*admin.RolloutPart
	seen    map[string]bool // base DNs may overlap
	grouped bool            // a policy asks for groups
}

func (r *report) add(ctx context.Context, who login.Identity) error {
	if r.seen[who.ID] {
		return nil
	}
	r.seen[who.ID] = true
	if r.grouped {
		if err := who.Complete(ctx); err != nil {
			return err
		}
	}
	problem, err := r.app.people.Peek(ctx, who, r.out.At)
	if err == nil {
		problem, err = r.app.phoneless(ctx, r.request, who, problem, r.out.At)
	}
	if err != nil {
		return err
	}
	rule := r.app.engine.PolicyNow().WouldLetIn(r.request, &who, problem, r.out.At)
	if r.out.At.Before(r.request.Client.Observe) {
		rule = login.FactorObserve
	}
	user := admin.RolloutUser{Username: who.Username, Part: partOf(who.DN), Problem: string(problem), Rule: string(rule), Refused: problem != "" && rule == login.FactorNone}
	if r.parts[user.Part] == nil {
		r.parts[user.Part] = &admin.RolloutPart{Part: user.Part}
	}
	for _, sums := range []*admin.RolloutPart{r.parts[user.Part], &r.out.Total} {
		count(sums, problem, user)
	}
	if r.in.Users {
		r.out.Users = append(r.out.Users, user)
	}
	return nil
}

func count(p *admin.RolloutPart, problem login.Reason, user admin.RolloutUser) {
	p.Users++
	switch problem {
	case "":
		p.Ready++
	case login.NoNumber, login.BadNumber:
		p.NoNumber++
	case login.NoDevice:
		p.NoDevice++
	case login.OldApp:
		p.OldApp++
	default:
		p.Other++
	}
	if user.Rule != "" {
		p.Exempt++
	}
	if user.Refused {
		p.Refused++
	}
}

// partOf is where in the directory an entry is: the DN without its first part.
func partOf(dn string) string {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return strings.TrimSpace(dn[i+1:])
		}
	}
	return "-"
}

func (r *report) sum() admin.RolledOut {
	r.out.Parts = []admin.RolloutPart{}
	for _, p := range r.parts {
		r.out.Parts = append(r.out.Parts, *p)
	}
	slices.SortFunc(r.out.Parts, func(a, b admin.RolloutPart) int { return strings.Compare(a.Part, b.Part) })
	r.out.At, r.out.Refused, r.out.Total.Part = r.out.At.Round(time.Second), r.out.Total.Refused, "all"
	return r.out
}
