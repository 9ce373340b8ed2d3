package login

import "context"

// KeyOf is for tests that look into the store.
var KeyOf = keyOf

// Conjure writes into an open login what no node of ours would.
func (e *Engine) Conjure(ctx context.Context, id ID, change func(*Attempt)) error {
	s, err := e.load(ctx, id)
	if err != nil {
		return err
	}
	change(&s.Attempt)
	return e.save(ctx, s, Condition{})
}

// Work and WaitForAll are for tests of the crew.
func (e *Engine) Work(f func()) { e.working.Go(f) }
func (e *Engine) WaitForAll()   { e.working.Wait() }
