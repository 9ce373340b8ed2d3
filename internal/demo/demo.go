package demo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"vssgate/internal/admin"
	"vssgate/internal/app"
	"vssgate/internal/config"
	"vssgate/internal/phone"
	"vssgate/otp"
)

// Secret is what the demo's NASes share with it.
const Secret = "demo-shared-secret"

// Options say where the demo listens and how far it goes.
type Options struct {
	RADIUS, LDAP, HTTP string // host:port; the ports may be 0
	Out                io.Writer
	Log                *slog.Logger
	Once               bool // end after the walk-through instead of staying up
}

//go:embed vssgate.yaml.tmpl
var configTemplate string

// Run runs the whole product in this process, with nothing else installed:
// directory, embedded store in a temporary folder, RADIUS, LDAP, phone API,
// accounts and enrolled phones. It walks through one login of each kind, then
// stays up until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "vssgate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := StartDirectory(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer d.Wait()
	defer stop()
	push, err := startPush(ctx)
	if err != nil {
		return err
	}
	if err := freePorts(o); err != nil {
		return err
	}
	node, err := o.build(ctx, dir, d, push)
	if err != nil {
		return err
	}
	ready := make(chan app.Addresses, 1)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return node.Run(gctx, func(at app.Addresses) { ready <- at }) })
	g.Go(func() error {
		select {
		case at := <-ready:
			if err := o.show(gctx, dir, d, push, at); err != nil && gctx.Err() == nil {
				return err
			}
		case <-gctx.Done():
			return nil
		}
		if o.Once {
			stop()
		}
		return nil
	})
	return g.Wait()
}

// freePorts tells which port is taken and how to choose another, before
// anything is started.
func freePorts(o Options) error {
	var errs []error
	if c, err := net.ListenPacket("udp", o.RADIUS); err != nil {
		errs = append(errs, fmt.Errorf("cannot listen for RADIUS on %s/udp (%w): choose another port with --radius 127.0.0.1:18120", o.RADIUS, err))
	} else {
		c.Close()
	}
	for _, l := range []struct{ what, addr, flag string }{{"LDAP", o.LDAP, "--ldap 127.0.0.1:13389"}, {"the phone API", o.HTTP, "--http 127.0.0.1:18080"}} {
		if c, err := net.Listen("tcp", l.addr); err != nil {
			errs = append(errs, fmt.Errorf("cannot listen for %s on %s/tcp (%w): choose another port with %s", l.what, l.addr, err, l.flag))
		} else {
			c.Close()
		}
	}
	return errors.Join(errs...)
}

// build writes a configuration like an administrator's and loads it.
func (o Options) build(ctx context.Context, dir string, d *Directory, push *pushService) (*app.App, error) {
	httpAddr, err := settled(o.HTTP)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = template.Must(template.New("").Parse(configTemplate)).Execute(&text, map[string]string{
		"Dir": dir, "Directory": d.URI, "Base": d.Base, "BindDN": d.BindDN, "BindPassword": d.BindPassword,
		"RADIUS": o.RADIUS, "LDAP": o.LDAP, "HTTP": httpAddr, "Secret": Secret, "Push": push.url,
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "vssgate.yaml")
	if err := errors.Join(
		os.WriteFile(file, text.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, "secret.key"), []byte(otp.NewKeyLine()), 0o600),
	); err != nil {
		return nil, err
	}
	c, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	return app.New(ctx, c, o.Log)
}

// settled gives a port of 0 a number: the phones must know the address before
// it is bound.
func settled(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// enrolPhones gives each demo user a phone, as an administrator and VssID would.
func enrolPhones(ctx context.Context, dir string, d *Directory, at app.Addresses) (map[string]*phone.Client, error) {
	phones := map[string]*phone.Client{}
	for _, u := range d.Users {
		activation, err := admin.Call[admin.Activation](ctx, at.Admin, "/device/add", admin.User{User: u.Username})
		if err != nil {
			return nil, fmt.Errorf("activation for %s: %w", u.Username, err)
		}
		key, err := phone.OpenKey(KeyFile(dir, u.Username))
		if err != nil {
			return nil, err
		}
		c, err := phone.New("http://"+at.Phones, key)
		if err != nil {
			return nil, err
		}
		_, err = c.Enrol(ctx, phone.Enrolment{
			ActivationCode: activation.ActivationCode, Name: "Demo phone of " + u.Username, Platform: "android", AppVersion: "1.6.8", PushToken: tokenPrefix + u.Username,
			Can: []string{"code", "approve", "number"},
		})
		if err != nil {
			return nil, fmt.Errorf("enrol the phone of %s: %w", u.Username, err)
		}
		phones[u.Username] = c
	}
	return phones, nil
}

// KeyFile is where the demo keeps the key of a user's phone.
func KeyFile(dir, username string) string { return filepath.Join(dir, username+".phone.key") }

// longest bounds each step of the walk-through.
const longest = 30 * time.Second
