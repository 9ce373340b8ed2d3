package ldap_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// What is typed and shown during many kinds of logins is looked for in
// everything that is written: log, audit, metrics, what goes to FCM, the
// store's files.
func TestNothingSecretIsWrittenDown(t *testing.T) {
	w := start(t, options{phones: 2})
	var secrets []string
	secret := func(s string) string {
		secrets = append(secrets, s)
		return s
	}
	code := func(n int) string { return secret(w.shows(n, 1)[0].Code) }
	for _, s := range []string{password(1), password(2), testenv.SlapdAppPassword, testenv.SlapdBindPassword, w.Secret, testenv.UserNumber(1), testenv.UserNumber(2)} {
		secret(s)
	}

	b := w.bind(w.connect(wiki), dn(1), password(1))
	code(1)
	w.approve(1, accepted)
	require.NoError(t, b.wait())
	b = w.bind(w.connect(wiki), "user0001@vss.vn", password(1))
	code(1)
	w.phones[1].No()
	said := []string{refusal(t, b.wait())}
	require.NoError(t, w.connect(wiki).Bind(testenv.SlapdAppDN, testenv.SlapdAppPassword))

	appended := w.connect(mail)
	said = append(said, refusal(t, appended.Bind(dn(2), password(2))))
	right := code(2)
	said = append(said, refusal(t, appended.Bind(dn(2), password(2)+","+secret(site.WrongCode(right)))))
	require.NoError(t, appended.Bind(dn(2), password(2)+","+right))
	said = append(said, refusal(t, appended.Bind(dn(2), password(2)+","+right)))
	said = append(said, refusal(t, appended.Bind(dn(2), secret("canary-of-a-typo"))))
	said = append(said, refusal(t, appended.Bind("uid="+"nobody,"+testenv.SlapdPeople, secret("canary-of-nobody"))))
	said = append(said, refusal(t, appended.Bind("\x1b[31mred\nline", secret("canary-of-control"))))
	w.wire(wiki).send([]byte("\x30\x16\x02\x01\x01\x60\x11\x02\x01\x03\x04\x00\x80\x0a" + secret("canary-bad") + "\xff\xff"))

	_, asked := w.vpn(1)
	code(1)
	w.Slapd.Stop()
	require.Error(t, w.connect(wiki).Bind(dn(1), secret("canary-while-down")))
	w.Stop() // the store is on disk now

	written := map[string]string{
		"log": w.Output(), "audit": w.Audit(), "FCM": string(w.fcm.Raw()), "refusals": strings.Join(said, "\n"), "challenge": asked.Text,
	}
	files, err := filepath.Glob(filepath.Join(w.Dir, "data", "*"))
	require.NoError(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		written[filepath.Base(file)] = string(raw)
	}
	require.Contains(t, written, "vssgate.db")
	for where, text := range written {
		for _, s := range secrets {
			require.False(t, mentions(text, s), "%q stands in %s", s, where)
		}
	}
	require.NotContains(t, w.Output(), "\x1b", "what a client sends cannot colour the log")
	w.Verify()
}

// mentions finds a secret in a text. Digits count as a whole number only: six of
// them stand in some hash or instant by chance.
func mentions(text, secret string) bool {
	if strings.Trim(secret, "0123456789") != "" {
		return strings.Contains(text, secret)
	}
	return regexp.MustCompile(`(^|[^0-9A-Za-z.])` + secret + `($|[^0-9A-Za-z])`).MatchString(text)
}

func TestMetricsNameNobody(t *testing.T) {
	w := start(t, options{phones: 1})
	b := w.bind(w.connect(wiki), dn(1), password(1))
	open := w.shows(1, 1)[0]
	w.approve(1, accepted)
	require.NoError(t, b.wait())
	refusal(t, w.connect(wiki).Bind("canary-name", "canary-word"))
	_, page := w.Get("/metrics")
	require.Contains(t, page, `front_end="ldap"`)
	for _, personal := range []string{open.Code, password(1), testenv.UserNumber(1), testenv.UserName(1), testenv.UserCN(1), "canary", w.accepts()[0].Account} {
		require.False(t, mentions(page, personal), "%q stands in the metrics", personal)
	}
}
