package ldap_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// Whoever logs in with the password alone reads what to do, in the language of
// the application, and the trace id finds the login.
func TestInModeAppendThePasswordAloneIsAnsweredWithWhatToDo(t *testing.T) {
	w := start(t, options{phones: 1})
	for from, says := range map[string]string{mail: "Password correct. Tap Approve in VssID", hanoi: "Mật khẩu đúng. Bấm Đồng ý trong VssID"} {
		text := refusal(t, w.connect(from).Bind(dn(1), password(1)))
		require.Contains(t, text, says)
		w.approve(1, later)
		require.NoError(t, w.connect(from).Bind(dn(1), password(1)))
		require.Contains(t, text, "["+w.Last().Trace+"]")
	}
	require.Contains(t, refusal(t, w.connect(hanoi).Bind(dn(1), "not it")), "Tên đăng nhập hoặc mật khẩu không đúng.")
	w.prompted(1, 2)
}

// An expired password is told as such to whoever has it, and to nobody else.
func TestAnExpiredPasswordIsToldAsSuch(t *testing.T) {
	old := fmt.Sprintf("dn: uid=cu,%s\nobjectClass: inetOrgPerson\nuid: cu\ncn: Cũ\nsn: Cũ\nuserPassword: old-password\npwdChangedTime: %s\n\n",
		testenv.SlapdPeople, time.Now().AddDate(0, 0, -30).UTC().Format("20060102150405Z"))
	w := start(t, options{slapd: testenv.SlapdOptions{PasswordPolicy: true, LDIF: old}})
	name := "uid=cu," + testenv.SlapdPeople
	require.Contains(t, refusal(t, w.connect(wiki).Bind(name, "old-password")), "Your password has expired or must be changed.")
	require.Equal(t, "password_expired", w.Last().Reason)
	w.eventually("the log does not have the directory's word", func() bool {
		return strings.Contains(w.Output(), `"detail":"password policy: password expired"`)
	})
	require.Contains(t, refusal(t, w.connect(wiki).Bind(name, "not it")), "Wrong user name or password.")
	require.Equal(t, "bad_password", w.Last().Reason)
}
