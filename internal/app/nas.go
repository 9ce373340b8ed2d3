package app

import (
	"context"
	"slices"
	"strconv"
	"time"
	"unicode"

	"vssgate/internal/admin"
	"vssgate/internal/config"
	"vssgate/internal/nas"
	"vssgate/radius"
)

// nasClient is the RADIUS client with that name.
func (a *App) nasClient(name string) (config.RADIUSClient, error) {
	all := a.config().RADIUS.Clients
	i := slices.IndexFunc(all, func(c config.RADIUSClient) bool { return c.Name == name })
	if i < 0 {
		return config.RADIUSClient{}, wrong("there is no RADIUS client %q; see radius.clients in the configuration", name)
	}
	return all[i], nil
}

// forgetNAS turns the Message-Authenticator ratchets of a client's NASes back.
func (a *App) forgetNAS(ctx context.Context, by string, in admin.NAS) (admin.Forgotten, error) {
	if _, err := a.nasClient(in.Client); err != nil {
		return admin.Forgotten{}, err
	}
	if err := a.record(by, "nas forget", in.Client, in.Why); err != nil {
		return admin.Forgotten{}, err
	}
	n, err := a.ratchets.Forget(ctx, in.Client)
	if err != nil {
		return admin.Forgotten{}, err
	}
	a.radius.Forget(in.Client) // what is not saved yet, too
	return admin.Forgotten{Client: in.Client, NASes: n}, nil
}

// timers are what the NASes of all clients have shown of their patience.
func (a *App) timers() (all []nas.Timers) {
	for _, t := range a.radius.Timers() {
		all = append(all, nas.Timers(t))
	}
	return all
}

// timersOf are those of one client, as commands print them.
func (a *App) timersOf(client string) []admin.Timers {
	all := []admin.Timers{}
	if a.radius == nil {
		return all
	}
	for _, t := range a.timers() {
		if t.Client == client {
			all = append(all, admin.Timers{
				Method: t.Method, GapMS: t.Gap.Milliseconds(), Tries: t.Tries, WaitMS: t.Wait.Milliseconds(), AtLeastMS: t.AtLeast.Milliseconds(),
				GiveUps: t.GiveUps, Seen: t.Seen, Advice: t.Advice(a.hold(client)),
			})
		}
	}
	return all
}

// hold is a client's, as configured; 0: there is no such client.
func (a *App) hold(client string) time.Duration {
	c, err := a.nasClient(client)
	if err != nil {
		return 0
	}
	return c.Hold
}

// seenNASes is what was measured of each client.
func (a *App) seenNASes(context.Context, string, admin.None) ([]admin.SeenClient, error) {
	all := []admin.SeenClient{}
	if a.radius == nil {
		return all, nil
	}
	nases := a.radius.NASes()
	for _, c := range a.config().RADIUS.Clients {
		one := admin.SeenClient{
			Client: c.Name, Mode: c.Mode, HoldMS: c.Hold.Milliseconds(), RequireMessageAuthenticator: c.RequireMessageAuthenticator,
			Timers: a.timersOf(c.Name), NASes: []admin.SeenNAS{},
		}
		for _, n := range nases {
			if n.Client == c.Name {
				one.NASes = append(one.NASes, seenNAS(n))
			}
		}
		all = append(all, one)
	}
	return all, nil
}

func seenNAS(n radius.NAS) admin.SeenNAS {
	return admin.SeenNAS{
		From: n.Source.String(), Identifier: printable(n.Identifier), Signs: n.Required,
		Bare: ifAny(n.Bare), PreviousSecret: ifAny(n.Previous), Seen: ifAny(n.Seen),
	}
}

func ifAny(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printable is what a NAS calls itself, quoted where that is no plain text.
func printable(identifier string) string {
	if slices.ContainsFunc([]rune(identifier), func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(identifier)
	}
	return identifier
}
