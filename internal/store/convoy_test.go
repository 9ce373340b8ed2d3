package store

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A road is where convoys go: each waits until it is let through.
type road struct {
	left    chan []call
	through chan bool
}

func (r *road) send(_ context.Context, calls []call) (answers []any, errs []error) {
	r.left <- calls
	<-r.through
	for _, c := range calls {
		answers, errs = append(answers, c.keys[0]), append(errs, nil)
		if c.keys[0] == "bad" {
			errs[len(errs)-1] = errors.New("refused")
		}
	}
	return answers, errs
}

func TestWhatIsAskedWhileOthersAreUnderWayGoesTogether(t *testing.T) {
	r := &road{left: make(chan []call), through: make(chan bool)}
	v := &convoy{send: r.send}
	ask := func(ctx context.Context, keys ...string) *errand {
		e := &errand{ctx: ctx, done: make(chan struct{})}
		for _, key := range keys {
			e.calls = append(e.calls, call{keys: []string{key}})
		}
		v.add(e)
		return e
	}
	ctx := context.Background()
	for range lanes {
		ask(ctx, "alone")
		require.Len(t, <-r.left, 1, "nobody is waited for")
	}
	first := ask(ctx, "a", "b")
	impatient, cancel := context.WithCancel(ctx)
	gone := ask(impatient, "never sent")
	cancel()
	bad, last := ask(ctx, "c", "bad", "d"), ask(ctx, "e")

	r.through <- true
	together := <-r.left
	close(r.through)
	require.Len(t, together, 6, "all but what nobody waits for any more")
	for e, want := range map[*errand][]any{first: {"a", "b"}, bad: {"c", "bad", "d"}, last: {"e"}} {
		<-e.done
		require.Equal(t, want, e.answers)
	}
	require.NoError(t, first.err)
	require.NoError(t, last.err)
	require.EqualError(t, bad.err, "refused", "one caller's failure is his own")
	<-gone.done
	require.ErrorIs(t, gone.err, context.Canceled)
	require.Empty(t, gone.answers)
}
