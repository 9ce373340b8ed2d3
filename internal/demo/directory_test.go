package demo

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/internal/secret"
)

func TestMain(m *testing.M) {
	var printed lines
	log.SetOutput(&printed)
	code := m.Run()
	if printed.String() != "" {
		os.Stderr.WriteString("the LDAP package logged:\n" + printed.String())
		code = 1
	}
	os.Exit(code)
}

// lines keeps what the LDAP package logs to the process's log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t testing.TB) *Directory {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := StartDirectory(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		d.Wait()
	})
	return d
}

func dial(t testing.TB, d *Directory) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(d.URI)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func names(t testing.TB, conn *ldap.Conn, base string, scope int, filter string) []string {
	t.Helper()
	found, err := conn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"1.1"}, nil))
	require.NoError(t, err)
	dns := []string{}
	for _, e := range found.Entries {
		require.Empty(t, e.Attributes)
		dns = append(dns, e.DN)
	}
	return dns
}

func TestTheDemoDirectoryIsAFirstFactor(t *testing.T) {
	d := start(t)
	first, err := directory.NewLDAP(directory.LDAPOptions{
		Name: "demo", URLs: []string{d.URI}, BindDN: d.BindDN, BindPassword: secret.Secret(d.BindPassword),
		BaseDNs: []string{d.Base}, UserFilter: "(&(objectClass=person)(uid={username}))",
		Attributes: directory.Attributes{ID: "entryUUID", Username: "uid", DisplayName: "cn", Number: "employeeNumber", Groups: "memberOf"},
		Log:        slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	defer first.Close()
	require.NoError(t, first.Ping(t.Context()))
	for _, u := range d.Users {
		want := login.Identity{ID: u.ID, DN: u.DN, Username: u.Username, DisplayName: u.DisplayName, Groups: u.Groups, Number: u.Number}
		for _, spelling := range []string{u.Username, strings.ToUpper(u.Username), u.DN, strings.Replace(strings.ToUpper(u.DN), ",", " , ", -1)} {
			who, err := first.ResolveBind(t.Context(), spelling)
			require.NoError(t, err)
			require.Equal(t, want, who)
		}
		got, err := first.Check(t.Context(), want, []byte(u.Password))
		require.NoError(t, err)
		require.Equal(t, login.FirstRight, got.First)
		got, err = first.Check(t.Context(), want, []byte("wrong"))
		require.NoError(t, err)
		require.Equal(t, login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, got)
	}
	for _, nobody := range []string{"nobody", "*", "*)(uid=*", "vssgate", d.BindDN} {
		who, err := first.ResolveBind(t.Context(), nobody)
		require.NoError(t, err)
		require.Empty(t, who, nobody)
	}
}

func TestSearchesFindWhatTheirFiltersSay(t *testing.T) {
	d := start(t)
	conn := dial(t, d)
	require.NoError(t, conn.Bind(d.BindDN, d.BindPassword))
	an, binh, chi, dung := d.Users[0].DN, d.Users[1].DN, d.Users[2].DN, d.Users[3].DN
	for filter, want := range map[string][]string{
		"(uid=an.nv)":           {an},
		"(UID=AN.NV)":           {an},
		"(uid=*)":               {an, binh, chi, dung},
		`(uid=\2a)`:             {},
		"(uid=a*)":              {an},
		"(uid=*.*q)":            {dung},
		"(uid=*n*t*)":           {binh},
		"(uid=a*b*c)":           {},
		"(mail=an.nv@*)":        {an},
		"(|(uid=an.nv)(uid=x))": {an},
		"(&(uid=*)(!(memberOf=cn=vpn,ou=groups,dc=vss,dc=example)))": {chi, dung},
		"(cn=Nguyễn Văn An)":                    {an},
		"(cn=" + norm.NFD.String("phạm*") + ")": {dung},
		"(entryUUID=" + d.Users[0].ID + ")":     {an},
		`(uid=nosuch\29\28uid=an.nv)`:           {},
		"(uid>=a)":                              {},
		"(uid:caseExactMatch:=an.nv)":           {},
		"(userPassword=*)":                      {},
		`(uid=\ff\fe)`:                          {},
		"(&)":                                   {d.Base, an, binh, chi, dung},
		"(|)":                                   {},
	} {
		require.Equal(t, want, names(t, conn, d.Base, ldap.ScopeWholeSubtree, filter), filter)
	}
	require.Equal(t, []string{an}, names(t, conn, "UID=an.nv, "+d.Base, ldap.ScopeBaseObject, "(uid=*)"))
	require.Empty(t, names(t, conn, d.Base, ldap.ScopeBaseObject, "(uid=*)"))
	require.Len(t, names(t, conn, d.Base, ldap.ScopeSingleLevel, "(objectClass=*)"), 4)
	require.Len(t, names(t, conn, DirectoryBase, ldap.ScopeSingleLevel, "(objectClass=*)"), 3)
	require.Empty(t, names(t, conn, "ou=gone,"+DirectoryBase, ldap.ScopeWholeSubtree, "(objectClass=*)"))
	require.Empty(t, names(t, conn, "no DN", ldap.ScopeWholeSubtree, "(objectClass=*)"))
}

func TestAnonymousClientsSeeTheRootOnly(t *testing.T) {
	d := start(t)
	conn := dial(t, d)
	require.Empty(t, names(t, conn, d.Base, ldap.ScopeWholeSubtree, "(objectClass=*)"))
	require.Len(t, names(t, conn, "", ldap.ScopeBaseObject, "(objectClass=*)"), 1)
	require.NoError(t, conn.Bind(d.Users[0].DN, d.Users[0].Password))
	require.Equal(t, []string{d.Users[0].DN}, names(t, conn, d.Base, ldap.ScopeWholeSubtree, "(employeeNumber=*)"), "one's own number")
	require.True(t, ldap.IsErrorWithCode(conn.Bind(d.Users[0].DN, "wrong"), ldap.LDAPResultInvalidCredentials))
	require.Empty(t, names(t, conn, d.Base, ldap.ScopeWholeSubtree, "(objectClass=*)"), "a failed bind leaves nobody bound")
}

func TestBindsAreJudged(t *testing.T) {
	d := start(t)
	for name, c := range map[string]struct {
		dn, password string
		code         uint16
	}{
		"a user":                      {d.Users[1].DN, d.Users[1].Password, 0},
		"a user in another spelling":  {"UID=BINH.TT; ou=People;dc=vss, dc=example", d.Users[1].Password, 0},
		"the service account":         {d.BindDN, d.BindPassword, 0},
		"nobody":                      {"", "", 0},
		"a wrong password":            {d.Users[1].DN, d.Users[0].Password, ldap.LDAPResultInvalidCredentials},
		"an unknown user":             {"uid=x," + d.Base, "x", ldap.LDAPResultInvalidCredentials},
		"an entry without a password": {d.Base, "x", ldap.LDAPResultInvalidCredentials},
		"an empty password":           {d.Users[1].DN, "", ldap.LDAPResultUnwillingToPerform},
		"no DN":                       {"binh.tt", "x", ldap.LDAPResultInvalidDNSyntax},
		"a password without a name":   {"", "x", ldap.LDAPResultInvalidCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, d).SimpleBind(&ldap.SimpleBindRequest{Username: c.dn, Password: c.password, AllowEmptyPassword: true})
			require.Equal(t, c.code != 0, err != nil)
			if c.code != 0 {
				require.True(t, ldap.IsErrorWithCode(err, c.code), "%v", err)
			}
		})
	}
}

// Message ids grow past what fits in one byte.
func TestAConnectionServesManyMessages(t *testing.T) {
	d := start(t)
	conn := dial(t, d)
	require.NoError(t, conn.Bind(d.BindDN, d.BindPassword))
	for range 400 {
		require.Len(t, names(t, conn, d.Base, ldap.ScopeWholeSubtree, "(uid=an.nv)"), 1)
	}
}

func TestWhatIsNeitherBindNorSearchIsRefused(t *testing.T) {
	d := start(t)
	conn := dial(t, d)
	require.NoError(t, conn.Bind(d.Users[0].DN, d.Users[0].Password))
	change := ldap.NewModifyRequest(d.Users[0].DN, nil)
	change.Replace("cn", []string{"x"})
	_, compare := conn.Compare(d.Users[0].DN, "userPassword", d.Users[0].Password)
	_, whoami := conn.WhoAmI(nil)
	for name, c := range map[string]struct {
		err  error
		code uint16
	}{
		"modify":  {conn.Modify(change), ldap.LDAPResultUnwillingToPerform},
		"add":     {conn.Add(ldap.NewAddRequest("cn=x,"+d.Base, nil)), ldap.LDAPResultUnwillingToPerform},
		"delete":  {conn.Del(ldap.NewDelRequest(d.Users[0].DN, nil)), ldap.LDAPResultUnwillingToPerform},
		"rename":  {conn.ModifyDN(ldap.NewModifyDNRequest(d.Users[0].DN, "uid=x", true, "")), ldap.LDAPResultUnwillingToPerform},
		"compare": {compare, ldap.LDAPResultUnwillingToPerform},
		"whoami":  {whoami, ldap.LDAPResultProtocolError},
		"SASL":    {conn.ExternalBind(), ldap.LDAPResultAuthMethodNotSupported},
	} {
		require.True(t, ldap.IsErrorWithCode(c.err, c.code), "%s: %v", name, c.err)
	}
	require.NotEmpty(t, names(t, conn, d.Base, ldap.ScopeWholeSubtree, "(uid=an.nv)"), "the connection lives on")
}

// Each of these ended the process or filled its memory when the package's
// Server read them itself.
func TestHostileMessagesEndTheirConnectionOnly(t *testing.T) {
	d := start(t)
	for name, raw := range map[string]string{
		"cut off in a length":    "300102",
		"a child past the end":   "3003020501",
		"a length of 2^63":       "30888000000000000000",
		"a length of 5 GiB":      "30850140000000",
		"a length of 1 GiB":      "308440000000",
		"an indefinite length":   "308002010161800000",
		"deep nesting":           strings.Repeat("30840000ffff", 3000),
		"message id 0":           "300c020100600702010304008000",
		"a negative message id":  "300c0201ff600702010304008000",
		"no operation":           "3003020101",
		"no message":             "0000",
		"text":                   hex.EncodeToString([]byte("GET / HTTP/1.1\r\n\r\n")),
		"a response":             "300c02010161070a010004000400",
		"unbind":                 "30050201014200",
		"a bind of two parts":    "300a020101600502010304" + "00",
		"nested bind credential": "301002010160" + "0b020103040080" + "0430023000",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", d.Addr)
			require.NoError(t, err)
			defer conn.Close()
			bytes, err := hex.DecodeString(raw)
			require.NoError(t, err)
			_, err = conn.Write(bytes)
			require.NoError(t, err)
			_ = conn.(*net.TCPConn).CloseWrite() // it may have ended already
			_, _ = io.ReadAll(conn)              // it ends
			require.NoError(t, dial(t, d).Bind(d.BindDN, d.BindPassword))
		})
	}
}

func TestAnAbandonedSearchLeavesTheConnectionAlive(t *testing.T) {
	d := start(t)
	conn, err := net.Dial("tcp", d.Addr)
	require.NoError(t, err)
	defer conn.Close()
	anonymous, _ := hex.DecodeString("300c020105600702010304008000")
	abandon, _ := hex.DecodeString("3006020106500104")
	_, err = conn.Write(append(abandon, anonymous...))
	require.NoError(t, err)
	answer := make([]byte, 14)
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, "300c02010561070a010004000400", hex.EncodeToString(answer))
}

func TestTheDirectoryIsForLoopbackAndEndsWithItsContext(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:389", ":0", "localhost", "example.vn:389", "[::]:0"} {
		_, err := StartDirectory(t.Context(), addr)
		require.Error(t, err, addr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d, err := StartDirectory(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	_, err = StartDirectory(ctx, d.Addr)
	require.ErrorContains(t, err, "address already in use")
	conn := dial(t, d)
	require.NoError(t, conn.Bind(d.BindDN, d.BindPassword))
	cancel()
	d.Wait()
	require.Error(t, conn.Bind(d.BindDN, d.BindPassword))
	_, err = net.Dial("tcp", d.Addr)
	require.Error(t, err)
}

func TestLdapsearchReadsTheDirectory(t *testing.T) {
	d := start(t)
	an := d.Users[0]
	for name, c := range map[string]struct {
		arguments []string
		want      string
	}{
		"as a user":                {[]string{"-D", an.DN, "-w", an.Password, "-b", d.Base, "(uid=binh.tt)", "mail"}, "mail: binh.tt@vss.example"},
		"all attributes":           {[]string{"-D", an.DN, "-w", an.Password, "-b", an.DN, "-s", "base", "*", "+"}, "entryUUID: " + an.ID},
		"the root":                 {[]string{"-b", "", "-s", "base", "+"}, "namingContexts: " + DirectoryBase},
		"with a critical control":  {[]string{"-MM", "-D", an.DN, "-w", an.Password, "-b", an.DN, "uid"}, "uid: an.nv"},
		"with pages":               {[]string{"-E", "pr=2/noprompt", "-D", an.DN, "-w", an.Password, "-b", d.Base, "(uid=*)", "uid"}, "uid: dung.pq"},
		"with a limit":             {[]string{"-z", "1", "-D", an.DN, "-w", an.Password, "-b", d.Base, "(uid=*)", "uid"}, "uid: an.nv"},
		"with the names only":      {[]string{"-A", "-D", an.DN, "-w", an.Password, "-b", an.DN, "mail"}, "mail:\n"},
		"with a wrong password":    {[]string{"-D", an.DN, "-w", "wrong", "-b", d.Base}, "Invalid credentials (49)"},
		"asking for StartTLS only": {[]string{"-Z", "-D", an.DN, "-w", an.Password, "-b", an.DN, "uid"}, "uid: an.nv"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath("ldapsearch")
			require.NoError(t, err, "ldapsearch is missing: apt-get install ldap-utils")
			out, _ := exec.CommandContext(t.Context(), path, append([]string{"-x", "-LLL", "-H", d.URI}, c.arguments...)...).CombinedOutput()
			require.Contains(t, string(out), c.want)
		})
	}
}

func FuzzASearchIsReadOrRefused(f *testing.F) {
	for _, filter := range []string{"(uid=an.nv)", "(&(uid=a*b)(!(cn=x)))", "(|)", "(a:dn:=b)"} {
		packet, err := ldap.CompileFilter(filter)
		require.NoError(f, err)
		search := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 3, nil, "")
		search.AppendChild(octets("dc=vss"))
		for range 4 {
			search.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 2, ""))
		}
		search.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
		search.AppendChild(packet)
		search.AppendChild(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""))
		f.Add(search.Bytes())
	}
	users, err := entries(DirectoryUsers())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw []byte) {
		operation, err := ber.ReadPacket(io.LimitReader(bytes.NewReader(raw), longestMessage))
		if err != nil {
			return
		}
		asked, err := parseSearch(operation)
		if err != nil {
			return
		}
		for _, e := range users {
			if asked.reaches(e) && matches(asked.filter, e.attributes) {
				require.True(t, strings.HasSuffix(e.key, asked.base), "nothing outside the base is found")
			}
		}
	})
}
