package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a fresh certificate authority and one certificate from it, good
// for 127.0.0.1, ::1 and localhost, as a server and as a client. It lives as
// long as the test.
type Authority struct {
	CAFile   string // PEM
	CertFile string // PEM
	KeyFile  string // PEM, PKCS #8
	Pool     *x509.CertPool
	Cert     tls.Certificate

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CA makes an Authority.
func CA(t testing.TB) *Authority {
	t.Helper()
	key := newKey(t)
	form := certificate("test authority")
	form.IsCA = true
	form.BasicConstraintsValid = true
	form.KeyUsage = x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(raw)
	must(t, err)

	a := &Authority{t: t, dir: t.TempDir(), cert: cert, key: key, Pool: x509.NewCertPool()}
	a.Pool.AddCert(cert)
	a.CAFile = a.write("ca.pem", "CERTIFICATE", raw)
	a.CertFile, a.KeyFile = a.Issue("127.0.0.1")
	a.Cert, err = tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	must(t, err)
	return a
}

// Issue makes another certificate with that common name, good for the same
// addresses, and returns the files of certificate and key.
func (a *Authority) Issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	return a.IssueAs(name, func(*x509.Certificate) {})
}

// IssueAs is Issue with something changed.
func (a *Authority) IssueAs(name string, change func(form *x509.Certificate)) (certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	form := certificate(name)
	form.DNSNames = []string{"localhost"}
	form.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	form.KeyUsage = x509.KeyUsageDigitalSignature
	form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	change(form)
	raw, err := x509.CreateCertificate(rand.Reader, form, a.cert, key.Public(), a.key)
	must(a.t, err)
	keyRaw, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	return a.write(name+".pem", "CERTIFICATE", raw), a.write(name+".key", "PRIVATE KEY", keyRaw)
}

func (a *Authority) write(name, kind string, raw []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	must(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600))
	return path
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
