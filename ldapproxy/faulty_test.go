package ldapproxy

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"sync"
	"testing"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// faultyEnv makes the test program the package's Server.
const faultyEnv = "VSSGATE_TEST_FAULTY"

// What both directories know: the faulty one, which is asked by handlers of the
// package's Server, and the one behind ours (behind).
const (
	nowhere  = "dc=nowhere" // no such object
	limited  = "dc=limited" // one entry, and then the size limit
	slow     = "dc=slow"    // one entry, and then nothing for long
	filtered = "dc=filter"  // an entry with the filter's name, as it was understood
	paged    = "dc=paged"   // an answer with a control
	oddly    = "odd"        // a password that is answered with result 256
)

// faulty is who answers behind the package's Server.
type faulty struct{ added string }

func (*faulty) Bind(name, pw string, _ net.Conn) (ldap.LDAPResultCode, error) {
	switch odd := 256; {
	case pw == oddly:
		return ldap.LDAPResultCode(odd), nil
	case pw != password:
		return ldap.LDAPResultInvalidCredentials, nil
	case name == userDN: // held
		select {}
	}
	return ldap.LDAPResultSuccess, nil
}

// Search finds an entry that is called as whom it was asked.
func (f *faulty) Search(boundDN string, r ldap.SearchRequest, _ net.Conn) (result ldap.ServerSearchResult, err error) {
	name := boundDN
	switch {
	case r.BaseDN == nowhere:
		return ldap.ServerSearchResult{ResultCode: ldap.LDAPResultNoSuchObject}, errors.New("no such object")
	case r.BaseDN == limited:
		result.ResultCode = ldap.LDAPResultSizeLimitExceeded
	case r.BaseDN == slow:
		select {}
	case r.BaseDN == filtered:
		name = r.Filter
	case r.BaseDN == paged:
		result.Controls = []ldap.Control{ldap.NewControlPaging(100)}
	case f.added != "":
		name = f.added
	case boundDN == "":
		name = "anonymous"
	}
	result.Entries = []*ldap.Entry{{DN: name}}
	return result, nil
}

// Add keeps what of a request a handler can read.
func (f *faulty) Add(_ string, r ldap.AddRequest, _ net.Conn) (ldap.LDAPResultCode, error) {
	f.added = "nothing"
	for i := range reflect.TypeOf(r).NumField() {
		if field := reflect.TypeOf(r).Field(i); field.IsExported() && field.Type.Kind() == reflect.String {
			f.added = reflect.ValueOf(r).Field(i).String()
		}
	}
	return ldap.LDAPResultSuccess, nil
}

// Delete is not told of controls.
func (*faulty) Delete(string, string, net.Conn) (ldap.LDAPResultCode, error) {
	return ldap.LDAPResultSuccess, nil
}

func (*faulty) Modify(string, ldap.ModifyRequest, net.Conn) (ldap.LDAPResultCode, error) {
	panic("a mistake")
}

// Extended has a code to say, and nothing else.
func (*faulty) Extended(string, ldap.ExtendedRequest, net.Conn) (ldap.LDAPResultCode, error) {
	return ldap.LDAPResultSuccess, nil
}

func serveFaulty() {
	s, f := ldap.NewServer(), &faulty{}
	s.BindFunc("", f)
	s.SearchFunc("", f)
	s.AddFunc("", f)
	s.DeleteFunc("", f)
	s.ModifyFunc("", f)
	s.ExtendedFunc("", f)
	quit := make(chan bool)
	s.QuitChannel(quit)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go s.Serve(ln)
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	quit <- true
	fmt.Println("stopped")
	in.Scan()
}

// oursEnv makes the test program our Server: the value is its directory's address.
const oursEnv = "VSSGATE_TEST_OURS"

// refuser lets nobody in, after the directory was asked.
type refuser struct{}

func (refuser) Handle(r *login.Request) func() {
	go func() {
		_, err := r.First.Check(context.Background(), login.Identity{}, r.Password)
		fmt.Fprintln(os.Stderr, "checked", err)
		r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword})
	}()
	return func() {}
}

func serveOurs(directory string) {
	meter := &tally{counts: map[string]int{}}
	s, err := New(Options{
		Rules:   Rules{Clients: []Client{{Login: &login.Client{Name: "app"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Directory: distant(directory)}}},
		Handler: refuser{}, Text: func(*login.Client, login.Reply) string { return "no" }, Meter: meter, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		panic(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go s.Serve(context.Background(), ln, false)
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	fmt.Fprintln(os.Stderr, "counted:", meter.refused("accept") > 0)
	fmt.Println("stopped")
	in.Scan()
}

// A subject is a server that is tried: the package's, or ours.
type subject struct {
	addr string
	pid  int
	stop func() // graceful
	told func() string
}

// startFaulty starts a fresh one of the package's.
func startFaulty(t *testing.T) subject {
	return startChild(t, faultyEnv+"=1", "-v 6000000") // a length of 5 GiB is to end it, not the machine
}

// startChild runs the test program as a server, within a limit of the shell's.
// The first line it prints is its address; a line on its input has it stop.
func startChild(t *testing.T, env, limit string) subject {
	cmd := exec.Command("/bin/sh", "-c", "ulimit "+limit+`; exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), env)
	told := &logBook{}
	cmd.Stderr = told
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := bufio.NewScanner(out)
	require.True(t, line.Scan(), "%s", told)
	return subject{line.Text(), cmd.Process.Pid, func() { fmt.Fprintln(in); line.Scan() }, told.String}
}

// behind makes a tree the directory that both know, until released.
func behind(d *tree, released <-chan struct{}) {
	var mu sync.Mutex
	added := ""
	d.onBind = func(s *session, h header, r bindRequest) []byte {
		if r.password == oddly {
			return tlv(tagSequence, number(tagInteger, byte(h.id)), tlv(opBindResponse, tlv(tagEnumerated, []byte{1, 0}), text(""), text("")))
		}
		return d.bind(s, h.id, r)
	}
	d.onOther = func(s *session, h header, frame []byte) []byte {
		contents, controls := operation(h, frame)
		_, name, rest, _ := next(contents)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case h.op == opAddRequest:
			added = string(name)
		case h.op == opDelRequest && len(controls) > 0:
			return encodeResult(h.id, ldap.ApplicationDelResponse, ldap.LDAPResultUnavailableCriticalExtension, "")
		case h.op == opExtendedRequest:
			op := tlv(structure|ldap.ApplicationExtendedResponse, number(tagEnumerated, success), text(""), text(""), tlv(0x8b, []byte("dn:"+s.bound)))
			return tlv(tagSequence, number(tagInteger, byte(h.id)), op)
		case h.op == opSearchRequest:
			return s.found(h.id, string(name), rest, added, released)
		}
		return s.whoIs(h)
	}
}

// found answers a search; rest follows its base.
func (s *session) found(id int32, base string, rest []byte, added string, released <-chan struct{}) []byte {
	name, code, control := s.bound, ldap.LDAPResultCode(ldap.LDAPResultSuccess), []byte(nil)
	entry := func() []byte {
		return tlv(tagSequence, number(tagInteger, byte(id)), tlv(opSearchEntry, text(name), tlv(tagSequence)))
	}
	switch {
	case base == nowhere:
		return encodeResult(id, ldap.ApplicationSearchResultDone, ldap.LDAPResultNoSuchObject, "")
	case base == limited:
		code = ldap.LDAPResultSizeLimitExceeded
	case base == slow:
		s.conn.Write(entry())
		<-released
	case base == filtered:
		for range 5 { // scope, aliases, limits, types only
			_, _, rest, _ = next(rest)
		}
		name = hex.EncodeToString(rest[:elementSize(rest)])
	case base == paged:
		control = tlv(tagControls, tlv(tagSequence, text(ldap.ControlTypePaging), text("a cookie")))
	case added != "":
		name = added
	case name == "":
		name = "anonymous"
	}
	done := tlv(structure|ldap.ApplicationSearchResultDone, number(tagEnumerated, byte(code)), text(""), text(""))
	return append(entry(), tlv(tagSequence, number(tagInteger, byte(id)), done, control)...)
}
