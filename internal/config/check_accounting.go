package config

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func (d *decoder) checkAccounting(c *Config) {
	const path = "radius.accounting"
	a := &c.RADIUS.Accounting
	d.listens(path+".listen", a.Listen)
	for i, addr := range a.Listen {
		if !strings.HasSuffix(addr, ":0") && slices.Contains(c.RADIUS.Listen, addr) {
			d.wrong(position(path+".listen", i), "%q is radius.listen already; accounting has a port of its own, 1813 as a rule", addr)
		}
	}
	for i, f := range a.Forward {
		d.checkForward(f, position(path+".forward", i))
	}
	switch {
	case !a.On():
		return
	case len(c.RADIUS.Clients) == 0:
		d.warn(path, "nobody may send accounting: radius.clients has no entry")
	case len(a.Listen)+len(c.RADIUS.TLS.Listen) == 0:
		d.wrong(path+".listen", `want at least one ADDRESS:PORT, like "127.0.0.1:1813", here or in radius.tls.listen`)
	}
	if a.File = d.abs(a.File); a.File == "" && len(a.Forward) == 0 {
		a.File = filepath.Join(c.DataDir, "accounting.jsonl")
	}
	if a.File != "" && a.File == c.Audit.File {
		d.wrong(path+".file", "is audit.file; want one of its own")
	}
}

func (d *decoder) checkForward(f Forward, path string) {
	host, port, err := net.SplitHostPort(f.Address)
	if n, numeric := strconv.Atoi(port); err != nil || host == "" || numeric != nil || n < 1 || n > 65535 {
		d.wrong(path+".address", "%q; want HOST:PORT, like 10.0.0.6:1813", f.Address)
	}
	switch n := len(f.Secret.Reveal()); {
	case n == 0:
		d.wrong(path+".secret", "is missing; give it, or secret_file")
	case n < 16:
		d.warn(path+".secret", "%d characters; better at least 16, made at random", n)
	}
}
