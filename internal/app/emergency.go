package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"vssgate/internal/admin"
	"vssgate/internal/alert"
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
)

func (a *App) emergencyOn(ctx context.Context, by string, in admin.EmergencyOn) (admin.Emergency, error) {
	if strings.TrimSpace(in.Why) == "" {
		return admin.Emergency{}, wrong("an emergency needs a reason")
	}
	if !a.isGroup(in.Group) {
		return admin.Emergency{}, wrong("--group %q is no DN; want that of the group that may log in on the password alone, as users have it", in.Group)
	}
	lasts := time.Duration(in.Minutes) * time.Minute
	// Noted before it takes effect: an emergency that nobody can be asked about is none.
	if err := a.record(by, "emergency on", in.Group, fmt.Sprintf("%d minutes: %s", in.Minutes, in.Why)); err != nil {
		return admin.Emergency{}, err
	}
	em, err := a.engine.DeclareEmergency(ctx, login.Emergency{Group: in.Group, By: by, Why: in.Why}, lasts)
	if err != nil {
		err = errors.Join(err, a.record(by, "emergency on: refused", in.Group, err.Error()))
	}
	switch {
	case errors.Is(err, login.ErrEmergencyOn) && !em.Until.IsZero():
		return admin.Emergency{}, wrong("%w (until %s)", err, em.Until.In(a.config().Location).Format("15:04:05 MST"))
	case errors.Is(err, login.ErrEmergencyOn), errors.Is(err, login.ErrEmergencySpan):
		return admin.Emergency{}, wrong("%w", err)
	case err != nil:
		return admin.Emergency{}, err
	}
	a.log.Warn("EMERGENCY declared: this group logs in on the password alone", alert.Kind("emergency_on"), "group", em.Group, "until", em.Until, "by", by, "why", em.Why)
	out, err := a.emergencyStatus(ctx, by, admin.None{})
	if out.Warning = a.unknownGroup(ctx, in.Group); out.Warning != "" {
		a.log.Warn("the emergency's group was not found", "group", in.Group, "warning", out.Warning)
	}
	return out, err
}

// unknownGroup is a warning where no first factor shows a group: it may be
// misspelt. "": one does. The emergency is on whatever they say, for they may be
// what is out of order.
func (a *App) unknownGroup(ctx context.Context, group string) string {
	var asked, silent []string
	for name, f := range a.directories() {
		first, can := f.FirstFactor.(interface {
			HasGroup(ctx context.Context, group string) (bool, error)
		})
		if !can {
			continue
		}
		has, err := first.HasGroup(ctx, group)
		switch {
		case has:
			return ""
		case err != nil:
			a.log.Warn("a first factor was not asked for the emergency's group", "first_factor", name, "error", err)
			silent = append(silent, name)
		default:
			asked = append(asked, name)
		}
	}
	slices.Sort(asked)
	slices.Sort(silent)
	said := fmt.Sprintf("the group %s was not found (looked for in: %s", group, cmp.Or(strings.Join(asked, ", "), "nothing that could be asked"))
	if len(silent) > 0 {
		said += "; gave no answer: " + strings.Join(silent, ", ")
	}
	return said + "): if it is misspelt, this emergency lets nobody in; to mend it: vssgate emergency off, then on again"
}

// isGroup tells whether somebody can be in a group of that name: a DN, or a
// bare name where there are users in files.
func (a *App) isGroup(name string) bool {
	if !strings.Contains(name, "=") {
		files := slices.ContainsFunc(a.config().FirstFactors, func(f config.FirstFactor) bool { return f.File != "" })
		return files && strings.TrimSpace(name) != ""
	}
	dn, err := directory.NormalizeDN(name)
	return err == nil && dn != ""
}

func (a *App) emergencyOff(ctx context.Context, by string, in admin.EmergencyOff) (admin.Emergency, error) {
	if err := a.engine.EndEmergency(ctx); err != nil {
		return admin.Emergency{}, err
	}
	if err := a.record(by, "emergency off", "", in.Why); err != nil {
		return admin.Emergency{}, err
	}
	return a.emergencyStatus(ctx, by, admin.None{})
}

func (a *App) emergencyStatus(ctx context.Context, _ string, _ admin.None) (admin.Emergency, error) {
	em, err := a.engine.EmergencyOn(ctx)
	a.emergency.note(em)
	if err != nil || em == nil {
		return admin.Emergency{}, err
	}
	return admin.Emergency{On: true, Group: em.Group, Until: &em.Until, By: em.By, Why: em.Why}, nil
}

// An emergencyLamp shows in every log line that an emergency is on.
type emergencyLamp struct {
	on atomic.Pointer[login.Emergency]
}

func (l *emergencyLamp) note(em *login.Emergency) { l.on.Store(em) }

// watchEmergency keeps the lamp right: one declared on another node, and one
// that has ended by itself.
func (a *App) watchEmergency(ctx context.Context) {
	for {
		em, err := a.engine.EmergencyOn(ctx)
		if err == nil {
			was := a.emergency.on.Load()
			a.emergency.note(em)
			if was != nil && em == nil {
				a.log.Warn("the emergency has ended: the second factor is needed again", alert.Kind("emergency_off"), "group", was.Group)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(healthEvery):
		}
	}
}

// lampHandler adds the emergency to every record while one is on.
type lampHandler struct {
	slog.Handler
	lamp *emergencyLamp
}

func (h lampHandler) Handle(ctx context.Context, r slog.Record) error {
	if em := h.lamp.on.Load(); em != nil {
		r.AddAttrs(slog.Time("emergency_until", em.Until))
	}
	return h.Handler.Handle(ctx, r)
}

func (h lampHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lampHandler{h.Handler.WithAttrs(attrs), h.lamp}
}

func (h lampHandler) WithGroup(name string) slog.Handler {
	return lampHandler{h.Handler.WithGroup(name), h.lamp}
}
