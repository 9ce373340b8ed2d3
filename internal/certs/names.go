package certs

import (
	"crypto/x509"
	"net/netip"
	"strings"
)

// Names are the names of whoever has the certificate: DNS names and
// addresses of its subjectAltName; the common name only where there are none of
// those, as in certificates of old.
func Names(cert *x509.Certificate) (names []string) {
	for _, n := range cert.DNSNames {
		names = append(names, Canonical(n))
	}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, a.Unmap().String())
		}
	}
	if len(names) == 0 && cert.Subject.CommonName != "" {
		names = append(names, Canonical(cert.Subject.CommonName))
	}
	return names
}

// Canonical is the one spelling of a DNS name or an address.
func Canonical(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
