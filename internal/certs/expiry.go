package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// Soon is how long before its end a certificate is warned of: enough for an
// authority that wants forms.
const Soon = 30 * 24 * time.Hour

// Expiring says which of the certificates ends first, if that is soon or past;
// "": none does.
func Expiring(chain []*x509.Certificate, now time.Time) string {
	var first *x509.Certificate
	for _, c := range chain {
		if first == nil || c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	if first == nil || first.NotAfter.Sub(now) > Soon {
		return ""
	}
	day := first.NotAfter.UTC().Format(time.DateOnly)
	if first.NotAfter.Before(now) {
		return fmt.Sprintf("the certificate of %q expired on %s", first.Subject.String(), day)
	}
	return fmt.Sprintf("the certificate of %q expires on %s", first.Subject.String(), day)
}

// Chain are the certificates of a pair, its own first. What cannot be parsed is
// left out.
func Chain(pair *tls.Certificate) (chain []*x509.Certificate) {
	for _, raw := range pair.Certificate {
		if c, err := x509.ParseCertificate(raw); err == nil {
			chain = append(chain, c)
		}
	}
	return chain
}

// Parse reads the certificates of a PEM file. What is none is left out.
func Parse(file []byte) (all []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, c)
		}
	}
}
