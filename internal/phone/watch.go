package phone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// pollTime is how long one request of watch waits for news.
const pollTime = 55 * time.Second

// retryTime is how long watch waits after the server could not be reached.
const retryTime = 2 * time.Second

// news is a new list, or why there is none.
type news struct {
	list List
	err  error
}

// watch shows logins as they come and answers by key press, until q, the end
// of the input or the end of ctx. A refusal that cannot pass ends it too.
func watch(ctx context.Context, c *Client, s *screen, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lists := make(chan news)
	go follow(ctx, c, lists)
	w := &watcher{client: c, screen: s}
	keys := make(chan byte)
	go press(ctx, in, keys)
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-lists:
			if n.err != nil && !passing(n.err) {
				return n.err
			}
			w.news(n)
		case key, open := <-keys:
			if !open || key == 'q' {
				return nil
			}
			w.press(ctx, key)
		}
	}
}

// follow sends each version of the list once.
func follow(ctx context.Context, c *Client, lists chan<- news) {
	wait, since := time.Duration(0), ""
	for {
		list, err := c.Logins(ctx, wait, since)
		if ctx.Err() != nil {
			return
		}
		if err == nil && wait > 0 && list.Version == since {
			continue // the wait is over, nothing has changed
		}
		select {
		case lists <- news{list, err}:
		case <-ctx.Done():
			return
		}
		if err == nil {
			wait, since = pollTime, list.Version
			continue
		}
		select {
		case <-time.After(retryTime):
		case <-ctx.Done():
			return
		}
	}
}

// passing: the server is away or busy, not unwilling.
func passing(err error) bool {
	var p *Problem
	return !errors.As(err, &p) || p.Status == 429 || p.Status >= 500 || p.Code == "replayed"
}

// press reads single keys. It ends with the input; a read that blocks is left
// to the end of the program.
func press(ctx context.Context, in io.Reader, keys chan<- byte) {
	defer close(keys)
	r := bufio.NewReader(in)
	for {
		key, err := r.ReadByte()
		if err != nil {
			return
		}
		select {
		case keys <- key:
		case <-ctx.Done():
			return
		}
	}
}

// A watcher is what watch knows: the list, and a number being typed.
type watcher struct {
	client *Client
	screen *screen
	list   List
	top    int    // the login that keys answer
	typing bool   // a number
	number string //
	failed bool   // the last news was an error
}

func (w *watcher) news(n news) {
	if n.err != nil {
		if !w.failed {
			fmt.Fprintln(w.screen.out, n.err)
		}
		w.failed = true
		return
	}
	w.failed = false
	w.list, w.top = n.list, 0
	w.typing, w.number = false, ""
	w.screen.show(n.list)
	if len(n.list.Logins) > 0 {
		fmt.Fprintln(w.screen.out, words[w.screen.lang()].keys)
	}
}

func (w *watcher) press(ctx context.Context, key byte) {
	if len(w.list.Logins) == 0 {
		return
	}
	if w.typing {
		w.digit(ctx, key)
		return
	}
	l := w.list.Logins[w.top]
	switch {
	case key == 'a' && l.Approval == "number":
		w.typing = true
		fmt.Fprint(w.screen.out, words[w.screen.lang()].number)
	case key == 'a':
		w.send(ctx, l, Answer{Answer: "approve"})
	case key == 'd':
		w.send(ctx, l, Answer{Answer: "deny"})
	case key == 'r':
		w.send(ctx, l, Answer{Answer: "report"})
	case key >= '1' && int(key-'1') < len(w.list.Logins):
		w.top = int(key - '1')
	}
}

func (w *watcher) digit(ctx context.Context, key byte) {
	switch {
	case key >= '0' && key <= '9':
		w.number += string(key)
		fmt.Fprintf(w.screen.out, "%c", key)
	case (key == '\n' || key == '\r') && w.number != "":
		number := w.number
		w.typing, w.number = false, ""
		fmt.Fprintln(w.screen.out)
		w.send(ctx, w.list.Logins[w.top], Answer{Answer: "approve", Number: number})
	}
}

// send answers with what was shown, so that it is signed too.
func (w *watcher) send(ctx context.Context, l Login, a Answer) {
	a.Shown = &Shown{Client: l.Client, From: l.From, Username: l.Username, Created: l.Created}
	done, err := w.client.Answer(ctx, l.ID, a)
	if err != nil {
		fmt.Fprintln(w.screen.out, err)
		return
	}
	w.screen.answered(done)
}
