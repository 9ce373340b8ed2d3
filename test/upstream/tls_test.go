package upstream_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// overTLS starts a node whose logins that server judges, asked over TLS with a
// certificate of the authority's for nas.example.vn.
func overTLS(t *testing.T, ca *testenv.Authority, addr string) *site.Site {
	t.Helper()
	certFile, keyFile := ca.IssueAs("nas.example.vn", func(form *x509.Certificate) { form.DNSNames, form.IPAddresses = []string{"nas.example.vn"}, nil })
	s := site.Start(t, options(fmt.Sprintf("{address: %q, tls: {ca_file: %s, cert_file: %s, key_file: %s}}", addr, ca.CAFile, certFile, keyFile), "timeout: 5s"))
	s.Logged("RADIUS/TLS connection made")
	return s
}

// passes requires that all methods work and what the upstream grants comes
// through, its hidden values too.
func passes(t *testing.T, s *site.Site) {
	t.Helper()
	phone := s.Phone(1)
	for _, method := range []string{"User-Password", "CHAP-Password", "MS-CHAP-Password"} {
		t.Run(method, func(t *testing.T) {
			p := radclient(t, s, holds, by(method, password)...)
			phone.Yes()
			out := answer(p.said())
			require.True(t, strings.HasPrefix(out, "Access-Accept"), out)
			for _, granted := range []string{"Class = 0x6f6e65", "Class = 0x74776f", `Filter-Id = "staff"`, `Tunnel-Password:1 = "within the tunnel"`, `Cisco-AVPair = "shell:priv-lvl=7"`} {
				require.Contains(t, out, granted)
			}
			out = answer(radclient(t, s, holds, by(method, "not it")...).said())
			require.True(t, strings.HasPrefix(out, "Access-Reject"), out)
		})
	}
	for _, m := range methods[4:6] { // EAP-TTLS/MSCHAPv2 and PEAP: they make keys
		t.Run(m.name, func(t *testing.T) {
			p := eapol(t, s.RADIUS[0], s.Secret, holds, identity(user, password, m.eap), m.args...)
			phone.Yes()
			out := p.said()
			require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
			require.Contains(t, out, "MPPE keys OK: 1  mismatch: 0")
		})
	}
}

func TestRadsecproxyBeforeTheUpstream(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	ca := testenv.CA(t)
	p := testenv.StartRadsecproxy(t, testenv.RadsecproxyBefore(ca, f.Addr, testenv.FreeRADIUSSecret))
	passes(t, overTLS(t, ca, p.Addr))
}

func TestFreeRADIUSOverTLSIsTheUpstream(t *testing.T) {
	ca := testenv.CA(t)
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply, TLS: ca})
	passes(t, overTLS(t, ca, f.AddrTLS))
}

// secured starts a vssgate that asks FreeRADIUS and takes RADIUS over TLS, with
// no second factor of its own.
func secured(t *testing.T, ca *testenv.Authority, listen string) *site.Site {
	t.Helper()
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	o := options(fmt.Sprintf("{address: %q, secret: %q}", f.Addr, testenv.FreeRADIUSSecret), "timeout: 5s")
	o.Clients = `    - {name: node, certificate_names: [nas.example.vn], first_factor: radius, approval: simple, observe: {until: 2099-12-31, why: "the second factor is in front"}}`
	o.More = fmt.Sprintf("  tls: {listen: [%q], cert_file: %s, key_file: %s, ca_file: %s}\n", listen, ca.CertFile, ca.KeyFile, ca.CAFile)
	return site.Start(t, o)
}

// RADIUS/1.1 between two vssgates, where nothing is hidden, and RADIUS/1.0 on
// both ends.
func TestTheUpstreamSpeaksRADIUS11(t *testing.T) {
	ca := testenv.CA(t)
	behind := secured(t, ca, "127.0.0.1:0")
	s := overTLS(t, ca, behind.RADIUSTLS[0])
	s.Logged(`"protocol":"radius/1.1"`)
	passes(t, s)
	require.EqualValues(t, 1, behind.Metric("vssgate_radius_tls_connections"))
}

func TestTheUpstreamOverTLSComesBack(t *testing.T) {
	ca := testenv.CA(t)
	behind := secured(t, ca, testenv.FreeAddr(t))
	s := overTLS(t, ca, behind.RADIUSTLS[0])
	ready := func() bool { code, _ := s.Get("/readyz"); return code == 200 }
	require.Eventually(t, ready, site.Patience, tick)
	behind.Stop()
	require.Eventually(t, func() bool { return !ready() }, site.Patience, tick)
	behind.Start()
	require.Eventually(t, ready, site.Patience, tick)
	out := answer(radclient(t, s, holds, by("User-Password", "not it")...).said())
	require.True(t, strings.HasPrefix(out, "Access-Reject"), out)
}

// tick is how often a test looks again.
const tick = 10 * time.Millisecond
