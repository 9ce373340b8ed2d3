package ldapproxy

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	ber "github.com/nmcclain/asn1-ber"
	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

const (
	success          = ldap.LDAPResultSuccess
	operationsError  = ldap.LDAPResultOperationsError
	protocolError    = ldap.LDAPResultProtocolError
	authNotSupported = ldap.LDAPResultAuthMethodNotSupported
	confidentiality  = ldap.LDAPResultConfidentialityRequired
	invalid          = ldap.LDAPResultInvalidCredentials
	busy             = ldap.LDAPResultBusy
	unavailable      = ldap.LDAPResultUnavailable
	unwilling        = ldap.LDAPResultUnwillingToPerform
)

func TestAnApprovedBindGetsTheDirectorysOwnAnswerByteForByte(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an@example.vn", password))
	held := desk.next(t)
	require.Equal(t, login.LDAP, held.request.FrontEnd)
	require.True(t, held.request.OwnCheck)
	require.Equal(t, "127.0.0.1", held.request.Station)
	require.Equal(t, "an@example.vn", held.request.Username)
	require.Empty(t, held.request.Rule)
	held.accept()
	require.Equal(t, successWithControl(1), a.read().frame)
	require.Equal(t, userDN, a.whoAmI())
	require.Equal(t, []bindRequest{{id: 1, name: userDN, password: password, ownPolicy: true}}, tree.bindsSeen())
	require.Equal(t, 1, tree.connections())
}

func TestADeniedBindLeavesTheClientAnonymousOnAnotherConnection(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password))
	desk.next(t).reject(login.Denied)
	r := a.read()
	require.Equal(t, invalid, r.code)
	require.Equal(t, "denied for app [TRACE2]", r.text)
	tree.wantEnded(tree.session(0))
	require.Equal(t, "anonymous", a.whoAmI())
	require.Equal(t, 2, tree.connections())
}

func TestHowRepliesBecomeResults(t *testing.T) {
	for name, c := range map[string]struct {
		reply login.Reply
		code  int
		text  string
	}{
		"a verdict is invalidCredentials":            {login.Reply{Kind: login.Reject, Reason: login.Expired, Trace: "T"}, invalid, "expired for app [T]"},
		"so is the end of the hold":                  {login.Reply{Kind: login.Reject, Reason: login.HoldOver, Trace: "T"}, invalid, "hold_over for app [T]"},
		"an empty password is unwillingToPerform":    {login.Reply{Kind: login.Reject, Reason: login.EmptyPassword, Trace: "T"}, unwilling, "empty_password for app [T]"},
		"a dependency that is down is unavailable":   {login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable, Trace: "T"}, unavailable, "unavailable for app [T]"},
		"silence cannot be: the client waits":        {login.Reply{Kind: login.Silence}, unavailable, "unavailable for app []"},
		"a challenge cannot be shown":                {login.Reply{Kind: login.Ask, Prompt: login.PromptCode, Trace: "T"}, unavailable, "unavailable for app [T]"},
		"a conversation's round cannot be shown":     {login.Reply{Kind: login.Relay, Data: "x"}, unavailable, "unavailable for app []"},
		"nor can a broken State, which LDAP has not": {login.Reply{Kind: login.BadAnswer}, unavailable, "unavailable for app []"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, nil).connect()
			a.write(bindFrame(a.next(), "an", password))
			desk.next(t).request.Reply(c.reply)
			r := a.read()
			require.Equal(t, c.code, r.code)
			require.Equal(t, c.text, r.text)
			require.Equal(t, "anonymous", a.whoAmI())
		})
	}
}

func TestAWrongPasswordIsRefusedWithOurTextAndTheSameWorkAsAnUnknownUser(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	wrong := a.wantBind(invalid, "an", "wrong")
	nobody := a.wantBind(invalid, "who?", password)
	require.Equal(t, "bad_password for app [TRACE2]", wrong.text)
	require.Equal(t, wrong.text, nobody.text)
	require.Equal(t, []bindRequest{{id: 1, name: userDN, password: "wrong", ownPolicy: true}, {id: 2, name: nobodyName, password: password, ownPolicy: true}}, tree.bindsSeen())
	require.Equal(t, "anonymous", a.whoAmI())
	require.Equal(t, 1, tree.connections(), "a failed bind makes the connection anonymous, it need not be closed")
}

func TestNobodyIsNeverLetInWhateverTheDirectorySays(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	tree.onBind = func(s *session, h header, r bindRequest) []byte { return successWithControl(h.id) }
	a := front(t, tree, desk, nil).connect()
	a.wantBind(invalid, "who?", password)
	require.Zero(t, len(desk.held))
}

func TestAnAcceptWithoutTheDirectorysSuccessLetsNobodyIn(t *testing.T) {
	for name, ask := range map[string]func(r *login.Request){
		"never checked": func(r *login.Request) {},
		"found wrong": func(r *login.Request) {
			r.First.Check(context.Background(), login.Identity{ID: "id-an", DN: userDN}, []byte("wrong"))
		},
		"checked as nobody": func(r *login.Request) {
			r.First.Check(context.Background(), login.Identity{}, []byte(password))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newTree(t)
			a := front(t, tree, handler(func(r *login.Request) {
				ask(r)
				r.Reply(login.Reply{Kind: login.Accept, Reason: login.Accepted})
			}), nil).connect()
			a.wantBind(unavailable, "an", password)
			require.Equal(t, "anonymous", a.whoAmI())
		})
	}
}

// handler is an engine in one function, run synchronously.
type handler func(r *login.Request)

func (h handler) Handle(r *login.Request) func() { h(r); return func() {} }

func TestAnIdentityWithoutADNIsNotBoundAnonymously(t *testing.T) {
	tree := newTree(t)
	errs := make(chan error, 1)
	a := front(t, tree, handler(func(r *login.Request) {
		_, err := r.First.Check(context.Background(), login.Identity{ID: "file:an"}, []byte(password))
		errs <- err
		r.Reply(login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable})
	}), nil).connect()
	a.wantBind(unavailable, "an", password)
	require.Error(t, <-errs)
	require.Empty(t, tree.bindsSeen())
}

func TestABindIsCheckedOnceOnly(t *testing.T) {
	tree := newTree(t)
	a := front(t, tree, handler(func(r *login.Request) {
		id := login.Identity{ID: "id-an", DN: userDN}
		r.First.Check(context.Background(), id, []byte("wrong"))
		_, err := r.First.Check(context.Background(), id, []byte(password))
		require.Error(t, err)
		r.Reply(login.Reply{Kind: login.Accept})
		r.Reply(login.Reply{Kind: login.Accept})
	}), nil).connect()
	a.wantBind(unavailable, "an", password)
	require.Len(t, tree.bindsSeen(), 1)
	require.Equal(t, "anonymous", a.whoAmI(), "and answered once only")
}

func TestBindsThatAreRefusedBeforeAnybodyIsAsked(t *testing.T) {
	simple := func(name, pw string) *ber.Packet { return bindOp(3, name, authSimple, []byte(pw)) }
	for name, c := range map[string]struct {
		op      *ber.Packet
		code    int
		control string
	}{
		"version 2":                         {op: bindOp(2, userDN, authSimple, []byte(password)), code: protocolError},
		"version 4":                         {op: bindOp(4, userDN, authSimple, []byte(password)), code: protocolError},
		"SASL":                              {op: bindOp(3, "", authSASL, []byte("\x04\x08EXTERNAL")), code: authNotSupported},
		"SASL with credentials":             {op: bindOp(3, "", authSASL, []byte("\x04\x05PLAIN\x04\x05\x00an\x00x")), code: authNotSupported},
		"Sicily discovery":                  {op: bindOp(3, "", 0x89, nil), code: authNotSupported},
		"Sicily negotiate":                  {op: bindOp(3, "NTLM", 0x8a, []byte("x")), code: authNotSupported},
		"Sicily response":                   {op: bindOp(3, "", 0x8b, []byte("x")), code: authNotSupported},
		"a name without a password":         {op: simple(userDN, ""), code: unwilling},
		"a password of NULs":                {op: simple(userDN, "\x00\x00"), code: unwilling},
		"NULs without a name":               {op: simple("", "\x00"), code: unwilling},
		"somebody else's authorization":     {op: simple(userDN, password), code: 123, control: oidProxiedAuthorization},
		"the draft of that":                 {op: simple(userDN, password), code: 123, control: oidProxiedAuthorization1},
		"fast bind":                         {op: simple(userDN, password), code: unwilling, control: oidFastBind},
		"anonymous with a foreign identity": {op: simple("", ""), code: 123, control: oidProxiedAuthorization},
	} {
		t.Run(name, func(t *testing.T) {
			book := globalLog(t)
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, nil).connect()
			var controls []string
			if c.control != "" {
				controls = []string{c.control}
			}
			a.write(withControls(a.next(), c.op, controls))
			r := a.read()
			require.Equal(t, byte(opBindResponse), r.op)
			require.Equal(t, c.code, r.code)
			require.NotEmpty(t, r.text)
			require.Zero(t, tree.connections(), "nothing goes upstream")
			require.Zero(t, desk.asked())
			require.Equal(t, "anonymous", a.whoAmI(), "the connection goes on")
			require.Empty(t, book.String(), "the LDAP package has nothing to say")
		})
	}
}

// bindOp makes any bind: auth is the identifier octet of the choice.
func bindOp(version uint64, name string, auth byte, contents []byte) *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, version, ""))
	op.AppendChild(octets(name))
	choice := ber.Encode(auth&ber.ClassBitmask, auth&ber.TypeBitmask, auth&ber.TagBitmask, nil, "")
	choice.Data.Write(contents)
	op.AppendChild(choice)
	return op
}

func TestAuthenticationChoicesThatAreNoneEndTheConnection(t *testing.T) {
	for _, auth := range []byte{0x00, 0x40, 0xc0, 0xa0, 0x04, 0x81, 0x83, 0x88, 0x8c, 0xa1} {
		tree, desk := newTree(t), newDesk()
		a := front(t, tree, desk, nil).connect()
		a.write(message(1, bindOp(3, userDN, auth, nil)).Bytes())
		a.wantNotice(protocolError)
		require.Zero(t, tree.connections(), "%#x", auth)
		require.Zero(t, desk.asked(), "%#x", auth)
	}
}

func TestBindsWithAnotherShapeEndTheConnection(t *testing.T) {
	extra := bindOp(3, userDN, authSimple, []byte(password))
	extra.AppendChild(octets("more"))
	long := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	long.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0x0103, ""))
	long.AppendChild(octets(userDN))
	long.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	number := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	number.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 3, ""))
	number.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 3, ""))
	number.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	for name, op := range map[string]*ber.Packet{
		"a fourth element": extra, "a long version": long, "a number for a name": number,
		"empty": ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, ""),
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, nil).connect()
			a.write(message(1, op).Bytes())
			a.wantNotice(protocolError)
			require.Zero(t, tree.connections())
			require.Zero(t, desk.asked())
		})
	}
}

func TestAPasswordOnAPlainConnectionIsRefusedBeforeItGoesAnywhere(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, func(o *Options, _ *limits) { o.RequireTLS = true }).connect()
	a.wantBind(confidentiality, userDN, password)
	a.wantBind(confidentiality, serviceDN, password)
	require.Zero(t, tree.connections())
	require.Zero(t, desk.asked())
	a.wantBind(success, "", "")
	require.Equal(t, "anonymous", a.whoAmI())
}

func TestAnAnonymousBindIsTheDirectorysToAnswer(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	require.Equal(t, successWithControl(1), a.bind("", "").frame)
	require.Equal(t, "anonymous", a.whoAmI())
	require.Zero(t, desk.asked())

	tree.onBind = func(s *session, h header, r bindRequest) []byte {
		return encodeResult(h.id, ldap.ApplicationBindResponse, ldap.LDAPResultInappropriateAuthentication, "not here")
	}
	refused := a.wantBind(ldap.LDAPResultInappropriateAuthentication, "", "")
	require.Equal(t, "not here", refused.text)
}

func TestAnAnonymousBindEndsAnIdentity(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, userDN, a.whoAmI())
	a.wantBind(success, "", "")
	require.Equal(t, "anonymous", a.whoAmI())
	a.write(extendedFrame(a.next(), oidPasswordModify))
	require.Equal(t, ldap.LDAPResultStrongAuthRequired, a.read().code)
}

func TestACodeWithoutAPasswordIsRefusedUnasked(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.wantBind(unwilling, "an", ","+rightCode)
	require.Empty(t, tree.bindsSeen())
}

func TestAnAppendedCodeIsJudgedByTheEngineAndTheRestByTheDirectory(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, userDN, a.whoAmI())
	require.Equal(t, password, tree.bindsSeen()[0].password)
	a.wantBind(invalid, "an", password+",000000")
	require.Equal(t, "anonymous", a.whoAmI())
	tree.wantEnded(tree.session(0))
}

func TestNamesAndPasswordsPassWithTheirExactBytes(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	for _, pw := range []string{"pä,ss", "mật khẩu", "a,12345", "b,1234567", ",", "x\x00y", "\xff\xfe", "tail\x00"} {
		a.wantBind(invalid, "uid=Hương\\,x,"+people, pw)
		require.Equal(t, pw, tree.bindsSeen()[len(tree.bindsSeen())-1].password)
		require.Equal(t, "uid=Hương\\,x,"+people, desk.last().request.Username)
	}
}

func TestControlsOfABindReachTheDirectory(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(withControls(a.next(), bindOp(3, "an", authSimple, []byte(password)), []string{"1.3.6.1.4.1.42.2.27.8.5.9"}))
	desk.next(t).accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, "\x30\x1b\x04\x191.3.6.1.4.1.42.2.27.8.5.9", string(tree.bindsSeen()[0].controls))
}

func exempting(from ...string) func(*Options, *limits) {
	return func(o *Options, _ *limits) {
		e := Exempt{DN: serviceDN, Why: "searches"}
		for _, f := range from {
			e.From = append(e.From, netip.MustParsePrefix(f))
		}
		o.Exempt = []Exempt{e}
	}
}

func TestAnExemptDNNeedsNoSecondFactorHoweverItIsSpelt(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, exempting("127.0.0.1/32")).connect()
	for _, name := range []string{serviceDN, "CN=Svc, OU=services,dc=example, DC=VN", "2.5.4.3=svc;ou=services;dc=example;dc=vn", `cn=s\76c,ou=services,dc=example,dc=vn`} {
		a.wantBind(success, name, password)
		require.Equal(t, serviceDN, a.whoAmI(), "bound as configured, not as typed")
		require.Equal(t, "exempt:"+serviceDN, desk.last().request.Rule)
		require.Equal(t, "dn:"+serviceDN, desk.last().identity.ID)
	}
	require.Empty(t, tree.resolved)
	require.Zero(t, len(desk.held))
	a.wantBind(invalid, serviceDN, "wrong")
	require.Equal(t, "anonymous", a.whoAmI())
}

// A client that does not read keeps a goroutine of this package, and nothing of the
// engine, which decides so many at a time and no more.
func TestAnExemptBindsAnswerIsWrittenWhenTheEngineIsDone(t *testing.T) {
	tree, replied, done := newTree(t), make(chan struct{}), make(chan struct{})
	a := front(t, tree, handler(func(r *login.Request) {
		who, err := r.First.Resolve(context.Background(), r.Username)
		if err == nil {
			_, err = r.First.Check(context.Background(), who, []byte(password))
		}
		require.NoError(t, err)
		r.Reply(login.Reply{Kind: login.Accept, Reason: login.Accepted})
		close(replied)
		<-done
	}), exempting()).connect()
	a.write(bindFrame(a.next(), serviceDN, password))
	<-replied
	a.wantSilence(20 * time.Millisecond)
	close(done)
	require.Equal(t, success, a.read().code)
	require.Equal(t, serviceDN, a.whoAmI())
}

func TestWhatOnlyResemblesAnExemptDNIsAUser(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, exempting()).connect()
	for _, name := range []string{"svc", "cn=x," + serviceDN, "ou=services,dc=example,dc=vn", serviceDN + ",", "cn=svc+cn=x,ou=services,dc=example,dc=vn", "cn=svc,ou=services,dc=example,dc=vn\x00", userDN} {
		a.write(bindFrame(a.next(), name, "wrong"))
		require.Equal(t, invalid, a.read().code, name)
		require.Empty(t, desk.last().request.Rule, name)
	}
}

func TestAnExemptDNFromElsewhereIsAUser(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, exempting("192.0.2.0/24")).connect()
	a.wantBind(invalid, serviceDN, password)
	require.Empty(t, desk.last().request.Rule)
	require.Equal(t, []string{serviceDN}, tree.resolved)
}

func TestServiceAccountAndUsersTakeTurnsOnOneConnection(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, exempting()).connect()
	for range 3 {
		a.wantBind(success, serviceDN, password)
		require.Equal(t, serviceDN, a.whoAmI())
		for _, user := range []string{"an", "binh"} {
			a.write(bindFrame(a.next(), user, password))
			held := desk.next(t)
			held.accept()
			require.Equal(t, success, a.read().code)
			require.Equal(t, held.identity.DN, a.whoAmI())
		}
	}
	require.Equal(t, 9, desk.asked(), "each bind has its own login")
}

func TestAServiceAccountIsListenedToWhileTheDirectoryIsSilent(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	asked, answer := make(chan bool), make(chan bool)
	tree.onBind = func(s *session, h header, r bindRequest) []byte {
		asked <- true
		<-answer
		return tree.bind(s, h.id, r)
	}
	p := front(t, tree, desk, exempting())
	a := p.connect()
	a.write(bindFrame(a.next(), serviceDN, password), searchFrame(a.next()), bindFrame(a.next(), serviceDN, password), searchFrame(a.next()))
	for range 2 { // the second one too, which waited behind the first
		<-asked
		a.wantSilence(2 * readOnAfter)
		answer <- true
		require.Equal(t, success, a.read().code)
		require.Equal(t, serviceDN, a.read().text)
	}
	a.write(bindFrame(a.next(), serviceDN, password))
	<-asked
	a.conn.Close()
	eventually(t, "nobody has noticed that the client has left", func() bool {
		p.meter.mu.Lock()
		defer p.meter.mu.Unlock()
		return p.meter.open == 0
	})
	close(answer)
	tree.wantEnded(tree.session(0))
}

func TestAFailedRebindEndsTheEarlierIdentity(t *testing.T) {
	for name, fail := range map[string]func(a *app, d *desk){
		"wrong password": func(a *app, _ *desk) { a.wantBind(invalid, "an", "wrong") },
		"empty password": func(a *app, _ *desk) { a.wantBind(unwilling, "an", "") },
		"SASL":           func(a *app, _ *desk) { a.write(message(a.next(), bindOp(3, "", authSASL, nil)).Bytes()); a.read() },
		"version 2":      func(a *app, _ *desk) { a.write(message(a.next(), bindOp(2, "", authSimple, nil)).Bytes()); a.read() },
		"unknown user":   func(a *app, _ *desk) { a.wantBind(invalid, "who?", password) },
		"denied": func(a *app, d *desk) {
			a.write(bindFrame(a.next(), "binh", password))
			d.next(a.t).reject(login.Denied)
			a.read()
		},
		"code without the password": func(a *app, _ *desk) { a.wantBind(unwilling, "an", ","+rightCode) },
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, nil).connect()
			a.wantBind(success, "an", password+","+rightCode)
			require.Equal(t, userDN, a.whoAmI())
			fail(a, desk)
			require.Equal(t, "anonymous", a.whoAmI())
			a.write(extendedFrame(a.next(), oidPasswordModify))
			require.Equal(t, ldap.LDAPResultStrongAuthRequired, a.read().code)
		})
	}
}

func TestAThrottledLoginEndsTheEarlierIdentityToo(t *testing.T) {
	tree := newTree(t)
	throttled := false
	a := front(t, tree, handler(func(r *login.Request) {
		if throttled {
			r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword})
			return
		}
		throttled = true
		r.First.Check(context.Background(), login.Identity{ID: "id-an", DN: userDN}, r.Password)
		r.Reply(login.Reply{Kind: login.Accept})
	}), nil).connect()
	a.wantBind(success, "an", password)
	require.Equal(t, userDN, a.whoAmI())
	a.wantBind(invalid, "an", password)
	require.Equal(t, "anonymous", a.whoAmI())
}

func TestADirectoryThatIsDownIsUnavailable(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	tree.setDown(true)
	p := front(t, tree, desk, exempting())
	a := p.connect()
	r := a.wantBind(unavailable, "an", password)
	require.Equal(t, "unavailable for app [TRACE2]", r.text)
	a.wantBind(unavailable, serviceDN, password)
	a.wantBind(unavailable, "", "")
	a.write(searchFrame(a.next()))
	require.Equal(t, unavailable, a.read().code)
	tree.setDown(false)
	a.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, userDN, a.whoAmI())
}

func TestWhatADirectorySaysOfABind(t *testing.T) {
	for code, want := range map[int]int{
		0: success, 49: invalid, 48: invalid, 32: invalid, 34: invalid, 53: invalid, 19: invalid, 50: invalid,
		1: unavailable, 2: unavailable, 8: unavailable, 10: unavailable, 13: unavailable, 14: unavailable, 51: unavailable, 52: unavailable, 80: unavailable, 206: unavailable,
	} {
		tree, desk := newTree(t), newDesk()
		tree.onBind = func(s *session, h header, r bindRequest) []byte {
			return encodeResult(h.id, ldap.ApplicationBindResponse, ldap.LDAPResultCode(code), "")
		}
		a := front(t, tree, desk, nil).connect()
		a.wantBind(want, "an", password+","+rightCode)
	}
}

func TestADirectoryThatDoesNotAnswerABindIsUnavailable(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	tree.onBind = func(*session, header, bindRequest) []byte { return nil }
	a := front(t, tree, desk, func(_ *Options, l *limits) { l.answer = 300 * time.Millisecond }).connect()
	a.wantBind(unavailable, "an", password)
	tree.wantEnded(tree.session(0))
	require.Equal(t, "anonymous", a.whoAmI())
}

func TestMalformedBindResponsesLetNobodyIn(t *testing.T) {
	for name, frame := range map[string]string{
		"no result":         "\x30\x05\x02\x01\x01\x61\x00",
		"result 0 as text":  "\x30\x0c\x02\x01\x01\x61\x07\x04\x01\x00\x04\x00\x04\x00",
		"empty result":      "\x30\x0b\x02\x01\x01\x61\x06\x0a\x00\x04\x00\x04\x00",
		"lengths that lie":  "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x40\x04\x00",
		"another id":        "\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
		"result of 5 bytes": "\x30\x10\x02\x01\x01\x61\x0b\x0a\x05\x01\x00\x00\x00\x00\x04\x00\x04\x00",
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			tree.onBind = func(*session, header, bindRequest) []byte { return []byte(frame) }
			a := front(t, tree, desk, nil).connect()
			a.wantBind(unavailable, "an", password+","+rightCode)
			tree.wantEnded(tree.session(0))
		})
	}
}

func TestNoPasswordOrCodeIsEverLogged(t *testing.T) {
	book := globalLog(t)
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, exempting())
	a := p.connect()
	a.wantBind(success, "an", password+","+rightCode)
	a.wantBind(invalid, "an\n\x1b[31mforged", password)
	a.wantBind(invalid, "an", password+",000000")
	a.wantBind(unwilling, "an", ","+rightCode)
	tree.setDown(true)
	a.wantBind(unavailable, "an", password)
	a.write([]byte("\x30\x0c\x02\x01\x01\x60\x07garbage"))
	a.wantNotice(protocolError)
	p.stop()
	for _, said := range []string{p.log.String(), book.String()} {
		require.NotContains(t, said, "canary")
		require.NotContains(t, said, rightCode)
		require.NotContains(t, said, "\x1b")
	}
}

// A service account's application may send its next bind before the last one is
// answered, for ever: the first of these takes long enough for the reader to go on.
func TestBindsThatKeepComingDoNotGrowTheStack(t *testing.T) {
	binds, deepest := 0, 0
	h := handler(func(r *login.Request) { // one bind of a connection after the other
		if binds++; binds == 1 {
			time.Sleep(4 * readOnAfter)
		}
		time.Sleep(100 * time.Microsecond) // the next ones are waiting meanwhile
		deepest = max(deepest, runtime.Callers(0, make([]uintptr, 10_000)))
		r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword})
	})
	a := front(t, newTree(t), h, exempting()).connect()
	for range 15 {
		a.write(bindFrame(a.next(), serviceDN, "wrong"))
	}
	for range 500 {
		a.read()
		a.write(bindFrame(a.next(), serviceDN, "wrong"))
	}
	for range 15 {
		a.read()
	}
	require.Less(t, deepest, 100)
}
