package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"vssgate/internal/config"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/store"
)

// clockDrift is how far this machine's clock may be from the store's: people are
// told times by the one and deadlines hold by the other.
const clockDrift = 2 * time.Second

// store examines the store: the embedded one only for its folder, since the
// daemon that runs has its file.
func (d *doctor) store(ctx context.Context) {
	r := d.parts.config.Store.Redis
	if r == nil {
		found := "embedded, one node; no daemon has it open that this configuration's admin.socket knows"
		if d.daemon != nil {
			found = "embedded, one node; open by the running daemon"
		}
		d.say(Finding{Check: "store", Target: filepath.Join(d.parts.config.DataDir, "vssgate.db"), Result: Fine, Found: found})
		return
	}
	var s *store.Redis
	open := d.try(ctx, "store.redis", "store.redis.addresses", fmt.Sprint(r.Addresses), redisAdvice, func(ctx context.Context) (_ string, err error) {
		s, err = d.parts.openRedis(ctx)
		return "answers, and runs our scripts", err
	})
	if !open {
		return
	}
	defer s.Close()
	d.try(ctx, "store.redis", "store.redis", "writing", redisAdvice, func(ctx context.Context) (string, error) { return "takes writes", s.Ping(ctx) })
	d.try(ctx, "store.redis", "store.redis", "clock", always("store.redis", "run chrony or ntpd on this machine and on that of Redis"), func(ctx context.Context) (string, error) { return clocks(ctx, s) })
	d.try(ctx, "store.redis", "store.redis", "records", always("secret_key_file", "copy secret.key from a node that works, with all its lines"), func(ctx context.Context) (string, error) { return d.ours(ctx, s) })
	faults, err := s.Survey(ctx)
	if err != nil {
		d.say(Finding{Check: "store.redis", Target: "settings", Result: Warning, Found: err.Error(), Do: "give the user of store.redis the right to INFO: +info"})
		return
	}
	for _, f := range faults {
		finding := Finding{Check: "store.redis", Target: "settings of " + f.Server, Result: Warning, Found: f.What, Do: f.Do}
		if f.Unsafe {
			finding.Result = Failed
		}
		d.say(finding)
	}
	if len(faults) == 0 {
		d.say(Finding{Check: "store.redis", Target: "settings", Result: Fine, Found: "nothing is evicted, all is written to disk and to replicas"})
	}
}

// ours tells whether the records are those of this node's secret.key.
func (d *doctor) ours(ctx context.Context, s login.Store) (string, error) {
	a := &App{}
	a.now.Store(d.parts)
	if err := a.buildKeys(ctx); err != nil {
		return "", err
	}
	p, err := enrol.New(s, a.keys, people(d.parts.config))
	if err != nil {
		return "", err
	}
	return "none is sealed with another secret.key", p.Belongs(ctx)
}

// clocks compares this machine's with the store's, which decides.
func clocks(ctx context.Context, s login.Store) (string, error) {
	begun := time.Now()
	there, err := s.Now(ctx)
	if err != nil {
		return "", err
	}
	took := time.Since(begun)
	off := there.Sub(begun.Add(took / 2)).Abs().Round(time.Millisecond)
	if off > clockDrift+took/2 {
		return "", fmt.Errorf("this machine's clock and the store's are %s apart: phones are told to mend their clocks, and records of nodes do not fit together", off)
	}
	return fmt.Sprintf("%s from this machine's", off), nil
}

// firstFactor tries each server of a first factor alone: one of them that is
// dead is passed over by the daemon, and so not noticed until the other is.
func (d *doctor) firstFactor(ctx context.Context, key string, c config.FirstFactor) {
	check := "first_factors." + c.Name
	switch {
	case c.LDAP != nil:
		for i := range c.LDAP.URLs {
			d.directory(ctx, check, key+".ldap", i, c)
		}
	case c.RADIUS != nil:
		for i, s := range c.RADIUS.Servers {
			d.upstream(ctx, check, fmt.Sprintf("%s.radius.servers[%d]", key, i), s, c)
		}
	default:
		d.try(ctx, check, key+".file", c.File, always(key+".file", "mend the file"), func(context.Context) (string, error) {
			_, err := d.parts.newFirstFactor(c)
			return "can be read", err
		})
	}
}

// upstream asks one RADIUS server about somebody who cannot exist. A refusal is
// what is wanted: the server is there, knows this machine and its secret.
func (d *doctor) upstream(ctx context.Context, check, key string, s config.RADIUSServer, c config.FirstFactor) {
	one := *c.RADIUS
	one.Servers = []config.RADIUSServer{s}
	if d.parts.directories[one.IdentifyWith] == nil { // says who users are; nobody is asked that here
		d.parts.directories[one.IdentifyWith] = &firstFactor{FirstFactor: anybody{}}
	}
	const do = "is it up, and is this machine a client there with the same shared secret? A server says nothing to a client that it does not know; over tls look at the certificates of both sides"
	d.try(ctx, check, key+".address", s.Address, always(key, do), func(ctx context.Context) (string, error) {
		links := len(d.parts.links)
		f, err := d.parts.newUpstream(c.Name, &one)
		if err != nil {
			return "", err
		}
		defer f.Close()
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, l := range d.parts.links[links:] {
				_ = l.Run(ctx)
			}
		}()
		defer func() { cancel(); <-ended }()
		return asked(ctx, f)
	})
}

// anybody says of every name that there is somebody.
type anybody struct{ login.FirstFactor }

func (anybody) Resolve(_ context.Context, username string) (login.Identity, error) {
	return login.Identity{ID: username, Username: username}, nil
}

// asked is how a first factor answers about somebody who does not exist. A link
// over TLS may need a moment until it stands.
func asked(ctx context.Context, f login.FirstFactor) (string, error) {
	nobody := login.Identity{Username: "vssgate-doctor-" + rand.Text()[:8]}
	for {
		begun := time.Now()
		said, err := f.Check(ctx, nobody, []byte(rand.Text()))
		switch {
		case err == nil && said.First == login.FirstRight:
			return "", fmt.Errorf("it accepts %s with a random password: it lets everybody in", nobody.Username)
		case err == nil:
			return "answers, and refuses somebody who does not exist", nil
		case time.Since(begun) > time.Second || ctx.Err() != nil:
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// push asks what phones are told through, without telling anybody: FCM judges a
// message that it is not to deliver.
func (d *doctor) push(ctx context.Context) {
	if f := d.parts.config.Push.FCM; f != nil {
		d.try(ctx, "push.fcm", "push.fcm", f.Endpoint, fcmAdvice, func(ctx context.Context) (string, error) {
			sender, err := d.parts.newFCM()
			if err != nil {
				return "", err
			}
			return "the credentials are good, and messages of this project are taken", sender.DryRun(ctx)
		})
	}
	if w := d.parts.config.Push.Webhook; w != nil {
		d.try(ctx, "push.webhook", "push.webhook.url", w.URL, webhookAdvice, func(ctx context.Context) (string, error) {
			sender, err := d.parts.newWebhook()
			if err != nil {
				return "", err
			}
			return "the service takes messages", sender.Check(ctx)
		})
	}
}
