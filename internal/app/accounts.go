package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vssgate/internal/admin"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// known is the account of USER: as at login, or, when the directory does not
// know USER any more, one that was mentioned before; id is nil then.
func (a *App) known(ctx context.Context, user string) (id *login.Identity, account enrol.Account, err error) {
	found, account, err := a.mention(ctx, user)
	if err == nil || !errors.Is(err, admin.ErrWrong) {
		return &found, account, err
	}
	all, listErr := a.people.Accounts(ctx)
	if listErr != nil {
		return nil, account, listErr
	}
	for _, old := range all {
		if strings.EqualFold(old.Username, user) || old.ID == user {
			return nil, old, nil
		}
	}
	return nil, account, err
}

func (a *App) setNumbers(ctx context.Context, by string, in admin.SetNumbers) (admin.Account, error) {
	id, before, err := a.mention(ctx, in.User)
	if err != nil {
		return admin.Account{}, err
	}
	account, action := before, "account set"
	if in.Organisation {
		action = "account set organisation"
		account, err = a.people.SetKind(ctx, id, enrol.OfOrganisation)
	}
	if err == nil && in.BHXHNumber+in.PersonalID != "" {
		account, err = a.people.SetNumbers(ctx, id, in.BHXHNumber, in.PersonalID)
	}
	if err != nil {
		return admin.Account{}, mend(err)
	}
	return a.changed(ctx, by, action, id, before, account)
}

func (a *App) assign(ctx context.Context, by string, in admin.Assign) (admin.Account, error) {
	id, before, err := a.mention(ctx, in.User)
	if err != nil {
		return admin.Account{}, err
	}
	given := enrol.Entry{Custodian: in.Custodian, Document: in.Document, DocumentDate: in.DocumentDate, From: in.From, Until: in.Until}
	assigned, err := given.Assignment(a.config().Location)
	if err != nil {
		return admin.Account{}, wrong("%w", err)
	}
	account, err := a.people.Assign(ctx, id, assigned)
	if errors.Is(err, enrol.ErrNotOrganisation) {
		return admin.Account{}, wrong("%s is a person's account; make it an organisation's with: vssgate account set %s --organisation", account.Username, in.User)
	}
	if err != nil {
		return admin.Account{}, mend(err)
	}
	return a.changed(ctx, by, "account assign", id, before, account)
}

// mend marks what the caller can mend.
func mend(err error) error {
	for _, theirs := range []error{enrol.ErrNumber, enrol.ErrTwoPersons, enrol.ErrOrganisation, enrol.ErrNotOrganisation, enrol.ErrDocument, enrol.ErrPeriod, enrol.ErrKind} {
		if errors.Is(err, theirs) {
			return wrong("%w", err)
		}
	}
	return err
}

// changed notes a change of who answers for an account, and ends what is open:
// it was meant for the devices before.
func (a *App) changed(ctx context.Context, by, action string, id login.Identity, before, after enrol.Account) (admin.Account, error) {
	if err := a.record(by, action, after.ID, ""); err != nil {
		return admin.Account{}, err
	}
	if err := a.endFormer(ctx, before, after.Person); err != nil {
		return admin.Account{}, err
	}
	return a.describe(ctx, after, &id, false)
}

// endFormer ends what is open for whom the account was before, and tells them.
func (a *App) endFormer(ctx context.Context, before enrol.Account, now string) error {
	if before.Person == "" || before.Person == now {
		return nil
	}
	if now != "" {
		a.prompter.Notice(login.Notice{Person: before.Person, Word: login.NoticeNumber})
	}
	return a.engine.Withdraw(ctx, before.Person, func(id, _ string) bool { return id == before.ID })
}

func assignment(held enrol.Assignment, shown func(secret.Secret) string) admin.Assignment {
	out := admin.Assignment{Custodian: shown(held.Number), Document: held.Document, DocumentDate: held.DocumentDate, From: held.From, Made: held.Made}
	if !held.Until.IsZero() {
		out.Until = &held.Until
	}
	return out
}

func (a *App) removeAccount(ctx context.Context, by string, in admin.Remove) (admin.Removed, error) {
	if in.Why == "" {
		return admin.Removed{}, wrong("removing an account needs a reason")
	}
	_, account, err := a.known(ctx, in.User)
	if err != nil {
		return admin.Removed{}, err
	}
	if err := a.record(by, "account remove", account.ID, in.Why); err != nil {
		return admin.Removed{}, err
	}
	if err := a.endFormer(ctx, account, ""); err != nil {
		return admin.Removed{}, err
	}
	done, err := a.people.Remove(ctx, account.ID)
	if err != nil {
		return admin.Removed{}, err
	}
	return admin.Removed{Account: account.Username, Numbers: done.Numbers, Devices: done.Devices, Codes: done.Codes, Kept: []string{
		fmt.Sprintf("audit records, for %s (audit.keep): who logged in and who changed what must stay provable", a.config().Audit.Keep),
		"that the keys of erased devices are revoked, without name or owner: a stolen phone must not come back",
		"how many codes were wrong lately, under a pseudonym: removing an account must not unlock it",
	}}, nil
}

// importAccounts checks all rows before the first is written. What fails in
// between is the store's; the same import again goes on from there.
func (a *App) importAccounts(ctx context.Context, by string, in admin.Import) (admin.Imported, error) {
	out := admin.Imported{Bad: []admin.BadRow{}}
	ids := make([]login.Identity, len(in.Rows))
	for i, row := range in.Rows {
		id, why, err := a.importable(ctx, entry(row))
		if err != nil {
			return out, err
		}
		if ids[i] = id; why != nil {
			out.Bad = append(out.Bad, admin.BadRow{Line: row.Line, Why: why.Error()})
		}
	}
	if in.Check || len(out.Bad) > 0 {
		return out, nil
	}
	for i, row := range in.Rows {
		if err := a.importOne(ctx, ids[i], row); err != nil {
			return out, fmt.Errorf("line %d: %w (the lines before it are imported; the same import again goes on from here)", row.Line, err)
		}
	}
	return out, a.record(by, "account import", fmt.Sprintf("%d of %d accounts", len(in.Rows), in.All), "")
}

// importable finds whose account an entry is, or why it cannot be imported.
func (a *App) importable(ctx context.Context, e enrol.Entry) (id login.Identity, why, err error) {
	if why := e.Check(); why != nil {
		return id, why, nil
	}
	if id, err = a.resolve(ctx, e.Username); errors.Is(err, admin.ErrWrong) {
		return id, errors.New(strings.TrimSpace(err.Error())), nil
	}
	if err == nil && e.BHXH+e.Personal != "" {
		err = a.people.Agree(ctx, e.BHXH, e.Personal)
	}
	if errors.Is(err, enrol.ErrTwoPersons) {
		return id, err, nil
	}
	return id, nil, err
}

func entry(r admin.Row) enrol.Entry {
	return enrol.Entry{Username: r.Username, Kind: r.Kind, BHXH: r.BHXHNumber, Personal: r.PersonalID, Custodian: r.Custodian,
		Document: r.Document, DocumentDate: r.DocumentDate, From: r.From, Until: r.Until}
}

func (a *App) importOne(ctx context.Context, id login.Identity, row admin.Row) error {
	before, _, err := a.people.Mention(ctx, id)
	if err != nil {
		return err
	}
	after, err := a.declare(ctx, id, before, entry(row))
	if err != nil {
		return err
	}
	return a.endFormer(ctx, before, after.Person)
}

// declare makes an account what an entry says.
func (a *App) declare(ctx context.Context, id login.Identity, account enrol.Account, e enrol.Entry) (enrol.Account, error) {
	var err error
	if e.Kind != "" {
		kind, _ := enrol.ParseKind(e.Kind)
		if account, err = a.people.SetKind(ctx, id, kind); err != nil {
			return account, err
		}
	}
	switch {
	case e.BHXH+e.Personal != "":
		return a.people.SetNumbers(ctx, id, e.BHXH, e.Personal)
	case e.Custodian != "":
		assigned, err := e.Assignment(a.config().Location)
		if err != nil {
			return account, err
		}
		return a.people.Assign(ctx, id, assigned)
	}
	return account, nil
}

// exportAccounts reveals all numbers, in the form that import reads.
func (a *App) exportAccounts(ctx context.Context, by string, in admin.ExportAccounts) ([]admin.Row, error) {
	if in.Why == "" {
		return nil, wrong("exporting numbers needs a reason")
	}
	all, err := a.people.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]admin.Row, 0, len(all))
	for i, account := range all {
		rows = append(rows, a.row(i+2, account))
	}
	return rows, a.record(by, "account export", fmt.Sprintf("%d accounts", len(rows)), in.Why)
}

func (a *App) row(line int, account enrol.Account) admin.Row {
	out := admin.Row{Line: line, Username: account.Username, Kind: string(account.Kind), BHXHNumber: account.BHXH.Reveal(), PersonalID: account.Personal.Reveal()}
	if n := len(account.Assignments); n > 0 {
		held := account.Assignments[n-1]
		out.Custodian, out.Document, out.DocumentDate = held.Number.Reveal(), held.Document, held.DocumentDate
		out.From = held.From.In(a.config().Location).Format(time.DateOnly)
		if !held.Until.IsZero() {
			out.Until = held.Until.In(a.config().Location).AddDate(0, 0, -1).Format(time.DateOnly)
		}
	}
	return out
}
