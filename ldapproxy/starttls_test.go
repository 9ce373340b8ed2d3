package ldapproxy

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// secured makes a Server with a certificate, that wants TLS for passwords.
func secured(ca *testenv.Authority) func(*Options, *limits) {
	return func(o *Options, _ *limits) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Cert}, MinVersion: tls.VersionTLS12}
		o.RequireTLS = true
	}
}

// startTLS asks for TLS and shakes hands.
func (a *app) startTLS(ca *testenv.Authority) {
	a.t.Helper()
	a.write(extendedFrame(a.next(), oidStartTLS))
	r := a.read()
	require.Equal(a.t, success, r.code, r.text)
	require.Equal(a.t, encodeExtended(a.id, oidStartTLS, success, ""), r.frame, "RFC 4511 section 4.14.2 wants the name")
	a.secure(ca)
}

func (a *app) secure(ca *testenv.Authority) {
	a.t.Helper()
	conn := tls.Client(a.conn, &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"})
	require.NoError(a.t, conn.Handshake())
	a.conn, a.src.r = conn, conn
}

func TestAPasswordIsTakenAfterStartTLS(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	a := front(t, tree, desk, secured(ca)).connect()
	a.wantBind(confidentiality, "an", password)
	require.Equal(t, "anonymous", a.whoAmI())
	a.startTLS(ca)
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	held.accept()
	require.Equal(t, successWithControl(a.id), a.read().frame)
	require.Equal(t, userDN, a.whoAmI())
	require.Len(t, tree.relayed(), 2, "StartTLS is not relayed")
}

func TestLDAPSIsEncryptedFromTheStart(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	p := front(t, tree, desk, secured(ca))
	p.addr = p.tlsAddr
	a := p.connect()
	a.secure(ca)
	a.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, userDN, a.whoAmI())
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	p.stop()
	a.wantNotice(unavailable)
	held.wantLeft(t)
}

func TestStartTLSThatIsRefused(t *testing.T) {
	ca := testenv.CA(t)
	for name, c := range map[string]struct {
		change func(*Options, *limits)
		before func(a *app, d *desk)
		code   int
	}{
		"it is not offered": {nil, func(*app, *desk) {}, protocolError},
		"TLS is on":         {secured(ca), func(a *app, _ *desk) { a.startTLS(ca) }, operationsError},
		"an operation is outstanding": {secured(ca), func(a *app, _ *desk) {
			a.write(searchFrame(a.next()))
		}, operationsError},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			if strings.Contains(name, "outstanding") {
				tree.onOther = func(*session, header, []byte) []byte { return nil }
			}
			a := front(t, tree, desk, c.change).connect()
			c.before(a, desk)
			a.write(extendedFrame(a.next(), oidStartTLS))
			r := a.read()
			require.Equal(t, c.code, r.code)
			require.Contains(t, string(r.frame), oidStartTLS)
			a.wantBind(success, "", "")
		})
	}
}

func TestStartTLSBehindAHeldBindIsRefused(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	a := front(t, tree, desk, func(o *Options, l *limits) { secured(ca)(o, l); o.RequireTLS = false }).connect()
	a.write(bindFrame(a.next(), "an", password), extendedFrame(a.next(), oidStartTLS))
	held := desk.next(t)
	a.wantSilence(20 * time.Millisecond)
	held.accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, operationsError, a.read().code)
	a.startTLS(ca)
	require.Equal(t, userDN, a.whoAmI(), "the identity outlives StartTLS")
}

func TestStartTLSRightAfterABindsAnswer(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	p := front(t, tree, desk, func(o *Options, l *limits) { secured(ca)(o, l); o.RequireTLS = false })
	for range 50 {
		a := p.connect()
		a.wantBind(success, "an", password+","+rightCode)
		a.startTLS(ca)
		require.Equal(t, userDN, a.whoAmI())
	}
}

func TestDataBehindStartTLSIsNeverExecuted(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	p := front(t, tree, desk, secured(ca))
	for _, injected := range [][]byte{bindFrame(2, "an", password), searchFrame(2), {0x30}, {0x16, 0x03}} {
		a := p.connect()
		a.write(append(extendedFrame(1, oidStartTLS), injected...))
		a.wantNotice(protocolError)
	}
	require.Zero(t, desk.asked())
	require.Zero(t, tree.connections())
}

func TestAnotherOIDThatContainsStartTLSIsNot(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	a := front(t, tree, desk, secured(ca)).connect()
	for _, oid := range []string{oidStartTLS + ".1", "1." + oidStartTLS, oidStartTLS + "1"} {
		a.write(extendedFrame(a.next(), oid))
		require.Equal(t, "anonymous", a.read().text)
	}
	require.Len(t, tree.relayed(), 3)
}

func TestGarbageInsteadOfAHandshakeEndsTheConnection(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	p := front(t, tree, desk, func(o *Options, l *limits) { secured(ca)(o, l); l.handshake = 50 * time.Millisecond })
	for name, garbage := range map[string]string{"silence": "", "half a record": "\x16\x03\x01", "an LDAP message": string(bindFrame(2, "an", password))} {
		t.Run(name, func(t *testing.T) {
			a := p.connect()
			a.write(extendedFrame(1, oidStartTLS))
			require.Equal(t, success, a.read().code)
			a.write([]byte(garbage))
			for { // an alert of TLS may come, an LDAP message must not
				b, err := a.src.peek(1)
				if err != nil {
					break
				}
				require.NotEqual(t, byte(tagSequence), b[0])
				a.src.skip(len(b))
			}
			secure, err := net.Dial("tcp", p.tlsAddr)
			require.NoError(t, err)
			defer secure.Close()
			secure.Write([]byte(garbage))
		})
	}
	eventually(t, "connections are left", func() bool { return p.meter.refused("tls") == 6 && p.open() == 0 })
	require.Zero(t, desk.asked())
}

func TestTheEndOfTheServerDoesNotWaitForAHandshake(t *testing.T) {
	tree, desk, ca := newTree(t), newDesk(), testenv.CA(t)
	p := front(t, tree, desk, func(o *Options, l *limits) { secured(ca)(o, l); l.handshake = time.Minute })
	a := p.connect()
	a.write(extendedFrame(1, oidStartTLS))
	require.Equal(t, success, a.read().code)
	p.stop()
	a.wantEnd()
}
