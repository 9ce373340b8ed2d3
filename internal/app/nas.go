package app

import (
	"context"
	"slices"

	"vssgate/internal/admin"
	"vssgate/internal/config"
)

// nasClient is the RADIUS client with that name.
func (a *App) nasClient(name string) (config.RADIUSClient, error) {
	all := a.config.RADIUS.Clients
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
	a.radius.Forget(in.Client)
	return admin.Forgotten{Client: in.Client, NASes: n}, nil
}
