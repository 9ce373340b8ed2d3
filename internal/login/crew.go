package login

import "sync"

// A crew is the goroutines that are at work. Other than with a sync.WaitGroup,
// more may begin while somebody waits: a request or an alarm comes when it likes.
type crew struct {
	mu   sync.Mutex
	n    int
	none *sync.Cond // signalled when n becomes 0; nil: nobody waits
}

// Go runs work beside the others.
func (c *crew) Go(work func()) {
	c.add(1)
	go func() {
		defer c.add(-1)
		work()
	}()
}

// Do runs work in the caller's goroutine.
func (c *crew) Do(work func()) {
	c.add(1)
	defer c.add(-1)
	work()
}

func (c *crew) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n += n; c.n == 0 && c.none != nil {
		c.none.Broadcast()
	}
}

// Wait returns when nobody is at work.
func (c *crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.none == nil {
		c.none = sync.NewCond(&c.mu)
	}
	for c.n > 0 {
		c.none.Wait()
	}
}
