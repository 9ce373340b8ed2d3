package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/certs"
	"vssgate/internal/testenv"
)

const patience = 20 * time.Second

// journal is a log that tests can read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), what)
}

// A shelf is a folder with a certificate, its key and an authority, and a
// Keeper that runs.
type shelf struct {
	t             *testing.T
	ca            *testenv.Authority
	cert, key, as string
	log           *journal
	*certs.Keeper
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{t: t, ca: testenv.CA(t), log: &journal{}}
	dir := t.TempDir()
	s.cert, s.key, s.as = dir+"/server.pem", dir+"/server.key", dir+"/ca.pem"
	s.put(s.ca.Issue("first"))
	s.copy(s.ca.CAFile, s.as)
	s.Keeper = certs.New(slog.New(slog.NewTextHandler(s.log, nil)))
	return s
}

func (s *shelf) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	s.t.Cleanup(func() { stop(); require.NoError(s.t, <-ended) })
}

// put writes a certificate and its key over the old ones.
func (s *shelf) put(certFile, keyFile string) {
	s.copy(certFile, s.cert)
	s.copy(keyFile, s.key)
}

func (s *shelf) copy(from, to string) {
	b, err := os.ReadFile(from)
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(to+".new", b, 0o600))
	require.NoError(s.t, os.Rename(to+".new", to))
}

func (s *shelf) soon(that func() bool, what string) {
	s.t.Helper()
	require.Eventually(s.t, that, patience, 10*time.Millisecond, what)
}

func name(c *tls.Certificate) string { return certs.Chain(c)[0].Subject.CommonName }

func TestANewCertificateIsUsedByItself(t *testing.T) {
	s := newShelf(t)
	cert, err := s.Pair("radius.tls", s.cert, s.key)
	require.NoError(t, err)
	authorities, err := s.Authorities("radius.tls.ca_file", s.as)
	require.NoError(t, err)
	s.run()
	require.Equal(t, "first", name(cert()))
	before := authorities()
	s.put(s.ca.Issue("second"))
	s.soon(func() bool { return name(cert()) == "second" }, "the new certificate")
	other := testenv.CA(t)
	s.copy(other.CAFile, s.as)
	s.soon(func() bool { return authorities() != before }, "the new authorities")
	require.True(t, authorities().Equal(other.Pool))
	require.Equal(t, 1, s.log.count("CN=second"))
}

func TestTheOldCertificateStaysWhereTheNewDoesNotLoad(t *testing.T) {
	s := newShelf(t)
	cert, err := s.Pair("radius.tls", s.cert, s.key)
	require.NoError(t, err)
	s.run()
	another, _ := s.ca.Issue("another")
	for _, spoil := range []func(){
		func() { s.copy(another, s.cert) }, // without its key
		func() { require.NoError(t, os.WriteFile(s.cert, []byte("rubbish"), 0o600)) },
		func() { require.NoError(t, os.Remove(s.key)) },
	} {
		told := s.log.count("does not load")
		spoil()
		s.soon(func() bool { return s.log.count("does not load") > told }, "told")
		require.Equal(t, "first", name(cert()))
	}
	s.put(s.ca.Issue("mended"))
	s.soon(func() bool { return name(cert()) == "mended" }, "mended")
}

// As certbot replaces files, and Kubernetes folders.
func TestAFileBehindALinkIsFollowed(t *testing.T) {
	s := newShelf(t)
	dir := t.TempDir()
	point := func(link, to string) {
		require.NoError(t, os.Symlink(to, dir+"/next"))
		require.NoError(t, os.Rename(dir+"/next", dir+"/"+link))
	}
	point("..data", filepath.Dir(s.cert))
	point("server.pem", "..data/server.pem")
	point("server.key", "..data/server.key")
	cert, err := s.Pair("radius.tls", dir+"/server.pem", dir+"/server.key")
	require.NoError(t, err)
	s.run()
	s.put(s.ca.Issue("in place"))
	s.soon(func() bool { return name(cert()) == "in place" }, "replaced where the link leads to")
	s.cert, s.key = t.TempDir()+"/server.pem", ""
	s.key = filepath.Dir(s.cert) + "/server.key"
	s.put(s.ca.Issue("another folder"))
	point("..data", filepath.Dir(s.cert))
	s.soon(func() bool { return name(cert()) == "another folder" }, "the link leads elsewhere")
}

func TestWhatDoesNotLoadAtFirstIsAnError(t *testing.T) {
	s := newShelf(t)
	_, other := s.ca.Issue("other")
	_, err := s.Pair("radius.tls", s.cert, other)
	require.ErrorContains(t, err, "radius.tls: "+s.cert)
	_, err = s.Pair("radius.tls", s.cert+".missing", s.key)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = s.Authorities("radius.tls.ca_file", s.key)
	require.ErrorContains(t, err, "no certificate in it")
	system, err := s.Authorities("radius.tls.ca_file", "")
	require.NoError(t, err)
	require.Nil(t, system())
	s.run() // with nothing to keep
}

func TestCertificatesThatEndSoonAreWarnedOf(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ends := func(left time.Duration) *x509.Certificate {
		c := &x509.Certificate{NotAfter: now.Add(left)}
		c.Subject.CommonName = "radius.example.vn"
		return c
	}
	const day = 24 * time.Hour
	require.Empty(t, certs.Expiring(nil, now))
	require.Empty(t, certs.Expiring([]*x509.Certificate{ends(31 * day), ends(400 * day)}, now))
	require.Equal(t, `the certificate of "CN=radius.example.vn" expires on 2026-12-25`, certs.Expiring([]*x509.Certificate{ends(400 * day), ends(30 * day)}, now))
	require.Equal(t, `the certificate of "CN=radius.example.vn" expired on 2026-11-24`, certs.Expiring([]*x509.Certificate{ends(-day)}, now))

	s := newShelf(t)
	certFile, keyFile := s.ca.IssueAs("short", func(form *x509.Certificate) { form.NotAfter = time.Now().Add(time.Hour) })
	_, err := s.Pair("radius.tls", certFile, keyFile)
	require.NoError(t, err)
	s.run()
	s.soon(func() bool { return s.log.count("expires on") == 1 }, "warned")
}

func TestWhichNamesACertificateHas(t *testing.T) {
	ip := []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")}
	for name, c := range map[string]struct {
		cert x509.Certificate
		want []string
	}{
		"DNS names and addresses": {x509.Certificate{DNSNames: []string{"NAS.Example.vn."}, IPAddresses: ip}, []string{"nas.example.vn", "192.0.2.1", "2001:db8::1"}},
		"nobody has none":         {x509.Certificate{}, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, certs.Names(&c.cert)) })
	}
	old := x509.Certificate{}
	old.Subject.CommonName = "NAS.example.vn"
	require.Equal(t, []string{"nas.example.vn"}, certs.Names(&old), "an old certificate's common name")
	old.DNSNames = []string{"other.example.vn"}
	require.Equal(t, []string{"other.example.vn"}, certs.Names(&old), "a common name beside others says nothing")
}
