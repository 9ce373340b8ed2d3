package phoneapi

import (
	"context"
	"sync"
)

// maxPolls is how many long polls one device may have open. The oldest is
// answered when it opens one more: a phone that lost its connection asks anew
// before the server notices.
const maxPolls = 4

// polls are the open long polls by device.
type polls struct {
	mu     sync.Mutex
	open   map[string][]*poll
	closed bool
}

type poll struct{ end context.CancelFunc }

// hold returns a context that also ends when the device opens too many polls.
// done must be called.
func (p *polls) hold(ctx context.Context, device string) (held context.Context, done func()) {
	held, end := context.WithCancel(ctx)
	mine := &poll{end: end}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		end()
	}
	if p.open == nil {
		p.open = map[string][]*poll{}
	}
	open := p.open[device]
	if len(open) == maxPolls {
		open[0].end()
		open = open[1:]
	}
	p.open[device] = append(open, mine)
	return held, func() { p.done(device, mine) }
}

func (p *polls) done(device string, mine *poll) {
	mine.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	left := make([]*poll, 0, maxPolls)
	for _, other := range p.open[device] {
		if other != mine {
			left = append(left, other)
		}
	}
	if len(left) == 0 {
		delete(p.open, device)
		return
	}
	p.open[device] = left
}

// close ends all polls, and those that come later at once.
func (p *polls) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, open := range p.open {
		for _, held := range open {
			held.end()
		}
	}
}
