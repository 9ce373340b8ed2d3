package ldapproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"
)

// The LDAP package's own Server has faults that an application, or anybody who
// reaches its port, can bring about. Each is tried here on the package's Server,
// in a process of its own, where it shows, and on ours, where it must not: so
// each of these checks can fail.

// faultyEnv makes the test program the package's Server.
const faultyEnv = "VSSGATE_TEST_FAULTY"

// faulty is who answers behind the package's Server.
type faulty struct{}

func (faulty) Bind(name, pw string, _ net.Conn) (ldap.LDAPResultCode, error) {
	if pw != password {
		return ldap.LDAPResultInvalidCredentials, nil
	}
	return ldap.LDAPResultSuccess, nil
}

// Search finds an entry that is called as whom it was asked.
func (faulty) Search(boundDN string, _ ldap.SearchRequest, _ net.Conn) (ldap.ServerSearchResult, error) {
	if boundDN == "" {
		boundDN = "anonymous"
	}
	return ldap.ServerSearchResult{Entries: []*ldap.Entry{{DN: boundDN}}, ResultCode: ldap.LDAPResultSuccess}, nil
}

func serveFaulty() {
	s := ldap.NewServer()
	s.BindFunc("", faulty{})
	s.SearchFunc("", faulty{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	_ = s.Serve(ln)
}

// startFaulty returns the address of a fresh one.
func startFaulty(t *testing.T) string {
	cmd := exec.Command("/bin/sh", "-c", `ulimit -v 6000000; exec "$0"`, os.Args[0]) // a length of 5 GiB is to end it, not the machine
	cmd.Env = append(os.Environ(), faultyEnv+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := bufio.NewScanner(out)
	require.True(t, line.Scan())
	return line.Text()
}

// peer is a client that may be treated badly: reads end with what came.
type peer struct {
	conn net.Conn
	src  source
}

func meet(addr string) (*peer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	return &peer{conn: conn, src: source{r: conn}}, nil
}

// ask writes frames and reads one answer.
func (p *peer) ask(frames ...[]byte) (header, []byte, error) {
	for _, f := range frames {
		if _, err := p.conn.Write(f); err != nil {
			return header{}, nil, err
		}
	}
	return readFrame(&p.src, false)
}

// alive tells whether a server still serves a new client.
func alive(addr string) error {
	p, err := meet(addr)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	_, _, err = p.ask(bindFrame(1, userDN, password+"-wrong"))
	return err
}

// survives sends bytes, and wants that the next client is served.
func survives(frame []byte) func(string) error {
	return func(addr string) error {
		p, err := meet(addr)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		p.ask(frame)
		return alive(addr)
	}
}

// answers sends a frame after a bind, and wants that operation and result.
func answers(frame []byte, op byte, code int) func(string) error {
	return func(addr string) error {
		p, err := meet(addr)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		h, got, err := p.ask(frame)
		if err != nil {
			return err
		}
		contents, _ := operation(h, got)
		_, value, _, _ := next(contents)
		if h.op != op || len(value) != 1 || int(value[0]) != code {
			return fmt.Errorf("answered with operation %#x, %x", h.op, value)
		}
		return nil
	}
}

// whoAfter binds in turn, and wants a search to be done as that name.
func whoAfter(want string, binds ...[]byte) func(string) error {
	return func(addr string) error {
		p, err := meet(addr)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		for _, b := range binds {
			if _, _, err := p.ask(b); err != nil {
				return err
			}
		}
		_, got, err := p.ask(searchFrame(9))
		if err != nil {
			return err
		}
		if !bytes.Contains(got, []byte(want)) {
			return fmt.Errorf("want %s, the search was done as %q", want, got)
		}
		return nil
	}
}

// criticalWithoutValue is ManageDsaIT as ldapsearch -MM sends it.
func criticalWithoutValue() []byte {
	return tlv(tagSequence, number(tagInteger, 1), searchFrame(1)[5:], tlv(tagControls, tlv(tagSequence, text("2.16.840.1.113730.3.4.2"), yes(true))))
}

// Numbers are those of the table that the package was judged by.
var faults = map[string]func(addr string) error{
	"1: three bytes before any bind":         survives(fromHex("300102")),
	"1: five bytes before any bind":          survives(fromHex("3003020501")),
	"2: a length of 2^63":                    survives(fromHex("30888000000000000000")),
	"3: a length of 5 GiB":                   survives(fromHex("30850140000000")),
	"4: a critical control without a value":  survives(criticalWithoutValue()),
	"5: a control without a type":            survives(tlv(tagSequence, number(tagInteger, 1), searchFrame(1)[5:], tlv(tagControls, tlv(tagSequence)))),
	"11: a bind that failed ends the former": whoAfter("anonymous", bindFrame(1, serviceDN, password), bindFrame(2, serviceDN, "wrong")),
	"13: SASL is told as such":               answers(tlv(tagSequence, number(tagInteger, 1), tlv(opBindRequest, number(tagInteger, 3), text(""), tlv(0xa3, text("PLAIN")))), opBindResponse, authNotSupported),
	"13: LDAP version 2 is told as such":     answers(tlv(tagSequence, number(tagInteger, 1), tlv(opBindRequest, number(tagInteger, 2), text(userDN), tlv(0x80, []byte(password)))), opBindResponse, protocolError),
	"14: a password by another tag":          refusesTag(0x40),
	"14: a message id of zero":               refusesZero,
	"16: Abandon leaves the connection":      abandonIsHarmless,
}

// refusesTag wants a simple bind under a wrong tag not to be let in.
func refusesTag(tag byte) func(string) error {
	return func(addr string) error {
		frame := tlv(tagSequence, number(tagInteger, 1), tlv(opBindRequest, number(tagInteger, 3), text(serviceDN), tlv(tag, []byte(password))))
		if answers(frame, opBindResponse, success)(addr) == nil {
			return fmt.Errorf("a password under tag %#x was taken", tag)
		}
		return nil
	}
}

func refusesZero(addr string) error {
	if answers(tlv(tagSequence, number(tagInteger, 0), tlv(opBindRequest, number(tagInteger, 3), text(serviceDN), tlv(0x80, []byte(password)))), opBindResponse, success)(addr) == nil {
		return fmt.Errorf("a bind with message id 0 was let in")
	}
	return nil
}

func abandonIsHarmless(addr string) error {
	p, err := meet(addr)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	_, _, err = p.ask(abandonFrame(1, 77), bindFrame(2, serviceDN, password))
	return err
}

func TestFaultsOfThePackagesServerAreNotOurs(t *testing.T) {
	tree := newTree(t)
	tree.onOther = func(s *session, h header, _ []byte) []byte {
		name := s.bound
		if name == "" {
			name = "anonymous"
		}
		return append(tlv(tagSequence, number(tagInteger, byte(h.id)), tlv(opSearchEntry, text(name), tlv(tagSequence))),
			encodeResult(h.id, ldap.ApplicationSearchResultDone, ldap.LDAPResultSuccess, "")...)
	}
	ours := front(t, tree, newDesk(), exempting())
	for name, holds := range faults {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, holds(ours.addr))
			require.Error(t, holds(startFaulty(t)), "the package's Server does not show this fault: the check proves nothing")
		})
	}
}
