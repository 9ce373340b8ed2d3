package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/testenv"
)

func options(slapd *testenv.SlapdServer) LDAPOptions {
	return LDAPOptions{
		Name: "directory", URLs: []string{slapd.URI},
		BindDN: slapd.BindDN, BindPassword: secret.Secret(slapd.BindPassword),
		BaseDNs: []string{testenv.SlapdPeople}, UserFilter: "(uid={username})",
		Domains: map[string]string{"VSS": "vss.vn"},
		Attributes: Attributes{ID: "entryUUID", Username: "uid", DisplayName: "cn",
			Number: "employeeNumber", Groups: "memberOf"},
		Timeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, o LDAPOptions) *LDAP {
	t.Helper()
	d, err := NewLDAP(o)
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

func resolve(t testing.TB, d *LDAP, typed string) login.Identity {
	t.Helper()
	who, err := d.Resolve(t.Context(), typed)
	require.NoError(t, err, "%q", typed)
	return who
}

func check(t testing.TB, d *LDAP, who login.Identity, password string) login.Checked {
	t.Helper()
	got, err := d.Check(t.Context(), who, []byte(password))
	require.NoError(t, err)
	return got
}

// people are entries that tell the spellings apart.
const people = `dn: uid=lê.hương,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
uid: lê.hương
cn: Lê Thị Hương
sn: Lê
mail: huong@example.vn
userPassword: mật khẩu

dn: uid=anna,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: A
mail: shared@example.vn
telephoneNumber: 7900001111
telephoneNumber: 7900002222
userPassword: password-anna

dn: uid=annb,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
uid: annb
cn: Annb
sn: B
mail: shared@example.vn
userPassword: password-annb

dn: uid=outside,` + testenv.SlapdServices + `
objectClass: inetOrgPerson
uid: outside
cn: Outside
sn: O
userPassword: password-outside

dn: uid=annc,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
uid: annc
cn: Annc
sn: C
mail: shared@example.vn

`

func TestResolveTellsWhatTheDirectoryWrites(t *testing.T) {
	o := options(testenv.Slapd(t, testenv.SlapdOptions{LDIF: people}))
	who := resolve(t, open(t, o), "USER0001")
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f-]{27}$`, who.ID)
	who.ID = ""
	require.Equal(t, login.Identity{
		DN: testenv.UserDN(1), Username: "user0001", DisplayName: testenv.UserCN(1),
		Groups: []string{testenv.SlapdStaff}, Number: testenv.UserNumber(1),
	}, who)

	o.Attributes.Number = "telephoneNumber"
	require.Empty(t, resolve(t, open(t, o), "anna").Number, "two numbers are none")
	o.Attributes.DisplayName, o.Attributes.Number, o.Attributes.Groups = "", "", ""
	who = resolve(t, open(t, o), "anna")
	require.Equal(t, login.Identity{ID: who.ID, DN: who.DN, Username: "anna", DisplayName: "anna"}, who)
}

// Every spelling of user0001 and lê.hương is that entry or nobody.
func TestSpellingsAreTheSameIdentityOrNobody(t *testing.T) {
	d := open(t, options(testenv.Slapd(t, testenv.SlapdOptions{LDIF: people})))
	user, huong := resolve(t, d, "user0001"), resolve(t, d, "lê.hương")
	require.NotEmpty(t, user.ID)
	require.NotEmpty(t, huong.ID)
	same := map[string]login.Identity{
		"User0001": user, "USER0001": user, `VSS\user0001`: user, `vss\USER0001`: user, "user0001@vss.vn": user,
		"user0001@VSS.VN": user, `vss.vn\user0001`: user,
		"LÊ.HƯƠNG": huong, norm.NFD.String("lê.hương"): huong, norm.NFD.String("LÊ.HƯƠNG"): huong,
	}
	for typed, want := range same {
		require.Equal(t, want, resolve(t, d, typed), "%q", typed)
	}
	for _, typed := range []string{
		" user0001", "user0001 ", "  user0001  ", "user0001\u00a0", "user0001\t", "user0001\n", "\ufeffuser0001", "user\u200b0001",
		"user0001.", "ｕｓｅｒ０００１", "user0001/", "user0001@example.vn", "user0001@vss.vn.", "user0001@", "@user0001", `\user0001`,
		`OTHER\user0001`, `VSS\\user0001`, "user0001,ou=people", "uid=user0001", "ﬀ", "\u017fuser0001", "u\u017fer0001",
		"lê.hương\u0301", "le.huong", "le\u0302.hu\u031bo\u031bng",
	} {
		if who := resolve(t, d, typed); who.ID != "" && who.ID != user.ID && who.ID != huong.ID {
			t.Errorf("%q is a second identity: %s", typed, who.DN)
		}
	}
	for _, typed := range []string{
		"", " ", "user0001\x00", "\x00", "user0001\xff", strings.Repeat("u", 257), "nobody", "*", "user*", "user000*",
		"*)(uid=*", "*)(uid=user0001", "user0001)(|(uid=*", `user0001\`, `\2a`, `user\30001`, "user0001)", "(user0001", "|", "&", `VSS\`,
		`VSS\*`, "shared@example.vn",
	} {
		require.Empty(t, resolve(t, d, typed), "%q", typed)
	}
}

func TestSeveralEntriesAreNobodyAndLogged(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: people})
	var log bytes.Buffer
	o := options(slapd)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.UserFilter = "(|(uid={username})(mail={username}))"
	d := open(t, o)
	require.Empty(t, resolve(t, d, "shared@example.vn"))
	require.Contains(t, log.String(), "several entries is nobody")
	require.NotEmpty(t, resolve(t, d, "huong@example.vn").ID)

	o.BaseDNs = []string{testenv.SlapdPeople, testenv.SlapdBase}
	require.NotEmpty(t, resolve(t, open(t, o), "anna").ID, "one entry below two base DNs is one")
}

func TestAnEntryWithoutAnIDIsNobody(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: people})
	require.NotEmpty(t, resolve(t, open(t, options(slapd)), "anna"))
	for name, change := range map[string]func(*Attributes){
		"no id":            func(a *Attributes) { a.ID = "description" },
		"several ids":      func(a *Attributes) { a.ID = "telephoneNumber" },
		"no user name":     func(a *Attributes) { a.Username = "description" },
		"an unreadable id": func(a *Attributes) { a.ID = "userPassword" },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(slapd)
			change(&o.Attributes)
			require.Empty(t, resolve(t, open(t, o), "anna"))
		})
	}
}

// Active Directory answers so about DNs of other domains.
func TestADNThatIsInAnotherDirectoryIsNobody(t *testing.T) {
	away := "cn=away," + testenv.SlapdPeople
	d := open(t, options(testenv.Slapd(t, testenv.SlapdOptions{
		LDIF: "dn: " + away + "\nobjectClass: referral\nobjectClass: extensibleObject\ncn: away\nref: ldap://127.0.0.1:1/" + away + "\n\n"})))
	for _, name := range []string{away, "uid=user0001," + away} {
		who, err := d.ResolveBind(t.Context(), name)
		require.NoError(t, err, name)
		require.Empty(t, who.ID)
	}
}

func TestBindNamesAreResolved(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: people})
	o := options(slapd)
	o.UserFilter = "(&(objectClass=inetOrgPerson)(uid={username})(!(uid=user0009)))"
	d := open(t, o)
	user, huong := resolve(t, d, "user0001"), resolve(t, d, "lê.hương")
	for name, want := range map[string]login.Identity{
		testenv.UserDN(1): user,
		"UID=user0001, OU=people, DC=example, DC=vn":  user,
		"uid=user0001;ou=people;dc=example;dc=vn":     user,
		`uid=\75ser0001,ou=p\65ople,dc=example,dc=vn`: user,
		"2.5.4.11=people":                     {},
		"user0001":                            user,
		`VSS\user0001`:                        user,
		"user0001@vss.vn":                     user,
		"uid=lê.hương," + testenv.SlapdPeople: huong,
		norm.NFD.String("uid=lê.hương," + testenv.SlapdPeople): huong,
		"uid=LÊ.HƯƠNG," + testenv.SlapdPeople:                  huong,
		"uid=nobody," + testenv.SlapdPeople:                    {},
		testenv.UserDN(9):                                      {}, // the filter leaves it out
		"user0009":                                             {},
		testenv.SlapdBindDN:                                    {}, // no person
		"uid=outside," + testenv.SlapdServices:                 {}, // not below a base DN
		testenv.SlapdPeople:                                    {}, // no user
		"uid=*," + testenv.SlapdPeople:                         {},
		"uid=user0001," + testenv.SlapdPeople + "\x00":         {},
		"": {},
		"uid=" + strings.Repeat("a", 3000) + testenv.SlapdPeople: {},
		"<GUID=0123>": {},
		"uid=user0001,ou=people,dc=example,dc=vn,,": {},
		"dc=nowhere": {},
		"no-such-attribute=user0001,ou=people,dc=example,dc=vn":               {},
		"0.9.2342.19200300.100.1.1=user0001,2.5.4.11=people,dc=example,dc=vn": user,
	} {
		who, err := d.ResolveBind(t.Context(), name)
		require.NoError(t, err, "%q", name)
		require.Equal(t, want, who, "%q", name)
	}
}

func TestPasswordsAreChecked(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: people, Log: true})
	d := open(t, options(slapd))
	user, huong := resolve(t, d, "user0001"), resolve(t, d, "lê.hương")
	for name, c := range map[string]struct {
		who      login.Identity
		password string
		want     login.Checked
	}{
		"right":                    {user, testenv.UserPassword(1), right},
		"right beyond ASCII":       {huong, "mật khẩu", right},
		"wrong":                    {user, "wrong", wrong},
		"another user's":           {user, testenv.UserPassword(2), wrong},
		"right with a NUL behind":  {user, testenv.UserPassword(1) + "\x00", wrong},
		"not UTF-8":                {user, "\xff\xfe", wrong},
		"128 bytes":                {user, strings.Repeat("x", 128), wrong},
		"empty":                    {user, "", empty},
		"sixteen NUL bytes":        {user, strings.Repeat("\x00", 16), empty},
		"nobody":                   {login.Identity{}, testenv.UserPassword(1), wrong},
		"nobody with a DN":         {login.Identity{DN: testenv.UserDN(1)}, testenv.UserPassword(1), wrong},
		"an entry without any":     {resolve(t, d, "annc"), "x", wrong},
		"an entry that is gone":    {login.Identity{ID: "x", DN: "uid=gone," + testenv.SlapdPeople}, "x", wrong},
		"a DN that is none":        {login.Identity{ID: "x", DN: "gone"}, "x", login.Checked{First: login.FirstWrong, Reason: login.BadPassword, Detail: "result 34"}},
		"nobody with an empty one": {login.Identity{}, "", empty},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, check(t, d, c.who, c.password)) })
	}
	require.NotContains(t, slapd.Log(), `BIND dn="" `, "no anonymous bind")
	require.Contains(t, slapd.Log(), "nobody-", "nobody costs a bind too")

	_, err := d.Check(t.Context(), login.Identity{ID: "x"}, []byte("x"))
	require.Error(t, err, "without a DN the bind would be anonymous, and right")
}

// After the binds of users the searches are still the service account's.
func TestSearchesAndUserBindsNeverShareAConnection(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{Log: true})
	d := open(t, options(slapd))
	for n := 1; n <= 5; n++ {
		who := resolve(t, d, testenv.UserName(n))
		require.Equal(t, testenv.UserNumber(n), who.Number, "only the service account reads it")
		require.Equal(t, right, check(t, d, who, testenv.UserPassword(n)))
		require.Equal(t, wrong, check(t, d, who, "wrong"))
	}
	owner := map[string]string{} // conn=N to "service" or "user"
	for _, line := range strings.Split(slapd.Log(), "\n") {
		conn := connOf(line)
		kind := ""
		switch {
		case strings.Contains(line, `BIND dn="`+testenv.SlapdBindDN+`" method`), strings.Contains(line, " SRCH base="):
			kind = "service"
		case strings.Contains(line, "BIND dn=") && strings.Contains(line, "method"):
			kind = "user"
		}
		if kind == "" {
			continue
		}
		if was, ok := owner[conn]; ok {
			require.Equal(t, was, kind, line)
		}
		owner[conn] = kind
	}
	require.Len(t, owner, 2, "one connection of each kind")
}

func connOf(line string) string {
	_, rest, _ := strings.Cut(line, "conn=")
	conn, _, _ := strings.Cut(rest, " ")
	return conn
}

func TestADeadServerIsPassedOver(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	o := options(slapd)
	o.URLs = []string{"ldap://" + testenv.FreeAddr(t), slapd.URI}
	d := open(t, o)
	who := resolve(t, d, "user0001")
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
	require.NoError(t, d.Ping(t.Context()))
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	require.Equal(t, slapd.Addr, conn.RemoteAddr().String())
	conn.Close()
}

func TestADeadServerIsTriedAgainLater(t *testing.T) {
	now := time.Now()
	quiet := slog.New(slog.DiscardHandler)
	first, second := &server{url: "1", log: quiet}, &server{url: "2", log: quiet}
	all := servers{first, second}
	require.Equal(t, []*server{first, second}, all.order(now))
	first.learn(errors.New("dead"), now)
	require.Equal(t, []*server{second, first}, all.order(now.Add(passOver-1)))
	later := now.Add(passOver)
	require.Equal(t, []*server{first, second}, all.order(later))
	first.claim(later)
	require.Equal(t, []*server{second, first}, all.order(later), "one caller tries it, the others go on")
	first.learn(nil, later)
	require.Equal(t, []*server{first, second}, all.order(later))
}

func TestAServerThatFallsSilentIsLeft(t *testing.T) {
	first, second := testenv.Slapd(t, testenv.SlapdOptions{}), testenv.Slapd(t, testenv.SlapdOptions{})
	o := options(first)
	o.URLs, o.Timeout = []string{first.URI, second.URI}, 2*time.Second
	d := open(t, o)
	want := resolve(t, d, "user0001")
	first.Freeze()
	got := resolve(t, d, "user0001")
	require.Equal(t, want.DN, got.DN)
	require.NotEqual(t, want.ID, got.ID, "the other server answered")
	require.Equal(t, right, check(t, d, got, testenv.UserPassword(1)))
	first.Thaw()
}

// A process that hangs still has its connections accepted by the kernel, so a
// connection is no sign of life of a server that did not answer.
func TestADoubtedServerIsLeftUntilItAnswers(t *testing.T) {
	first, second := testenv.Slapd(t, testenv.SlapdOptions{}), testenv.Slapd(t, testenv.SlapdOptions{})
	var log bytes.Buffer
	o := options(first)
	o.URLs, o.Timeout, o.Log = []string{first.URI, second.URI}, time.Second, slog.New(slog.NewTextHandler(&log, nil))
	d := open(t, o)
	dial := func() (net.Conn, string) {
		t.Helper()
		conn, err := d.Dial(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn, conn.RemoteAddr().String()
	}
	again := func() { // as if passOver had gone by
		d.servers[0].mu.Lock()
		d.servers[0].retry = time.Now().Add(-time.Second)
		d.servers[0].mu.Unlock()
	}
	first.Freeze()
	conn, at := dial()
	require.Equal(t, first.Addr, at)
	conn.(*dialled).Doubt()
	_, at = dial()
	require.Equal(t, second.Addr, at)
	again()
	_, at = dial()
	require.Equal(t, second.Addr, at, "it was asked, and is still silent")
	first.Thaw()
	again()
	conn, at = dial()
	require.Equal(t, first.Addr, at)
	c := ldap.NewConn(conn, false)
	c.Start()
	require.NoError(t, c.Bind(testenv.UserDN(1), testenv.UserPassword(1)), "nothing is left over from the question")
	require.Equal(t, 1, strings.Count(log.String(), "does not answer; the others"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "answers again"), log.String())
}

func TestAnOutageIsAnErrorAndEnds(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	d := open(t, options(slapd))
	who := resolve(t, d, "user0001")
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
	slapd.Stop()
	_, err := d.Resolve(t.Context(), "user0001")
	require.Error(t, err)
	_, err = d.Check(t.Context(), who, []byte(testenv.UserPassword(1)))
	require.Error(t, err)
	_, err = d.Check(t.Context(), login.Identity{}, []byte("x"))
	require.Error(t, err)
	require.Error(t, d.Ping(t.Context()))
	_, err = d.Dial(t.Context())
	require.Error(t, err)
	slapd.Start()
	require.Equal(t, who, resolve(t, d, "user0001"))
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
}

func TestASilentServerIsAnErrorInTime(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	o := options(slapd)
	o.Timeout = 1500 * time.Millisecond
	d := open(t, o)
	who := resolve(t, d, "user0001")
	check(t, d, who, "wrong")
	slapd.Freeze()
	_, err := d.Resolve(t.Context(), "user0001")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = d.Check(t.Context(), who, []byte(testenv.UserPassword(1)))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	slapd.Thaw()
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Check(ctx, who, []byte(testenv.UserPassword(1)))
	require.ErrorIs(t, err, context.Canceled)
}

func TestACallerWhoLeavesTellsNothingOfTheServer(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	d := open(t, options(slapd))
	who := resolve(t, d, "user0001")
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
	slapd.Freeze()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := d.Check(ctx, who, []byte(testenv.UserPassword(1)))
		left <- err
	}()
	require.Eventually(t, func() bool { return len(d.binds.slots) == 1 }, 20*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	require.False(t, d.servers[0].passedOver(time.Now()))
	slapd.Thaw()
	require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
}

func TestTLSIsVerified(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{RequireTLS: true})
	good, other := &tls.Config{RootCAs: slapd.CA.Pool}, &tls.Config{RootCAs: testenv.CA(t).Pool}
	for name, c := range map[string]struct {
		url      string
		startTLS bool
		config   *tls.Config
		ok       bool
	}{
		"ldaps":                              {slapd.LDAPSURI, false, good, true},
		"StartTLS":                           {slapd.URI, true, good, true},
		"ldaps with another authority":       {slapd.LDAPSURI, false, other, false},
		"StartTLS with another authority":    {slapd.URI, true, other, false},
		"ldaps with the system's roots":      {slapd.LDAPSURI, false, nil, false},
		"a name not in the certificate":      {strings.Replace(slapd.LDAPSURI, "127.0.0.1", "127.0.0.2", 1), false, good, false},
		"plain, where the directory refuses": {slapd.URI, false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(slapd)
			o.URLs, o.StartTLS, o.TLS = []string{c.url}, c.startTLS, c.config
			d := open(t, o)
			who, err := d.Resolve(t.Context(), "user0001")
			require.Equal(t, c.ok, err == nil, "%v", err)
			if !c.ok {
				require.Empty(t, who)
				return
			}
			require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
			conn, err := d.Dial(t.Context())
			require.NoError(t, err)
			require.IsType(t, &tls.Conn{}, conn.(*dialled).Conn)
			spoken := ldap.NewConn(conn, true)
			spoken.Start()
			defer spoken.Close()
			require.NoError(t, spoken.Bind(who.DN, testenv.UserPassword(1)))
		})
	}
}

func TestStartTLSThatIsRefusedIsAnError(t *testing.T) {
	ok := "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	for name, answer := range map[string]string{
		"refused":                 strings.Replace(ok, "\x0a\x01\x00", "\x0a\x01\x02", 1),
		"to another message":      strings.Replace(ok, "\x02\x01\x01", "\x02\x01\x02", 1),
		"of another kind":         strings.Replace(ok, "\x78", "\x61", 1),
		"no message":              "HTTP/1.1 400",
		"endless":                 "\x30\x84\xff\xff\xff\xff",
		"too long":                "\x30\x82\xff\xff",
		"of indefinite length":    "\x30\x80\x02\x01\x01",
		"cut off":                 ok[:6],
		"nothing":                 "",
		"a sequence and no more":  "\x30\x00",
		"consent, then no answer": ok,
		"consent and injection":   ok + ok,
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, LDAPOptions{
				URLs: []string{"ldap://" + answering(t, answer)}, StartTLS: true, TLS: &tls.Config{InsecureSkipVerify: true},
				BaseDNs: []string{"dc=vn"}, UserFilter: "(uid={username})", Attributes: Attributes{ID: "entryUUID", Username: "uid"},
			})
			_, err := d.Dial(t.Context())
			require.Error(t, err)
			if !strings.HasPrefix(name, "consent") {
				require.ErrorContains(t, err, "StartTLS:")
			}
		})
	}
}

// answering serves one connection: it reads a StartTLS request, answers and
// hangs up.
func answering(t testing.TB, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		request := make([]byte, len(startTLSRequest))
		if n, _ := conn.Read(request); string(request[:n]) == startTLSRequest {
			fmt.Fprint(conn, answer)
		}
	}()
	return l.Addr().String()
}

func FuzzStartTLSAnswer(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x81\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x80\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		frame, err := readAnswer(r)
		if err != nil {
			return
		}
		require.Equal(t, raw[:len(raw)-r.Len()], frame, "not a byte more is read")
		_ = startTLSAnswer(frame)
	})
}

func TestARefusedServiceAccountIsAnErrorAndIsNotLocked(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{Log: true})
	for name, change := range map[string]func(*LDAPOptions){
		"a wrong password":  func(o *LDAPOptions) { o.BindPassword = "wrong-canary" },
		"an unknown DN":     func(o *LDAPOptions) { o.BindDN = "cn=gone," + testenv.SlapdServices },
		"a DN that is none": func(o *LDAPOptions) { o.BindDN = "vssgate" },
		"no password":       func(o *LDAPOptions) { o.BindPassword = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(slapd)
			change(&o)
			d := open(t, o)
			before := strings.Count(slapd.Log(), "method=128")
			for range 5 {
				who, err := d.Resolve(t.Context(), "user0001")
				require.ErrorContains(t, err, "service account")
				require.NotContains(t, err.Error(), "canary")
				require.Empty(t, who)
			}
			require.LessOrEqual(t, strings.Count(slapd.Log(), "method=128")-before, 1)
			require.Error(t, d.Ping(t.Context()))
		})
	}
}

func TestPingTellsOfAMissingBase(t *testing.T) {
	o := options(testenv.Slapd(t, testenv.SlapdOptions{}))
	require.NoError(t, open(t, o).Ping(t.Context()))
	o.BaseDNs = append(o.BaseDNs, "ou=gone,"+testenv.SlapdBase)
	require.ErrorContains(t, open(t, o).Ping(t.Context()), "ou=gone")
}

func TestAClosedDirectoryIsAnError(t *testing.T) {
	d := open(t, options(testenv.Slapd(t, testenv.SlapdOptions{})))
	who := resolve(t, d, "user0001")
	d.Close()
	_, err := d.Resolve(t.Context(), "user0001")
	require.Error(t, err)
	_, err = d.Check(t.Context(), who, []byte(testenv.UserPassword(1)))
	require.Error(t, err)
}

func TestOptionsAreChecked(t *testing.T) {
	good := LDAPOptions{URLs: []string{"ldap://127.0.0.1"}, BaseDNs: []string{"dc=vn"}, UserFilter: "(uid={username})",
		Attributes: Attributes{ID: "entryUUID", Username: "uid"}}
	_, err := NewLDAP(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*LDAPOptions){
		"no URL":             func(o *LDAPOptions) { o.URLs = nil },
		"another scheme":     func(o *LDAPOptions) { o.URLs = []string{"http://127.0.0.1"} },
		"no host":            func(o *LDAPOptions) { o.URLs = []string{"ldap://"} },
		"broken":             func(o *LDAPOptions) { o.URLs = []string{"ldap://u:secret@%zz"} },
		"StartTLS in ldaps":  func(o *LDAPOptions) { o.URLs, o.StartTLS = []string{"ldaps://127.0.0.1"}, true },
		"no base DN":         func(o *LDAPOptions) { o.BaseDNs = nil },
		"an empty base DN":   func(o *LDAPOptions) { o.BaseDNs = []string{""} },
		"a broken base DN":   func(o *LDAPOptions) { o.BaseDNs = []string{"people"} },
		"a filter with none": func(o *LDAPOptions) { o.UserFilter = "(uid=user)" },
		"no id":              func(o *LDAPOptions) { o.Attributes.ID = "" },
	} {
		o := good
		change(&o)
		_, err := NewLDAP(o)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestManyLoginsAtOnce(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{Users: 50})
	d := open(t, options(slapd))
	var all sync.WaitGroup
	for n := 1; n <= 50; n++ {
		all.Go(func() {
			for try := range 4 {
				who, err := d.Resolve(t.Context(), testenv.UserName(n))
				if err != nil || who.DN != testenv.UserDN(n) {
					t.Errorf("user %d is %q: %v", n, who.DN, err)
					return
				}
				password, want := testenv.UserPassword(n), right
				if try%2 == 1 {
					password, want = testenv.UserPassword(n+1), wrong
				}
				if got, err := d.Check(t.Context(), who, []byte(password)); err != nil || got.First != want.First || got.Reason != want.Reason {
					t.Errorf("user %d: %v %v", n, got, err)
				}
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, len(d.searches.idle), poolSize)
	require.LessOrEqual(t, len(d.binds.idle), poolSize)
	require.Empty(t, d.searches.slots)
	require.Empty(t, d.binds.slots)
}

func TestNobodyIsBelowTheBase(t *testing.T) {
	o := options(testenv.Slapd(t, testenv.SlapdOptions{}))
	d, other := open(t, o), open(t, o)
	require.True(t, strings.HasSuffix(d.NobodyDN(), ","+testenv.SlapdPeople))
	require.NotEqual(t, d.NobodyDN(), other.NobodyDN(), "it cannot be guessed")
	who, err := d.ResolveBind(t.Context(), d.NobodyDN())
	require.NoError(t, err)
	require.Empty(t, who)
}

// roots reads a PEM file, as the program does from ca_file.
func roots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(raw))
	return pool
}

func BenchmarkResolveAndCheck(b *testing.B) {
	slapd := testenv.Slapd(b, testenv.SlapdOptions{Users: 1000})
	for name, o := range map[string]LDAPOptions{
		"plain": options(slapd),
		"ldaps": func() LDAPOptions {
			o := options(slapd)
			o.URLs, o.TLS = []string{slapd.LDAPSURI}, &tls.Config{RootCAs: roots(b, slapd.CAFile)}
			return o
		}(),
	} {
		b.Run(name, func(b *testing.B) {
			d := open(b, o)
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					user := n%1000 + 1
					who, err := d.Resolve(b.Context(), testenv.UserName(user))
					if err != nil {
						b.Fatal(err)
					}
					got, err := d.Check(b.Context(), who, []byte(testenv.UserPassword(user)))
					if err != nil || got.First != right.First {
						b.Fatal(got, err)
					}
				}
			})
		})
	}
}

// BenchmarkDirectoryItself is what slapd and the client library cost without
// this package: a search and a bind, each on connections held by the caller.
func BenchmarkDirectoryItself(b *testing.B) {
	slapd := testenv.Slapd(b, testenv.SlapdOptions{Users: 1000})
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		searcher, binder := bound(b, slapd), bound(b, slapd)
		for n := 0; pb.Next(); n++ {
			user := n%1000 + 1
			_, err := searcher.Search(ldap.NewSearchRequest(testenv.SlapdPeople, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 6, false,
				"(uid="+testenv.UserName(user)+")", []string{"entryUUID", "uid", "cn", "employeeNumber", "memberOf"}, nil))
			if err != nil {
				b.Error(err)
			}
			if err := binder.Bind(testenv.UserDN(user), testenv.UserPassword(user)); err != nil {
				b.Error(err)
			}
		}
	})
}
