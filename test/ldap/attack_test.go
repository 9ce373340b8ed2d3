package ldap_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	ber "github.com/nmcclain/asn1-ber"
	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// The attacker of these tests knows the password of user 1 and reaches the
// applications and the VPN. What he lacks is the phone.

// crowd binds on many connections at once, and returns how each ended.
func (w *world) crowd(from, name string, passwords []string) []error {
	w.t.Helper()
	conns := make([]*ldap.Conn, len(passwords))
	for i := range conns {
		conns[i] = w.connect(from)
	}
	ends := make([]error, len(passwords))
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() {
			<-gate
			ends[i] = conns[i].Bind(name, passwords[i])
		})
	}
	close(gate)
	all.Wait()
	for i, err := range ends {
		if err != nil {
			require.Empty(w.t, whoami(w.t, conns[i]))
		}
	}
	return ends
}

func same(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

func successes(ends []error) (n int) {
	for _, err := range ends {
		if err == nil {
			n++
		}
	}
	return n
}

func TestARightCodeLetsOneOfManyIn(t *testing.T) {
	w := start(t, options{phones: 1, second: ", lockout: {after: 50}, wrong_codes: 50"})
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	code := w.shows(1, 1)[0].Code
	ends := w.crowd(mail, dn(1), same(password(1)+","+code, 12))
	require.Equal(t, 1, successes(ends), "%v", ends)
	require.Len(t, w.accepts(), 1)
}

func TestALateApprovalLetsOneOfManyIn(t *testing.T) {
	w := start(t, options{phones: 1})
	refusal(t, w.connect(brief).Bind(dn(1), password(1)))
	w.approve(1, later)
	ends := w.crowd(brief, dn(1), same(password(1), 12))
	require.Equal(t, 1, successes(ends), "%v", ends)
	require.Len(t, w.accepts(), 1)
}

func TestOneOfManyWhoWaitIsLetIn(t *testing.T) {
	w := start(t, options{phones: 1})
	held := w.bind(w.connect(wiki), dn(1), password(1))
	w.shows(1, 1)
	w.approve(1, accepted)
	ends := w.crowd(brief, dn(1), same(password(1), 6))
	require.NoError(t, held.wait())
	require.Zero(t, successes(ends), "an approval at one application is none at another: %v", ends)
}

// Clients that come and go at once, and a phone that approves whatever it shows
// as often as it can: nobody is let in by an approval of somebody else's, or by
// one that was used.
func TestNeverMoreLoginsThanApprovals(t *testing.T) {
	w := start(t, options{phones: 1})
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var in, attempts atomic.Int64
	var bots sync.WaitGroup
	for _, from := range []string{brief, mail, wiki, wiki, wiki} { // one tap cannot choose between two who stay
		bots.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP(from)}, w.address())
				if err != nil {
					continue
				}
				c := ldap.NewConn(conn, false)
				c.Start()
				if from == wiki { // leaves soon
					time.AfterFunc(30*time.Millisecond, func() { c.Close() })
				}
				attempts.Add(1)
				if c.Bind(dn(1), password(1)) == nil {
					in.Add(1)
				}
				c.Close()
			}
		})
	}
	approvals := 0
	for ctx.Err() == nil {
		list, err := w.phones[1].Logins(ctx, 0, "")
		if err != nil {
			break
		}
		for _, l := range list.Logins {
			if _, err := w.phones[1].Approve(t.Context(), l.ID, ""); err == nil {
				approvals++
			}
		}
	}
	bots.Wait()
	t.Logf("%d binds, %d approvals, %d let in", attempts.Load(), approvals, in.Load())
	require.Positive(t, in.Load())
	let := map[string]bool{}
	for _, r := range w.accepts() {
		require.False(t, let[r.Attempt], "a login let in twice")
		let[r.Attempt] = true
		require.Equal(t, "approval", r.Factor)
	}
	require.LessOrEqual(t, int(in.Load()), len(let), "an approval that nobody was there for any more is lost, never doubled")
	require.LessOrEqual(t, len(let), approvals)
	w.Verify()
}

func TestGuessesAtOnceAreNoMoreThanGuessesInTurn(t *testing.T) {
	w := start(t, options{phones: 1, second: ", lockout: {after: 4}"})
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	right := w.shows(1, 1)[0].Code
	var guesses []string
	for i := range 24 {
		if guess := fmt.Sprintf("%06d", 41*i+7); guess != right {
			guesses = append(guesses, password(1)+","+guess)
		}
	}
	told := 0
	for _, err := range w.crowd(mail, dn(1), guesses) {
		if strings.Contains(refusal(t, err), "Wrong code.") {
			told++
		}
	}
	require.LessOrEqual(t, told, 2, "the third ends the login")
	require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+right)), "Too many wrong codes")

	// The fourth locks, if it was not among those at once.
	if said := refusal(t, w.connect(mail).Bind(dn(1), password(1))); !strings.Contains(said, "locked") {
		refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+w.wrong(1)))
		require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1))), "locked")
	}
}

func TestACrashForgivesNoGuess(t *testing.T) {
	w := start(t, options{phones: 1, second: ", lockout: {after: 3}"})
	for range 3 {
		require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1))), "Password correct.")
		require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+w.wrong(1))), "Wrong code.")
		w.Kill()
		w.Start()
	}
	require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1))), "locked")
}

func TestACodeIsUsedForGood(t *testing.T) {
	w := start(t, options{phones: 1})
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	typed := password(1) + "," + w.shows(1, 1)[0].Code
	require.NoError(t, w.connect(mail).Bind(dn(1), typed))
	for _, end := range []func(){w.Stop, w.Kill} {
		end()
		w.Start()
		refusal(t, w.connect(mail).Bind(dn(1), typed))
		refusal(t, w.connect(mail).Bind("user0001", typed))
	}
	require.Len(t, w.accepts(), 1)
}

// A clean stop saves what is open, for one start: a crash after that does not
// bring a used login back.
func TestALoginThatWasSavedIsNotFoundAgain(t *testing.T) {
	w := start(t, options{phones: 1})
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	typed := password(1) + "," + w.shows(1, 1)[0].Code
	refusal(t, w.connect(brief).Bind(dn(1), password(1)))
	for _, l := range w.shows(1, 2) {
		if l.Client == "brief" {
			_, err := w.phones[1].Approve(t.Context(), l.ID, "")
			require.NoError(t, err)
		}
	}
	w.Stop()
	w.Start()
	require.NoError(t, w.connect(mail).Bind(dn(1), typed))
	require.NoError(t, w.connect(brief).Bind(dn(1), password(1)))
	w.Kill()
	w.Start()
	refusal(t, w.connect(mail).Bind(dn(1), typed))
	refusal(t, w.connect(brief).Bind(dn(1), password(1)))
	require.Len(t, w.accepts(), 2)
}

func TestACodeIsForItsApplication(t *testing.T) {
	w := start(t, options{phones: 1})
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	code := w.shows(1, 1)[0].Code
	refusal(t, w.connect(codes).Bind(dn(1), password(1)+","+code))
	nas := w.NAS(vpn)
	require.EqualValues(t, site.AccessReject, nas.Ask(site.Request{User: testenv.UserName(1), Password: password(1) + "," + code, Station: "203.0.113.9"}).Code)
	require.NoError(t, w.connect(mail).Bind(dn(1), password(1)+","+code), "where it was asked for")
}

func TestWhereCodesAreAskedForAnApprovalIsNone(t *testing.T) {
	w := start(t, options{phones: 1})
	b := w.bind(w.connect(codes), dn(1), password(1))
	open := w.shows(1, 1)[0]
	_, err := w.phones[1].Approve(t.Context(), open.ID, "")
	var refused *phone.Problem
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "approval_off", refused.Code)
	refusal(t, b.wait())
	require.NoError(t, w.connect(codes).Bind(dn(1), password(1)+","+open.Code))
}

// Everything that tests a password in a directory, or makes somebody somebody
// else, without being a simple bind of version 3.
func TestWaysRoundTheBind(t *testing.T) {
	w := start(t, options{phones: 1})
	const (
		verifyCredentials = "1.3.6.1.4.1.4203.666.6.5"
		fastBind          = "1.2.840.113556.1.4.1781"
		passwordModify    = "1.3.6.1.4.1.4203.1.11.1"
	)
	modify := string([]byte{0x30, byte(2 + len(dn(1)) + 2 + len(password(1)) + 5), 0x80, byte(len(dn(1)))}) + dn(1) +
		string([]byte{0x81, byte(len(password(1)))}) + password(1) + "\x82\x03new"
	for name, c := range map[string]struct {
		frame func(*wire) []byte
		code  int64
	}{
		"SASL PLAIN":                     {func(c *wire) []byte { return c.sasl("PLAIN", "\x00user0001\x00"+password(1)) }, 7},
		"SASL EXTERNAL":                  {func(c *wire) []byte { return c.sasl("EXTERNAL", "dn:"+dn(1)) }, 7},
		"no password":                    {func(c *wire) []byte { return c.bind(dn(1), "") }, unwilling},
		"NULs for a password":            {func(c *wire) []byte { return c.bind(dn(1), "\x00\x00") }, unwilling},
		"a code for a password":          {func(c *wire) []byte { return c.bind(dn(1), ",123456") }, unwilling},
		"a word for a password":          {func(c *wire) []byte { return c.bind(dn(1), ",push") }, unwilling},
		"a password for nobody":          {func(c *wire) []byte { return c.bind("", password(1)) }, invalid},
		"a NUL behind the name":          {func(c *wire) []byte { return c.bind(dn(1)+"\x00", password(1)) }, invalid},
		"a NUL behind the password":      {func(c *wire) []byte { return c.bind(dn(1), password(1)+"\x00") }, invalid},
		"compare":                        {func(c *wire) []byte { return c.compare(dn(1), "userPassword", password(1)) }, denied},
		"compare by OID":                 {func(c *wire) []byte { return c.compare(dn(1), "2.5.4.35", password(1)) }, denied},
		"compare with an option":         {func(c *wire) []byte { return c.compare(dn(1), "USERPASSWORD;binary", password(1)) }, denied},
		"verify credentials":             {func(c *wire) []byte { return c.extended(verifyCredentials, "\x30\x00") }, unwilling},
		"fast bind":                      {func(c *wire) []byte { return c.extended(fastBind, "") }, unwilling},
		"password modify with the old":   {func(c *wire) []byte { return c.extended(passwordModify, modify) }, strongAuth},
		"StartTLS spelt with a zero":     {func(c *wire) []byte { return c.extended("1.3.6.1.4.1.1466.020037", "") }, protocolError},
		"a service account from outside": {func(c *wire) []byte { return c.bind(testenv.SlapdAppDN, testenv.SlapdAppPassword) }, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.of(t)
			conn := w.wire(brief)
			conn.send(c.frame(conn))
			f := conn.read()
			require.Equal(t, c.code, f.code, "%+v", f)
			require.Empty(t, conn.who())
		})
	}
	w.shows(1, 0)
	require.Empty(t, w.accepts())
}

// Binds that are right but for a few bytes, and requests with a right bind inside
// them and a head that claims another length, each with a question behind it:
// if the directory read one otherwise than vssgate did, it would answer as
// user 1.
func TestMangledFramesLetNobodyIn(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Log: true}})
	seed := [2]uint64{rand.Uint64(), rand.Uint64()}
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed[0], seed[1]))
	for range mangled {
		c := w.wire(mail)
		c.survives(append(smuggle(random, c), c.whoami()...))
	}
	require.Empty(t, w.binds(), "slapd has read what was hidden")
	for range mangled {
		c := w.wire(mail)
		c.survives(append(mangle(random, c.bind(dn(1), password(1))), c.whoami()...))
	}
	require.Empty(t, w.accepts())
	require.True(t, w.Running())
}

// mangled is how many frames are tried.
const mangled = 60

// survives sends bytes, and wants that no answer to them lets anybody in. It
// waits for the last answer, but not long: a message that is said to be longer
// than it is gets none.
func (c *wire) survives(b []byte) {
	c.t.Helper()
	defer c.conn.Close()
	c.send(b)
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	for {
		m, err := ber.ReadPacket(c.in)
		if err != nil {
			return
		}
		f := decode(c.t, m)
		require.False(c.t, strings.Contains(f.oid, "uid="), "let in by %x", b)
		require.False(c.t, f.op == bindResponse && f.code == success, "let in by %x", b)
		if f.id == c.id && f.op == extendedResponse {
			return
		}
	}
}

// heads are ways to begin a message, as far as its last length octet: one of
// them is right.
var heads = []string{
	"\x30", "\x10", "\x70", "\xb0", "\x3f\x30", "\x30\x80", "\x30\x81", "\x30\x82\x00", "\x30\x83\x00\x00",
	"\x30\x84\x00\x00\x00", "\x30\x85\x00\x00\x00\x00", "\x30\x88\x00\x00\x00\x00\x00\x00\x00",
}

// smuggle hides a bind and a question in another request.
func smuggle(random *rand.Rand, c *wire) []byte {
	hidden := string(append(c.bind(dn(1), password(1)), c.whoami()...))
	frame := [][]byte{
		c.search(testenv.SlapdPeople, hidden), c.compare(dn(1), "uid", hidden), c.extended("1.3.6.1.4.1.4203.1.11.3", hidden),
	}[random.IntN(3)]
	body := frame[2:]
	if frame[1] >= 0x80 {
		body = frame[2+frame[1]&0x7f:]
	}
	length := random.IntN(len(body) + 1)
	if random.IntN(2) == 0 {
		length = len(body)
	}
	frame = append(append([]byte(heads[random.IntN(len(heads))]), byte(length)), body...)
	if random.IntN(2) == 0 {
		frame = mangle(random, frame)
	}
	return frame
}

// mangle changes, drops, doubles or inserts a few bytes.
func mangle(random *rand.Rand, frame []byte) []byte {
	b := append([]byte(nil), frame...)
	for range 1 + random.IntN(3) {
		at := random.IntN(min(len(b), 24))
		switch random.IntN(4) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b[at] = byte(random.Uint32())
		case 2:
			b = append(b[:at], b[at+1:]...)
		default:
			b = append(b[:at], append([]byte{byte(random.Uint32())}, b[at:]...)...)
		}
	}
	return b
}

// User 2 has a phone, and knows the password of user 1.
func TestAColleaguesPhoneIsOfNoUse(t *testing.T) {
	w := start(t, options{phones: 2})
	nas, asked := w.vpn(2)
	code := w.shows(2, 1)[0].Code
	done := nas.Ask(site.Request{User: testenv.UserName(1), Password: code, State: asked.State, Station: "203.0.113.7"})
	require.EqualValues(t, site.AccessReject, done.Code, "a State is for who was challenged")
	refusal(t, w.connect(mail).Bind(dn(2), password(2)))
	for _, l := range w.shows(2, 2) {
		refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+l.Code))
		refusal(t, w.connect(mail).Bind(dn(1), password(2)+","+l.Code))
	}

	conn := w.connect(wiki)
	b := w.bind(conn, dn(2), password(2))
	for _, l := range w.shows(2, 3) {
		if l.Client == "wiki" {
			_, err := w.phones[2].Approve(t.Context(), l.ID, "")
			require.NoError(t, err)
		}
	}
	require.NoError(t, b.wait())
	b = w.bind(conn, dn(1), password(1))
	victims := w.shows(1, 1)
	for _, answer := range []string{"approve", "deny", "report"} {
		_, err := w.phones[2].Answer(t.Context(), victims[0].ID, phone.Answer{Answer: answer})
		var refused *phone.Problem
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 404, refused.Status)
	}
	b.held()
	w.phones[1].No()
	refusal(t, b.wait())
	require.Empty(t, whoami(t, conn), "and he is himself no more")
	for _, r := range w.accepts() {
		require.Equal(t, testenv.UserName(2), r.Username)
	}
}
