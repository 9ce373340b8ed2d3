package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"vssgate/internal/accounting"
	"vssgate/radius"
)

// accounts are what NASes tell of sessions, and where it is kept.
type accounts struct {
	sessions *accounting.Sessions // nil: accounting is not taken
	file     *accounting.File     // nil: it is only sent on
	runs     []func(context.Context) error
}

// buildAccounting returns nil where accounting is not taken.
func (a *App) buildAccounting() (radius.Accountant, error) {
	c := a.config().RADIUS.Accounting
	if !c.On() {
		return nil, nil
	}
	all := &a.accounting
	all.sessions = accounting.NewSessions(a.loginOf)
	books := &accounting.Books{Sessions: all.sessions}
	if c.File != "" {
		if filepath.Dir(c.File) == a.config().DataDir {
			if err := os.MkdirAll(a.config().DataDir, 0o700); err != nil {
				return nil, fmt.Errorf("data_dir: %w", err)
			}
		}
		var err error
		if all.file, err = accounting.Open(c.File, a.log); err != nil {
			return nil, fmt.Errorf("radius.accounting.file: %w", err)
		}
		all.file.Keep = a.config().Audit.Keep
		books.Keepers, all.runs = append(books.Keepers, all.file), append(all.runs, all.file.Run)
	}
	if len(c.Forward) > 0 {
		var to []radius.Destination
		for _, f := range c.Forward {
			to = append(to, radius.Destination{Address: f.Address, Secret: f.Secret})
		}
		relay, err := radius.NewRelay(to, a.log)
		if err != nil {
			return nil, fmt.Errorf("radius.accounting.forward: %w", err)
		}
		books.Keepers, all.runs = append(books.Keepers, relay), append(all.runs, relay.Run)
	}
	return books, nil
}
