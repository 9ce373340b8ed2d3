package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A Keeper holds what was read from files, and what is in them now.
type Keeper struct {
	log *slog.Logger

	mu   sync.Mutex
	kept []*kept
}

// New makes a Keeper without anything in it.
func New(log *slog.Logger) *Keeper { return &Keeper{log: log} }

// kept is something that was read from files. Only the Keeper's own goroutine
// touches it after it was added.
type kept struct {
	place string   // in the configuration
	files []string // absolute
	read  func(contents [][]byte) ([]*x509.Certificate, error)

	contents [][]byte // that were last tried
	chain    []*x509.Certificate
	warned   time.Time
}

// Pair reads a certificate with its key; place says where in the configuration
// they stand. The function returns the newest that did load.
func (k *Keeper) Pair(place, certFile, keyFile string) (func() *tls.Certificate, error) {
	var now atomic.Pointer[tls.Certificate]
	err := k.add(&kept{place: place, files: []string{certFile, keyFile}, read: func(c [][]byte) ([]*x509.Certificate, error) {
		pair, err := tls.X509KeyPair(c[0], c[1])
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", certFile, keyFile, err)
		}
		now.Store(&pair)
		return Chain(&pair), nil
	}})
	return now.Load, err
}

// Authorities reads the certificates of those who are trusted; without a file
// they are the system's, which is nil.
func (k *Keeper) Authorities(place, caFile string) (func() *x509.CertPool, error) {
	var now atomic.Pointer[x509.CertPool]
	if caFile == "" {
		return now.Load, nil
	}
	err := k.add(&kept{place: place, files: []string{caFile}, read: func(c [][]byte) ([]*x509.Certificate, error) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(c[0]) {
			return nil, fmt.Errorf("%s: no certificate in it", caFile)
		}
		now.Store(pool)
		return Parse(c[0]), nil
	}})
	return now.Load, err
}

func (k *Keeper) add(c *kept) error {
	contents, err := c.look()
	if err == nil {
		c.contents = contents
		c.chain, err = c.read(contents)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.place, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, c)
	return nil
}

func (c *kept) look() (contents [][]byte, err error) {
	for _, file := range c.files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		contents = append(contents, raw)
	}
	return contents, nil
}

const (
	// settle is how long files must be quiet: a certificate and its key are
	// written one after the other.
	settle = time.Second

	// lookEvery finds what the watch does not: folders that came later, and
	// file systems that tell nobody.
	lookEvery = time.Minute

	warnEvery = 24 * time.Hour
)

// Run reads files again when they change, and warns of certificates that end
// soon, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.mu.Lock()
	all := slices.Clone(k.kept)
	k.mu.Unlock()
	if len(all) == 0 {
		<-ctx.Done()
		return nil
	}
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		k.log.Warn("certificates are looked at once a minute only: their folders cannot be watched", "error", err)
		watch = &fsnotify.Watcher{}
	} else {
		defer watch.Close()
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	quiet := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watch.Events:
			if !ok {
				return errors.New("certs: the watch has ended")
			}
			quiet.Reset(settle)
			continue
		case err := <-watch.Errors:
			k.log.Warn("watching certificates", "error", err)
		case <-quiet.C:
		case <-tick.C:
		}
		for _, c := range all {
			c.follow(watch)
			k.again(c, time.Now())
		}
	}
}

// follow watches the folders of c's files and, where those are links, of what
// they lead to: a file may be replaced in either.
func (c *kept) follow(watch *fsnotify.Watcher) {
	if watch.Events == nil {
		return
	}
	for _, file := range c.files {
		_ = watch.Add(filepath.Dir(file)) // what is missing is looked for again
		if target, err := filepath.EvalSymlinks(file); err == nil {
			_ = watch.Add(filepath.Dir(target))
		}
	}
}

// again reads c if its files are other than they were. What does not load is
// told once, and the old one stays.
func (k *Keeper) again(c *kept, now time.Time) {
	contents, err := c.look()
	switch {
	case err == nil && slices.EqualFunc(contents, c.contents, bytes.Equal):
	case err == nil:
		c.contents = contents
		var chain []*x509.Certificate
		if chain, err = c.read(contents); err == nil {
			c.chain, c.warned = chain, time.Time{}
			k.log.Info("new certificate read; open connections stay", "place", c.place, "subject", chain[0].Subject.String(), "until", chain[0].NotAfter)
		}
	case c.contents == nil: // told already
		err = nil
	default:
		c.contents = nil
	}
	if err != nil {
		k.log.Error("new certificate does not load; the old one stays in use", "place", c.place, "error", err, "hint", "mend the files; they are read again by themselves")
	}
	if ends := Expiring(c.chain, now); ends != "" && now.Sub(c.warned) >= warnEvery {
		c.warned = now
		k.log.Warn(ends, "place", c.place, "hint", "put a new one into the same files; it is read by itself")
	}
}
