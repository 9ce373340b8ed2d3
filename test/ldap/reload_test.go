package ldap_test

import (
	"crypto/tls"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// A certificate is renewed while a bind is held over LDAPS: the bind is
// answered on its connection, and who comes next sees the new certificate.
func TestACertificateIsRenewedWithoutDroppingAnybody(t *testing.T) {
	w := start(t, options{phones: 1, requireTLS: true})
	old, err := ldap.DialURL("ldaps://"+w.LDAPS[0], ldap.DialWithTLSConfig(&tls.Config{RootCAs: w.Slapd.CA.Pool}))
	require.NoError(t, err)
	defer old.Close()
	held := w.bind(old, dn(1), password(1))
	w.shows(1, 1)

	renewed := testenv.CA(t)
	w.certify(renewed)
	w.eventually("the new certificate is not shown", func() bool {
		conn, err := tls.Dial("tcp", w.LDAPS[0], &tls.Config{RootCAs: renewed.Pool})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	held.held()
	w.approve(1, accepted)
	require.NoError(t, held.wait())
	require.Equal(t, "dn:"+dn(1), whoami(t, old))

	upgraded := w.connect(wiki)
	require.NoError(t, upgraded.StartTLS(&tls.Config{RootCAs: renewed.Pool, ServerName: "127.0.0.1"}))
	require.NoError(t, upgraded.Bind(testenv.SlapdAppDN, testenv.SlapdAppPassword))
}
