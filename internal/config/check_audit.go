package config

import (
	"net"
	"path/filepath"
	"strings"
	"time"
)

func (d *decoder) checkAudit(c *Config) {
	a := &c.Audit
	if a.File = d.abs(a.File); a.File == "" {
		a.File = filepath.Join(c.DataDir, "audit.jsonl")
	}
	d.lasts("audit.keep", a.Keep, 24*time.Hour, 100*365*24*time.Hour)
	d.checkSyslog(&a.Syslog)
}

func (d *decoder) checkSyslog(s *Syslog) {
	if s.Address == "" {
		if s.TLS {
			d.wrong("audit.syslog.address", "is missing: where do the records go? want HOST:6514")
		}
		return
	}
	scheme, address, ok := strings.Cut(s.Address, "://")
	switch {
	case !ok:
		scheme, address = "udp", s.Address
	case scheme != "udp" && scheme != "tcp":
		d.wrong("audit.syslog.address", "%q: want HOST:PORT, udp://HOST:PORT or tcp://HOST:PORT", s.Address)
		return
	case scheme == "udp" && s.TLS:
		d.wrong("audit.syslog.address", "TLS runs over TCP; take udp:// out")
		return
	}
	if s.TLS {
		scheme = "tcp"
	}
	s.Network, s.Address = scheme, address
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil || host == "":
		d.wrong("audit.syslog.address", "%q: want HOST:PORT", address)
	case !s.TLS && !loopback(host):
		d.warn("audit.syslog.address", "who logged in, when and from where goes over the network unencrypted; use tls: true")
	}
}

// checkAlerts wants https, except on this machine: alerts say who and from where.
func (d *decoder) checkAlerts(webhook string) {
	const path = "alerts.webhook"
	if webhook == "" {
		return
	}
	u := d.webURL(path, webhook)
	switch {
	case u == nil || u.Scheme == "https":
	case loopback(u.Hostname()):
		d.warn(path, "%s is for this machine only", webhook)
	default:
		d.wrong(path, "%s would take alerts unencrypted; use https://", webhook)
	}
}
