package ldapproxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/nmcclain/asn1-ber"
	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

const (
	people     = "ou=people,dc=example,dc=vn"
	userDN     = "uid=an,ou=people,dc=example,dc=vn"
	otherDN    = "uid=binh,ou=people,dc=example,dc=vn"
	serviceDN  = "cn=svc,ou=services,dc=example,dc=vn"
	nobodyName = "cn=nobody,ou=people,dc=example,dc=vn"
	password   = "secret-canary"
)

// tree is a small directory whose frames a test can see and change. Searches
// answer with whom the connection is bound as.
type tree struct {
	t        testing.TB
	addr     string
	listener net.Listener

	// onBind replaces the answer to a bind; nil: the usual one.
	onBind func(s *session, h header, r bindRequest) []byte
	// onOther answers everything else; nil: the usual one.
	onOther func(s *session, h header, frame []byte) []byte

	mu       sync.Mutex
	sessions []*session
	binds    []bindRequest
	frames   [][]byte // relayed ones
	down     bool
	resolved []string
}

// session is one connection to the tree.
type session struct {
	conn  net.Conn
	bound string
	ended chan struct{}
}

func newTree(t testing.TB) *tree {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &tree{t: t, addr: ln.Addr().String(), listener: ln}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s := &session{conn: conn, ended: make(chan struct{})}
			d.mu.Lock()
			d.sessions = append(d.sessions, s)
			d.mu.Unlock()
			group.Go(func() { d.serve(s) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		d.closeAll()
		group.Wait()
	})
	return d
}

func (d *tree) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		s.conn.Close()
	}
}

func (d *tree) ResolveBind(_ context.Context, name string) (login.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resolved = append(d.resolved, name)
	if d.down {
		return login.Identity{}, errors.New("the directory is down")
	}
	for _, dn := range []string{userDN, otherDN} {
		uid := strings.TrimPrefix(strings.Split(dn, ",")[0], "uid=")
		if strings.EqualFold(name, dn) || strings.EqualFold(name, uid) || strings.EqualFold(name, uid+"@example.vn") {
			return login.Identity{ID: "id-" + uid, DN: dn, Username: uid}, nil
		}
	}
	return login.Identity{}, nil
}

func (d *tree) NobodyDN() string { return nobodyName }

func (d *tree) Dial(ctx context.Context) (net.Conn, error) {
	d.mu.Lock()
	down := d.down
	d.mu.Unlock()
	if down {
		return nil, errors.New("the directory is down")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", d.addr)
}

func (d *tree) setDown(down bool) {
	d.mu.Lock()
	d.down = down
	d.mu.Unlock()
}

func (d *tree) serve(s *session) {
	defer close(s.ended)
	defer s.conn.Close()
	src := source{r: s.conn}
	for {
		h, frame, err := readFrame(&src, true)
		if err != nil {
			return
		}
		if answer := d.answer(s, h, frame); answer != nil {
			if _, err := s.conn.Write(answer); err != nil {
				return
			}
		}
	}
}

func (d *tree) answer(s *session, h header, frame []byte) []byte {
	if h.op == opBindRequest {
		r, refused, err := decodeBind(h, frame, true, s.conn)
		if err != nil || refused != nil {
			return encodeResult(h.id, ldap.ApplicationBindResponse, ldap.LDAPResultProtocolError, "a bind that should not be here")
		}
		if rest, ours := bytes.CutSuffix(r.controls, policyRequest); ours {
			r.ownPolicy, r.controls = true, append([]byte(nil), rest...)
		}
		d.mu.Lock()
		d.binds = append(d.binds, r)
		d.mu.Unlock()
		if d.onBind != nil {
			return d.onBind(s, h, r)
		}
		return d.bind(s, h.id, r)
	}
	d.mu.Lock()
	d.frames = append(d.frames, append([]byte(nil), frame...))
	d.mu.Unlock()
	if d.onOther != nil {
		return d.onOther(s, h, frame)
	}
	return s.whoIs(h)
}

// bind is the usual answer: everybody's password is the same.
func (d *tree) bind(s *session, id int32, r bindRequest) []byte {
	s.bound = ""
	switch {
	case r.name == "" && r.password == "":
	case r.password == password && r.name != nobodyName:
		s.bound = r.name
	default:
		return encodeResult(id, ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials, "data 52e of the directory")
	}
	return successWithControl(id)
}

// successWithControl is a BindResponse that only this directory would write
// like that: a text, long lengths, a control.
func successWithControl(id int32) []byte {
	op := result(ldap.ApplicationBindResponse, ldap.LDAPResultSuccess, "welcome from the directory")
	m := message(id, op)
	body := append(m.Data.Bytes(), 0xa0, 0x82, 0x00, 0x0b, 0x30, 0x09, 0x04, 0x07, '1', '.', '2', '.', '3', '.', '4')
	return append([]byte{0x30, 0x84, 0, 0, 0, byte(len(body))}, body...)
}

// whoIs answers any request with the bound name in its text.
func (s *session) whoIs(h header) []byte {
	op, answered := response[h.op]
	if !answered {
		return nil
	}
	name := s.bound
	if name == "" {
		name = "anonymous"
	}
	return encodeResult(h.id, op, ldap.LDAPResultSuccess, name)
}

func (d *tree) session(i int) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions[i]
}

func (d *tree) connections() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sessions)
}

func (d *tree) bindsSeen() []bindRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]bindRequest(nil), d.binds...)
}

func (d *tree) relayed() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([][]byte(nil), d.frames...)
}

// wantEnded waits until a session is over.
func (d *tree) wantEnded(s *session) {
	d.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		d.t.Fatal("the upstream connection is still open")
	}
}

// readFrame reads one frame whatever it is.
func readFrame(src *source, fromClient bool) (header, []byte, error) {
	b, err := src.peek(2)
	for err == nil {
		h, bad := parseHeader(b, 1<<30, fromClient)
		if bad == nil {
			if b, err = src.peek(h.size); err != nil {
				return h, nil, err
			}
			frame := append([]byte(nil), b[:h.size]...)
			src.skip(h.size)
			return h, frame, nil
		}
		if !errors.Is(bad, errShort) {
			return header{}, nil, bad
		}
		b, err = src.peek(len(b) + 1)
	}
	return header{}, nil, err
}

// app is a client that writes frames by hand.
type app struct {
	t    testing.TB
	conn net.Conn
	src  source
	id   int32
}

func (p *proxy) connect() *app {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	a := &app{t: p.t, conn: conn}
	a.src.r = conn
	return a
}

func (a *app) write(frames ...[]byte) {
	a.t.Helper()
	for _, f := range frames {
		_, err := a.conn.Write(f)
		require.NoError(a.t, err)
	}
}

func (a *app) next() int32 { a.id++; return a.id }

// reply is a response as a test looks at it.
type reply struct {
	header
	frame []byte
	code  int
	text  string
}

func (a *app) read() reply {
	a.t.Helper()
	h, frame, err := readFrame(&a.src, false)
	require.NoError(a.t, err)
	r := reply{header: h, frame: frame, code: -1}
	op := ber.DecodePacket(frame[h.opAt:])
	if len(op.Children) >= 3 && is(op.Children[0], tagEnumerated) {
		r.code = int(op.Children[0].Value.(uint64))
		r.text = op.Children[2].Value.(string)
	}
	return r
}

// wantNotice reads a Notice of Disconnection and the end.
func (a *app) wantNotice(code int) {
	a.t.Helper()
	r := a.read()
	require.Zero(a.t, r.id)
	require.Equal(a.t, byte(structure|ldap.ApplicationExtendedResponse), r.op)
	require.Contains(a.t, string(r.frame), oidNoticeOfDisconnection)
	require.Equal(a.t, code, r.code, r.text)
	a.wantEnd()
}

func (a *app) wantEnd() {
	a.t.Helper()
	_, err := a.src.peek(1)
	require.Error(a.t, err, "more came: %x", a.src.buffered())
	require.False(a.t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is still open")
}

func (a *app) wantSilence(d time.Duration) {
	a.t.Helper()
	a.conn.SetReadDeadline(time.Now().Add(d))
	defer a.conn.SetReadDeadline(time.Now().Add(patience))
	_, err := a.src.peek(1)
	require.ErrorIs(a.t, err, os.ErrDeadlineExceeded, "%x", a.src.buffered())
}

// bind binds and returns the answer.
func (a *app) bind(name, password string) reply {
	a.t.Helper()
	a.write(bindFrame(a.next(), name, password))
	return a.read()
}

func (a *app) wantBind(code int, name, password string) reply {
	a.t.Helper()
	r := a.bind(name, password)
	require.Equal(a.t, a.id, r.id)
	require.Equal(a.t, byte(opBindResponse), r.op)
	require.Equal(a.t, code, r.code, r.text)
	return r
}

// whoAmI asks the tree as whom this client's upstream connection is bound.
func (a *app) whoAmI() string {
	a.t.Helper()
	id := a.next()
	a.write(searchFrame(id))
	r := a.read()
	require.Equal(a.t, id, r.id)
	require.Equal(a.t, byte(structure|ldap.ApplicationSearchResultDone), r.op)
	require.Zero(a.t, r.code, r.text)
	return r.text
}

func bindFrame(id int32, name, password string) []byte {
	return encodeBind(bindRequest{id: id, name: name, password: password})
}

func searchFrame(id int32, controls ...string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchRequest, nil, "")
	op.AppendChild(octets(people))
	for _, n := range []uint64{2, 0} {
		op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, ""))
	}
	for range 2 {
		op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	}
	op.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 7, "objectClass", ""))
	op.AppendChild(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""))
	return withControls(id, op, controls)
}

func withControls(id int32, op *ber.Packet, controls []string) []byte {
	m := message(id, op)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, oid := range controls {
			control := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
			control.AppendChild(octets(oid))
			all.AppendChild(control)
		}
		m.AppendChild(all)
	}
	return m.Bytes()
}

func compareFrame(id int32, attribute string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationCompareRequest, nil, "")
	op.AppendChild(octets(userDN))
	assertion := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	assertion.AppendChild(octets(attribute))
	assertion.AppendChild(octets(password))
	op.AppendChild(assertion)
	return message(id, op).Bytes()
}

func extendedFrame(id int32, oid string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oid, ""))
	return message(id, op).Bytes()
}

func abandonFrame(id, which int32) []byte {
	return message(id, ber.NewInteger(ber.ClassApplication, ber.TypePrimitive, ldap.ApplicationAbandonRequest, uint64(which), "")).Bytes()
}

func unbindFrame(id int32) []byte {
	return message(id, ber.Encode(ber.ClassApplication, ber.TypePrimitive, ldap.ApplicationUnbindRequest, nil, "")).Bytes()
}

// eventually waits for a fact that no channel tells.
func eventually(t testing.TB, what string, fact func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !fact(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// is tells whether a packet has exactly that identifier octet.
func is(p *ber.Packet, identifier byte) bool { return p.ClassType|p.TagType|p.Tag == identifier }
