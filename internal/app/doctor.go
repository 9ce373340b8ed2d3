package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vssgate/internal/admin"
	"vssgate/internal/certs"
	"vssgate/internal/config"
)

// A Finding is what one examination of a dependency has shown.
type Finding struct {
	Check  string `json:"check"`        // what was examined, like first_factors.directory
	Key    string `json:"key"`          // of the configuration that it is about
	At     string `json:"at"`           // where that stands, or would: FILE:LINE:COLUMN
	Target string `json:"target"`       // what was tried
	Result Result `json:"result"`       // ok, warning or failed
	Found  string `json:"found"`        // what came of it; never a secret
	Do     string `json:"do,omitempty"` // the way out; "": there is nothing to do
	TookMS int64  `json:"took_ms"`
}

// Result is how an examination went.
type Result string

// The results. A warning works, but is less than it should be.
const (
	Fine    Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
)

// examineFor bounds one examination.
const examineFor = 10 * time.Second

// A doctor tries what a configuration names. It needs no daemon, and leaves one
// that runs alone.
type doctor struct {
	parts  *settings // made one by one, as New makes them
	told   func(Finding)
	daemon *admin.Status // of the daemon that runs here; nil: none
}

// Examine tries each dependency for real and tells what it finds, one after the
// other. It changes nothing outside.
func Examine(ctx context.Context, c *config.Config, told func(Finding)) {
	quiet := slog.New(slog.DiscardHandler)
	d := &doctor{told: told, parts: &settings{config: c, log: quiet, metrics: newMetrics(), certs: certs.New(quiet), directories: map[string]*firstFactor{}}}
	for _, p := range c.Warnings {
		at := fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		d.say(Finding{Check: "configuration", Target: at, At: at, Result: Warning, Found: p.Message})
	}
	if err := d.parts.buildTexts(); err != nil {
		d.say(Finding{Check: "texts", Target: "language", Result: Failed, Found: err.Error(), Do: "mend texts"})
		return
	}
	if status, err := admin.Call[admin.Status](ctx, c.Admin.Socket, "/status", admin.None{}); err == nil {
		d.daemon = &status
	}
	d.folders()
	d.certificates()
	d.store(ctx)
	for i, f := range c.FirstFactors {
		d.firstFactor(ctx, fmt.Sprintf("first_factors[%d]", i), f)
	}
	d.push(ctx)
	d.syslog(ctx)
	d.ports()
}

// say tells a finding, with the place of its key.
func (d *doctor) say(f Finding) {
	f.Key = cmp.Or(f.Key, f.Check)
	if f.At == "" {
		f.At, _ = d.parts.config.Place(f.Key)
	}
	d.told(f)
}

// try runs one examination and tells how it went: found is told when there is
// no error; when there is one, advise says what to do. key is what it is about
// as long as nothing is wrong.
func (d *doctor) try(ctx context.Context, check, key, target string, advise advice, look func(ctx context.Context) (found string, err error)) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, examineFor)
	defer cancel()
	begun := time.Now()
	found, err := look(ctx)
	f := Finding{Check: check, Key: key, Target: target, Result: Fine, Found: found, TookMS: time.Since(begun).Milliseconds()}
	if err != nil {
		f.Result, f.Found = Failed, err.Error()
		f.Key, f.Do = advise(err)
	}
	d.say(f)
	return err == nil
}

// folders must be there and writable, for whoever runs this: run it as the
// daemon's user.
func (d *doctor) folders() {
	c := d.parts.config
	tried := map[string]bool{}
	for _, at := range []struct{ check, folder string }{
		{"data_dir", c.DataDir}, {"audit.file", filepath.Dir(c.Audit.File)}, {"admin.socket", filepath.Dir(c.Admin.Socket)},
	} {
		if tried[at.folder] {
			continue
		}
		tried[at.folder] = true
		d.say(folder(at.check, at.folder))
	}
}

func folder(check, path string) Finding {
	f := Finding{Check: check, Target: path, Result: Fine, Found: "can be written"}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && unix.Access(existing(path), unix.W_OK) == nil:
		f.Found = "will be made at the first start"
	case errors.Is(err, fs.ErrNotExist):
		f.Result, f.Found, f.Do = Failed, "is not there, and this user may not make it", fmt.Sprintf("do: install -d -m 0700 -o USER %s, with the user that runs vssgate", path)
	case err != nil:
		f.Result, f.Found, f.Do = Failed, err.Error(), "run this as the user that runs vssgate"
	case !info.IsDir():
		f.Result, f.Found, f.Do = Failed, "is no folder", "name a folder, or move the file away"
	case unix.Access(path, unix.W_OK) != nil:
		f.Result, f.Found, f.Do = Failed, "this user may not write there", fmt.Sprintf("do: chown USER %s, with the user that runs vssgate (or run this as that user)", path)
	case check == "data_dir" && info.Mode().Perm()&0o077 != 0:
		f.Result, f.Found, f.Do = Warning, fmt.Sprintf("has mode %04o: others may look into it", info.Mode().Perm()), "do: chmod 700 "+path
	}
	return f
}

// existing is the nearest folder above path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// certificates are read as the daemon reads them. Those that end soon are among
// the configuration's warnings.
func (d *doctor) certificates() {
	c := d.parts.config
	for _, at := range []struct{ check, cert, key string }{
		{"vssid.tls", c.VssID.TLS.CertFile, c.VssID.TLS.KeyFile},
		{"radius.tls", c.RADIUS.TLS.CertFile, c.RADIUS.TLS.KeyFile},
		{"ldap.tls", c.LDAP.TLS.CertFile, c.LDAP.TLS.KeyFile},
	} {
		if at.cert == "" {
			continue
		}
		pair, err := d.parts.certs.Pair(at.check, at.cert, at.key)
		if err != nil {
			d.say(Finding{Check: at.check, Key: at.check + ".cert_file", Target: at.cert, Result: Failed, Found: err.Error(), Do: "give a certificate and its own key"})
			continue
		}
		chain := certs.Chain(pair())
		f := Finding{Check: at.check, Key: at.check + ".cert_file", Target: at.cert, Result: Fine, Found: fmt.Sprintf("%s, until %s", chain[0].Subject, chain[0].NotAfter.UTC().Format(time.DateOnly))}
		if chain[0].NotAfter.Before(time.Now()) {
			f.Result, f.Do = Failed, "put a new one into the same files; it is read by itself"
		}
		d.say(f)
	}
}

func (d *doctor) syslog(ctx context.Context) {
	s := d.parts.config.Audit.Syslog
	if s.Address == "" {
		return
	}
	advise := func(err error) (key, do string) {
		const key0 = "audit.syslog.address"
		if _, do = reaching(err, key0, key0); do == "" {
			do = "check the address, the firewall and that the server runs"
		}
		return key0, do + "; records wait in the file meanwhile"
	}
	d.try(ctx, "audit.syslog", "audit.syslog.address", s.Address, advise, func(ctx context.Context) (string, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, s.Network, s.Address)
		if err != nil {
			return "", err
		}
		return "reached over " + s.Network, conn.Close()
	})
}

// ports must be free, or be the running daemon's.
func (d *doctor) ports() {
	c := d.parts.config
	if len(c.RADIUS.Clients) > 0 {
		d.listeners("radius.listen", "udp", c.RADIUS.Listen)
		d.listeners("radius.accounting.listen", "udp", c.RADIUS.Accounting.Listen)
		d.listeners("radius.tls.listen", "tcp", c.RADIUS.TLS.Listen)
	}
	if len(c.LDAP.Clients) > 0 {
		d.listeners("ldap.listen", "tcp", c.LDAP.Listen)
		d.listeners("ldap.tls.listen", "tcp", c.LDAP.TLS.Listen)
	}
	d.listeners("vssid.listen", "tcp", []string{c.VssID.Listen})
	d.listeners("metrics.listen", "tcp", []string{c.Metrics.Listen})
}

func (d *doctor) listeners(key, network string, addrs []string) {
	for _, addr := range addrs {
		f := Finding{Check: key, Target: addr + "/" + network, Result: Fine, Found: "is free"}
		switch err := bind(network, addr); {
		case err == nil:
		case d.daemon != nil && d.daemon.Listens(key, addr):
			f.Found = "is the running daemon's"
		default:
			f.Result, f.Found = Failed, taken(key, addr, err).Error()
			f.Do = fmt.Sprintf("see who has it: ss -lpn 'sport = :%s'; stop that program, or choose another port", cmp.Or(portOf(addr), addr))
		}
		d.say(f)
	}
}

func bind(network, addr string) error {
	if network == "udp" {
		conn, err := net.ListenPacket(network, addr)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	l, err := net.Listen(network, addr)
	if err == nil {
		err = l.Close()
	}
	return err
}

func portOf(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }
