package app

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vssgate/internal/alert"
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
)

var allowed = map[string]login.FactorSet{
	"approve": login.AllowApprove, "code": login.AllowCode, "totp": login.AllowTOTP, "recovery": login.AllowRecovery, "help": login.AllowHelp,
}

func factorSet(names []string) (set login.FactorSet) {
	for _, name := range names {
		set |= allowed[name]
	}
	return set
}

var requires = map[string]login.Require{
	"always": login.RequireAlways, "from": login.RequireFrom, "if_device": login.RequireIfDevice, "never": login.RequireNever,
}

// rules are the policies of the configuration as the core asks them.
func rules(all []config.Policy) (rules []login.Rule) {
	for i, p := range all {
		m := matcher{p.Match}
		rules = append(rules, login.Rule{
			Name: policyName(i), Match: m.matches, Require: requires[p.Require], Date: p.At, Network: len(p.Match.Networks) > 0, Factors: factorSet(p.Factors),
		})
	}
	return rules
}

// A matcher is a policy's match. What is not given matches everybody.
type matcher struct{ config.Match }

func (m matcher) matches(r *login.Request, who *login.Identity) bool {
	return (len(m.Client) == 0 || slices.Contains(m.Client, r.Client.Name)) &&
		(len(m.Networks) == 0 || inside(m.Networks, r)) &&
		(len(m.Under) == 0 || slices.ContainsFunc(m.Under, func(base string) bool { return directory.Below(who.DN, base) })) &&
		(len(m.Group) == 0 || slices.ContainsFunc(m.Group, func(g string) bool { return inGroup(who.Groups, g) }))
}

// inside tells whether the user is in one of the networks. Without an address
// of the user's nobody is inside: the NAS's own says nothing.
func inside(networks []netip.Prefix, r *login.Request) bool {
	at, err := netip.ParseAddr(r.Station)
	if err != nil {
		return false
	}
	at = at.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(at) })
}

// inGroup is login.Options.InGroup. Groups are DNs, compared normalised: one of
// the same name elsewhere in the directory is another. Users in files have bare
// names for groups, and only they match a bare name.
func inGroup(groups []string, group string) bool {
	if !strings.Contains(group, "=") {
		return slices.ContainsFunc(groups, func(g string) bool { return !strings.Contains(g, "=") && strings.EqualFold(g, group) })
	}
	want, err := directory.NormalizeDN(group)
	return err == nil && slices.ContainsFunc(groups, func(g string) bool {
		has, err := directory.NormalizeDN(g)
		return err == nil && has == want
	})
}

func policyName(i int) string { return "policies[" + strconv.Itoa(i) + "]" }

// An exemption is something that lets in without a second factor until a day.
type exemption struct {
	rule string
	ends time.Time
	why  string
}

func (a *App) exemptions() (all []exemption) {
	for i, p := range a.config().SecondFactor.Policies {
		if p.Require == "never" {
			all = append(all, exemption{policyName(i), p.At, p.Why})
		}
	}
	for _, c := range a.config().RADIUS.Clients {
		if !c.Observe.Ends.IsZero() {
			all = append(all, exemption{"observe " + c.Name, c.Observe.Ends, c.Observe.Why})
		}
	}
	return all
}

// exemptionEnds is told of the exemptions that there are when it is asked for,
// so also right after a reload.
type exemptionEnds func() []exemption

var exemptionEndsDesc = prometheus.NewDesc("vssgate_exemption_ends_seconds", "Until an exemption from the second factor ends, by its rule; negative: it has ended.", []string{"rule"}, nil)

// Describe implements prometheus.Collector.
func (exemptionEnds) Describe(ch chan<- *prometheus.Desc) { ch <- exemptionEndsDesc }

// Collect implements prometheus.Collector.
func (all exemptionEnds) Collect(ch chan<- prometheus.Metric) {
	for _, x := range all() {
		ch <- prometheus.MustNewConstMetric(exemptionEndsDesc, prometheus.GaugeValue, time.Until(x.ends).Seconds(), x.rule)
	}
}

// announceAt are the days before its end on which an exemption is announced.
var announceAt = []int{1, 7, 30}

// stage is which announcement is due: 0 none, else its days.
func stage(left time.Duration) int {
	for _, days := range announceAt {
		if left <= time.Duration(days)*24*time.Hour {
			return days
		}
	}
	return 0
}

// announceExemptions says in the log that exemptions end: 30, 7 and 1 days
// ahead, or at the start when one of those days has passed.
func (a *App) announceExemptions(ctx context.Context) {
	said := map[exemption]int{}
	for {
		for _, x := range a.exemptions() {
			left := time.Until(x.ends)
			if due := stage(left); due != 0 && left > 0 && said[x] != due {
				said[x] = due
				a.log.Warn("an exemption from the second factor ends; these users will be asked: vssgate rollout report tells who is not ready",
					alert.Kind("exemption_ends"), "rule", x.rule, "ends", x.ends.In(a.config().Location).Format(time.RFC3339), "days", due, "why", strings.TrimSpace(x.why))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
	}
}
