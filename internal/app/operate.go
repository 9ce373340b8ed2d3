package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"vssgate/internal/admin"
	"vssgate/internal/audit"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// commands are what `vssgate account`, `device` and `nas` ask of the daemon.
func (a *App) commands() *admin.Mux {
	m := &admin.Mux{}
	admin.Handle(m, "/status", a.status)
	admin.Handle(m, "/account/list", a.listAccounts)
	admin.Handle(m, "/account/show", a.showAccount)
	admin.Handle(m, "/account/set", a.setNumbers)
	admin.Handle(m, "/account/assign", a.assign)
	admin.Handle(m, "/account/unlock", a.unlock)
	admin.Handle(m, "/account/remove", a.removeAccount)
	admin.Handle(m, "/account/import", a.importAccounts)
	admin.Handle(m, "/account/export", a.exportAccounts)
	admin.Handle(m, "/account/totp", a.totp)
	admin.Handle(m, "/account/recovery-codes", a.recoveryCodes)
	admin.Handle(m, "/account/help-code", a.helpCode)
	admin.Handle(m, "/device/add", a.addDevice)
	admin.Handle(m, "/device/list", a.listDevices)
	admin.Handle(m, "/device/revoke", a.revokeDevice)
	admin.Handle(m, "/audit/export", a.exportAudit)
	admin.Handle(m, "/audit/head", a.auditHead)
	admin.Handle(m, "/rollout/report", a.rolloutReport)
	admin.Handle(m, "/emergency/on", a.emergencyOn)
	admin.Handle(m, "/emergency/off", a.emergencyOff)
	admin.Handle(m, "/emergency/status", a.emergencyStatus)
	admin.Handle(m, "/login/list", a.listLogins)
	admin.Handle(m, "/login/show", a.showLogin)
	admin.Stream(m, "/login/follow", a.followLogins)
	admin.Handle(m, "/nas/forget", a.forgetNAS)
	admin.Handle(m, "/nas/seen", a.seenNASes)
	return m
}

// status says where this daemon listens, as its configuration has it.
func (a *App) status(context.Context, string, admin.None) (admin.Status, error) {
	c := a.config()
	s := admin.Status{Listeners: map[string][]string{"vssid.listen": {c.VssID.Listen}, "metrics.listen": {c.Metrics.Listen}}}
	if a.radius != nil {
		s.Listeners["radius.listen"], s.Listeners["radius.tls.listen"] = c.RADIUS.Listen, c.RADIUS.TLS.Listen
		s.Listeners["radius.accounting.listen"] = c.RADIUS.Accounting.Listen
	}
	if a.ldap != nil {
		s.Listeners["ldap.listen"], s.Listeners["ldap.tls.listen"] = c.LDAP.Listen, c.LDAP.TLS.Listen
	}
	return s, nil
}

// wrong marks an error as the caller's to mend.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w%w", fmt.Errorf(format, args...), admin.ErrWrong)
}

// resolve finds whom USER means, as at login, in the first factors in their
// order.
func (a *App) resolve(ctx context.Context, user string) (login.Identity, error) {
	for _, f := range a.config().FirstFactors {
		id, err := a.directories()[f.Name].Resolve(ctx, user)
		if err != nil {
			return id, fmt.Errorf("first factor %s: %w", f.Name, err)
		}
		if id.ID != "" {
			return id, nil
		}
	}
	return login.Identity{}, wrong("nobody is called %q in the directory: check the spelling, base_dns and user_filter", user)
}

// mention resolves USER and creates the account on first mention.
func (a *App) mention(ctx context.Context, user string) (login.Identity, enrol.Account, error) {
	id, err := a.resolve(ctx, user)
	if err != nil {
		return id, enrol.Account{}, err
	}
	account, _, err := a.people.Mention(ctx, id)
	return id, account, err
}

func (a *App) record(by, action, target, why string) error {
	return a.audit.Admin(audit.Admin{By: by, Action: action, Target: target, Why: why})
}

// describe is what is known of an account; the numbers masked unless revealed.
func (a *App) describe(ctx context.Context, account enrol.Account, id *login.Identity, reveal bool) (admin.Account, error) {
	out := admin.Account{ID: account.ID, Username: account.Username, DisplayName: account.DisplayName, Devices: []admin.Device{}}
	out.Kind = cmp.Or(string(account.Kind), string(enrol.OfPerson))
	shown := enrol.Mask
	if reveal {
		shown = secret.Secret.Reveal
	}
	out.BHXHNumber, out.PersonalID = shown(account.BHXH), shown(account.Personal)
	for _, held := range account.Assignments {
		out.Assignments = append(out.Assignments, assignment(held, shown))
	}
	if id != nil {
		state, err := a.people.Account(ctx, *id)
		if err != nil {
			return out, err
		}
		out.Problem = string(state.Problem)
	}
	standing, err := a.engine.Standing(ctx, account.ID)
	if err != nil {
		return out, err
	}
	out.Standing = inStanding(standing)
	if out.Fallbacks, err = a.fallbacks(ctx, account); err != nil {
		return out, err
	}
	out.Locked, out.LockedUntil = standing.Locked, ifAny(standing.LockedUntil)
	if account.Person == "" {
		return out, nil
	}
	devices, err := a.people.Devices(ctx, account.Person)
	for _, d := range devices {
		out.Devices = append(out.Devices, device(d))
	}
	return out, err
}

func device(d enrol.Device) admin.Device {
	return admin.Device{
		ID: d.ID, Name: d.Name, Platform: d.Platform, AppVersion: d.AppVersion, Can: d.Can, Notifications: d.Notifications,
		Push: d.PushToken != "", SignedIn: d.SignedIn, Enrolled: d.Enrolled,
	}
}

func (a *App) listAccounts(ctx context.Context, _ string, _ admin.None) ([]admin.Account, error) {
	known, err := a.people.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	all := []admin.Account{}
	for _, account := range known {
		one, err := a.describe(ctx, account, nil, false)
		if err != nil {
			return nil, err
		}
		switch {
		case account.Person == "":
			one.Problem = string(login.NoNumber)
		case len(one.Devices) == 0:
			one.Problem = string(login.NoDevice)
		}
		all = append(all, one)
	}
	return all, nil
}

func (a *App) showAccount(ctx context.Context, by string, in admin.Show) (admin.Account, error) {
	id, account, err := a.known(ctx, in.User)
	if err != nil {
		return admin.Account{}, err
	}
	if in.Reveal {
		if in.Why == "" {
			return admin.Account{}, wrong("revealing a number needs a reason")
		}
		if err := a.record(by, "account reveal", account.ID, in.Why); err != nil {
			return admin.Account{}, err
		}
	}
	out, err := a.describe(ctx, account, id, in.Reveal)
	if err == nil {
		err = a.addLogins(ctx, &out)
	}
	return out, err
}

func inStanding(s login.Standing) *admin.Standing {
	return &admin.Standing{
		Reported: s.Reported, WrongCodes: s.WrongCodes, LocksAt: s.LocksAt, WrongPasswords: s.WrongPasswords, ThrottledUntil: ifAny(s.ThrottledUntil),
		Prompts: s.Prompts, PromptedFrom: ifAny(s.PromptedFrom),
	}
}

// lastLogins is how many of an account's logins are shown with it.
const lastLogins = 5

// addLogins adds an account's logins: those that are open, on any node, and the
// latest in this node's audit.
func (a *App) addLogins(ctx context.Context, out *admin.Account) error {
	out.Logins = []admin.Login{}
	err := a.engine.Overviews(ctx, func(o login.Overview) bool {
		if o.Account == out.ID {
			l := openLogin(o)
			out.Logins = append(out.Logins, loginLine(&l))
		}
		return true
	})
	if err != nil {
		return err
	}
	files, err := audit.Files(a.config().Audit.File)
	if err != nil {
		return err
	}
	latest, err := audit.Latest(files, out.ID, lastLogins, searchAudit)
	for i := range latest {
		out.Logins = append(out.Logins, auditedLogin(&latest[i]))
	}
	return err
}

func (a *App) unlock(ctx context.Context, by string, in admin.Unlock) (admin.Account, error) {
	if in.Why == "" {
		return admin.Account{}, wrong("unlocking needs a reason")
	}
	id, account, err := a.mention(ctx, in.User)
	if err != nil {
		return admin.Account{}, err
	}
	if err := a.record(by, "account unlock", account.ID, in.Why); err != nil {
		return admin.Account{}, err
	}
	if err := a.engine.Unlock(ctx, account.ID); err != nil {
		return admin.Account{}, err
	}
	return a.describe(ctx, account, &id, false)
}

func (a *App) addDevice(ctx context.Context, by string, in admin.User) (admin.Activation, error) {
	_, account, err := a.mention(ctx, in.User)
	if err != nil {
		return admin.Activation{}, err
	}
	if account.Kind == enrol.OfOrganisation {
		return admin.Activation{}, wrong("%s is an organisation's account: its custodian's own phones answer for it; use vssgate device add --account with the custodian's account, and vssgate account assign %s to name another custodian", account.Username, in.User)
	}
	activation, err := a.people.AddActivation(ctx, account.ID)
	if errors.Is(err, enrol.ErrNoNumber) {
		return admin.Activation{}, wrong("no social insurance number is known for %s: fill in the directory's attribute, or vssgate account set %s --bhxh-number N", account.Username, account.Username)
	}
	if err != nil {
		return admin.Activation{}, err
	}
	if err := a.record(by, "device add", account.ID, ""); err != nil {
		return admin.Activation{}, err
	}
	p := activation.Print()
	return admin.Activation{ActivationCode: p.ActivationCode, TypedCode: p.TypedCode, Expires: p.Expires, URL: p.URL}, nil
}

func (a *App) listDevices(ctx context.Context, _ string, in admin.User) ([]admin.Device, error) {
	_, account, err := a.mention(ctx, in.User)
	if err != nil {
		return nil, err
	}
	described, err := a.describe(ctx, account, nil, false)
	return described.Devices, err
}

func (a *App) revokeDevice(ctx context.Context, by string, in admin.Revoke) (admin.Device, error) {
	d, err := a.people.Revoke(ctx, in.Device)
	if errors.Is(err, enrol.ErrNotFound) {
		return admin.Device{}, wrong("no device %q: vssgate device list --account USER shows their ids", in.Device)
	}
	if err != nil {
		return admin.Device{}, err
	}
	if err := a.record(by, "device revoke", d.ID, in.Why); err != nil {
		return admin.Device{}, err
	}
	// What it approved must not be collected, and a code that it showed must not
	// let in: a stolen phone is why devices are revoked.
	return device(d), a.engine.Withdraw(ctx, d.Person, func(_, _ string) bool { return true })
}

// auditHead tells which record is the newest, for verify.
func (a *App) auditHead(context.Context, string, admin.None) (admin.AuditHead, error) {
	return admin.AuditHead{File: a.config().Audit.File, Hash: a.audit.Head()}, nil
}

// exportAudit notes that somebody reads one person's records, and says which
// they are: those of all accounts and devices of the person.
func (a *App) exportAudit(ctx context.Context, by string, in admin.Export) (admin.Exported, error) {
	_, account, err := a.mention(ctx, in.User)
	if err != nil {
		return admin.Exported{}, err
	}
	if in.Why == "" {
		return admin.Exported{}, wrong("exporting a person's records needs a reason")
	}
	out := admin.Exported{File: a.config().Audit.File, IDs: []string{account.ID}}
	if account.Person != "" {
		accounts, err := a.people.AccountsOf(ctx, account.Person)
		if err != nil {
			return out, err
		}
		devices, err := a.people.Devices(ctx, account.Person)
		if err != nil {
			return out, err
		}
		for _, other := range accounts {
			out.IDs = append(out.IDs, other.ID)
		}
		for _, d := range devices {
			out.IDs = append(out.IDs, d.ID)
		}
	}
	return out, a.record(by, "audit export", account.ID, in.Why)
}
