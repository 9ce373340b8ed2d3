package ad_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func linksAreEncryptedAndVerified(t *testing.T, d *domain) {
	others := x509.NewCertPool()
	pem, err := os.ReadFile(testenv.CA(t).CAFile)
	require.NoError(t, err)
	require.True(t, others.AppendCertsFromPEM(pem))
	for _, c := range []struct {
		name   string
		change func(o *directory.LDAPOptions)
		want   string // of the error; "": none
	}{
		{"ldaps", func(*directory.LDAPOptions) {}, ""},
		{"StartTLS", func(o *directory.LDAPOptions) { o.URLs, o.StartTLS = []string{d.URI}, true }, ""},
		{"a stranger's authority", func(o *directory.LDAPOptions) { o.TLS = &tls.Config{RootCAs: others} }, "certificate signed by unknown authority"},
		{"StartTLS, a stranger's authority", func(o *directory.LDAPOptions) {
			o.URLs, o.StartTLS, o.TLS = []string{d.URI}, true, &tls.Config{RootCAs: others}
		}, "certificate signed by unknown authority"},
		{"another name than the certificate's", func(o *directory.LDAPOptions) {
			o.TLS = &tls.Config{RootCAs: d.roots, ServerName: "dc2." + testenv.SambaRealm}
		}, "not dc2.vss.test"},
		{"no encryption", func(o *directory.LDAPOptions) { o.URLs = []string{d.URI} }, "Strong Auth Required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := d.directory(t, c.change)
			who, err := f.Resolve(t.Context(), an.sam)
			ping := f.Ping(t.Context())
			if c.want == "" {
				require.NoError(t, err)
				require.NoError(t, ping)
				checked, err := f.Check(t.Context(), who, []byte(an.password()))
				require.NoError(t, err)
				require.Equal(t, login.FirstRight, checked.First)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, ping, c.want)
			require.Empty(t, who.ID)
		})
	}
}
