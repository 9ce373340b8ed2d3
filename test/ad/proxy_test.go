package ad_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/test/site"
)

// sid is whom a connection is bound as, asked of the controller.
func sid(t *testing.T, conn *ldap.Conn) string {
	t.Helper()
	found, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"tokenGroups"}, nil))
	require.NoError(t, err)
	return found.Entries[0].GetAttributeValue("tokenGroups")
}

func formsAreHeldAsOneAccount(t *testing.T, d *domain) {
	w := d.world(t, "      nested_groups: true")
	mine := w.Enrol(an.sam, phone.Enrolment{})
	direct := d.dial(t)
	require.NoError(t, direct.Bind(an.dn(), an.password()))
	want := sid(t, direct)
	for _, name := range []string{an.dn(), "cn=nguyễn văn an,ou=phòng cntt,dc=vss,dc=test", an.upn, "AN.NV@VSS.TEST", `VSS\an.nv`, `vss\An.Nv`, an.sam} {
		conn, done := w.connect(), make(chan error, 1)
		go func() { done <- conn.Bind(name, an.password()) }()
		require.Equal(t, an.sam, mine.Login().Username)
		require.Equal(t, "accepted", mine.Yes().Verdict)
		require.NoError(t, <-done, name)
		require.Equal(t, want, sid(t, conn), name)
	}
	nas := w.NAS(gate)
	packet := nas.Packet(site.Request{User: `VSS\AN.NV`, Password: an.password(), Station: "198.51.100.7"})
	nas.Send(packet)
	require.Equal(t, "accepted", mine.Yes().Verdict)
	answer := nas.Answer(packet)
	require.EqualValues(t, site.AccessAccept, answer.Code)
	require.Contains(t, string(answer.Raw), "everybody", "through groups of groups")
	for _, r := range w.Ended() {
		require.Equal(t, []string{w.Last().Account, an.sam, "approval"}, []string{r.Account, r.Username, r.Factor})
	}
	require.Len(t, w.Ended(), 8)
}

func namesOfNobodyAreRefused(t *testing.T, d *domain) {
	w := d.world(t, "")
	for name, password := range map[string]string{
		"an.nv@example.vn": an.password(), `OTHER\an.nv`: an.password(), an.cn: an.password(), "vss.test/Phòng CNTT/" + an.cn: an.password(),
		"uid=an.nv,dc=example,dc=vn": an.password(), reader: readerPassword, "svc-vssgate@vss.test": readerPassword, "PC1$": "x",
		`VSS\svc-app`: appPassword, "svc-app@vss.test": appPassword, // the rule is for the DN
	} {
		conn := w.connect()
		require.Contains(t, refusal(t, conn.Bind(name, password), ldap.LDAPResultInvalidCredentials), wrongText, name)
		require.Empty(t, w.Last().Username, name)
	}
	for _, name := range []string{an.dn(), an.upn, `VSS\an.nv`, an.sam} {
		for _, password := range []string{"", "\x00\x00", ",123456"} {
			request := ldap.NewSimpleBindRequest(name, password, nil)
			request.AllowEmptyPassword = true
			_, err := w.connect().SimpleBind(request)
			refusal(t, err, ldap.LDAPResultUnwillingToPerform)
		}
	}
	_, err := w.connect().Extended(ldap.NewExtendedRequest("1.2.840.113556.1.4.1781", nil))
	require.Contains(t, refusal(t, err, ldap.LDAPResultUnwillingToPerform), "passwords are tested by simple binds only")
	require.Empty(t, w.Accepted())
}

// serviceAccountPassesAsItIs compares what an exempt application sees with what
// the controller shows it.
func serviceAccountPassesAsItIs(t *testing.T, d *domain) {
	w := d.world(t, "")
	through, direct := w.connect(), d.dial(t)
	for _, conn := range []*ldap.Conn{through, direct} {
		require.NoError(t, conn.Bind(app, appPassword))
	}
	require.Equal(t, "exempt:"+"cn=app,ou=services,dc=vss,dc=test", w.Last().Factor)
	const sdFlags = "1.2.840.113556.1.4.801"
	for _, c := range []struct {
		filter     string
		attributes []string
		controls   []ldap.Control
	}{
		{"(objectClass=*)", []string{"*"}, []ldap.Control{ldap.NewControlPaging(7)}},
		{"(sAMAccountName=an.nv)", []string{"nTSecurityDescriptor"}, []ldap.Control{ldap.NewControlString(sdFlags, true, "\x30\x03\x02\x01\x07")}},
		{"(member:1.2.840.113556.1.4.1941:=" + an.dn() + ")", []string{"cn"}, nil},
		{"(sAMAccountName=chi)", []string{"memberOf;range=0-3"}, nil},
		{"(objectClass=*)", []string{"*"}, []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}},
	} {
		request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, c.filter, c.attributes, c.controls)
		got, err := through.Search(request)
		want, wantErr := direct.Search(request)
		require.Equal(t, wantErr, err, c.filter)
		require.Equal(t, want, got, c.filter)
	}
}

// bindFrame is a BindRequest as bytes, with message id 7.
func bindFrame(name, password string) []byte {
	op := append([]byte{2, 1, 3, 4, byte(len(name))}, name...)
	op = append(append(op, 0x80, byte(len(password))), password...)
	body := append([]byte{2, 1, 7, 0x60, byte(len(op))}, op...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

func ask(t *testing.T, conn net.Conn, frame []byte) {
	t.Helper()
	_, err := conn.Write(frame)
	require.NoError(t, err)
}

// answer is the one LDAPMessage that comes back.
func answer(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(site.Patience)))
	head := make([]byte, 2)
	_, err := io.ReadFull(conn, head)
	require.NoError(t, err)
	n, more := int(head[1]), []byte(nil)
	if n > 0x80 {
		more = make([]byte, n-0x80)
		_, err = io.ReadFull(conn, more)
		require.NoError(t, err)
		n = 0
		for _, octet := range more {
			n = n<<8 | int(octet)
		}
	}
	body := make([]byte, n)
	_, err = io.ReadFull(conn, body)
	require.NoError(t, err)
	return append(append(head, more...), body...)
}

func successIsTheControllersOwn(t *testing.T, d *domain) {
	w := d.world(t, "")
	mine := w.Enrol(an.sam, phone.Enrolment{})
	direct, err := tls.Dial("tcp", d.LDAPSURI[len("ldaps://"):]+":636", &tls.Config{RootCAs: d.roots})
	require.NoError(t, err)
	defer direct.Close()
	through, err := net.Dial("tcp", w.LDAP[0])
	require.NoError(t, err)
	defer through.Close()
	frame := bindFrame(an.upn, an.password())
	ask(t, direct, frame)
	ask(t, through, frame)
	mine.Yes()
	require.Equal(t, answer(t, direct), answer(t, through))
}
