package config

import (
	"net/netip"
	"slices"
	"strings"

	"vssgate/internal/certs"
)

// checkRADIUSTLS wants certificates on both sides, and clients that are known
// by theirs.
func (d *decoder) checkRADIUSTLS(r *RADIUS) {
	t := &r.TLS
	d.listens("radius.tls.listen", t.Listen)
	d.pair("radius.tls", &t.CertFile, &t.KeyFile)
	d.authorities("radius.tls.ca_file", &t.CAFile)
	named := slices.ContainsFunc(r.Clients, func(k RADIUSClient) bool { return len(k.CertificateNames) > 0 })
	switch {
	case len(t.Listen) == 0:
	case t.CertFile == "" && t.KeyFile == "" && !d.isBroken("radius.tls.cert_file"):
		d.wrong("radius.tls.listen", "needs a certificate: give radius.tls.cert_file and key_file")
	case t.CAFile == "":
		d.wrong("radius.tls.ca_file", "is missing: who issues the certificates by which clients are known")
	case !named:
		d.warn("radius.tls.listen", "nobody may connect: no client has certificate_names")
	}
	d.checkCertificateNames(r)
}

// checkCertificateNames: a name that several have is decided by the address.
func (d *decoder) checkCertificateNames(r *RADIUS) {
	anywhere := map[string]string{}
	for i, k := range r.Clients {
		path := position("radius.clients", i) + ".certificate_names"
		if len(k.CertificateNames) > 0 && len(r.TLS.Listen) == 0 {
			d.wrong(path, "certificates are shown over TLS only; give radius.tls.listen, or take this out")
		}
		for j, name := range k.CertificateNames {
			switch other, taken := anywhere[certs.Canonical(name)]; {
			case name == "" || strings.ContainsAny(name, "*/ ,:=") && !isAddress(name):
				d.wrong(position(path, j), "%q; want a DNS name or an address as it stands in the certificate, like nas.example.vn; wildcards are not understood", name)
			case len(k.Addresses) == 0 && taken:
				d.wrong(position(path, j), "both %s and %s have %s and may come from anywhere; give one of them addresses, or another name", other, k.Name, name)
			case len(k.Addresses) == 0:
				anywhere[certs.Canonical(name)] = k.Name
			}
		}
	}
}

func isAddress(name string) bool { _, err := netip.ParseAddr(name); return err == nil }
