package ldapproxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"

	ber "github.com/nmcclain/asn1-ber"
	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"
)

func TestRequestsAndAnswersPassByteForByte(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	answers := map[byte][]byte{}
	tree.onOther = func(_ *session, h header, _ []byte) []byte { return answers[h.op] }
	p := front(t, tree, desk, nil)
	// Long forms of lengths, as Windows writes them, and codes that are no success.
	for op, frame := range map[byte]string{
		opSearchRequest:   "\x30\x84\x00\x00\x00\x0b\x02\x01\x05\x63\x84\x00\x00\x00\x02\x05\x00",
		opModifyRequest:   "\x30\x05\x02\x01\x05\x66\x00",
		opAddRequest:      "\x30\x81\x05\x02\x01\x05\x68\x00",
		opDelRequest:      "\x30\x06\x02\x01\x05\x4a\x01\xff",
		opModifyDNRequest: "\x30\x08\x02\x01\x05\x6c\x03\x04\x01x",
		opCompareRequest:  "\x30\x0e\x02\x01\x05\x6e\x09\x04\x00\x30\x05\x04\x01c\x04\x00",
		opExtendedRequest: "\x30\x0a\x02\x01\x05\x77\x05\x80\x031.2",
	} {
		answer := []byte("\x30\x84\x00\x00\x00\x0c\x02\x01\x05" + string(rune(structure|response[op])) + "\x07\x0a\x01\x20\x04\x00\x04\x00")
		if op != opExtendedRequest { // and something longer than any buffer before the end
			answer = append(entry(5, 20000), answer...)
		}
		answers[op] = answer
		a := p.connect()
		a.write([]byte(frame))
		var got []byte
		for len(got) < len(answer) {
			got = append(got, a.read().frame...)
		}
		require.Equal(t, answer, got, "%#x", op)
		relayed := tree.relayed()
		require.Equal(t, frame, string(relayed[len(relayed)-1]), "%#x", op)
		require.Equal(t, 0x20, mustCode(t, got), "%#x", op)
	}
}

func mustCode(t *testing.T, frames []byte) int {
	t.Helper()
	return int(frames[len(frames)-5])
}

// entry is a search entry with a value of n random bytes.
func entry(id int32, n int) []byte {
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(octets(userDN))
	op.AppendChild(octets(string(value)))
	return message(id, op).Bytes()
}

func TestEntriesOfAnySizeArriveWhole(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	var sent bytes.Buffer
	for _, n := range []int{0, 1, 100, 400, 500, 511, 512, 513, 5000, 8191, 8192, 8193, 70000, 3 << 20, 3, 2} {
		sent.Write(entry(9, n))
	}
	sent.Write(encodeResult(9, ldap.ApplicationSearchResultDone, ldap.LDAPResultSizeLimitExceeded, ""))
	tree.onOther = func(s *session, _ header, _ []byte) []byte { return sent.Bytes() }
	a := front(t, tree, desk, nil).connect()
	a.write(searchFrame(9))
	var got bytes.Buffer
	for got.Len() < sent.Len() {
		got.Write(a.read().frame)
	}
	require.True(t, bytes.Equal(sent.Bytes(), got.Bytes()))
}

func TestWhatTestsAPasswordWithoutASecondFactorIsRefused(t *testing.T) {
	const insufficient = ldap.LDAPResultInsufficientAccessRights
	for name, c := range map[string]struct {
		frame []byte
		code  int // for a user or nobody
	}{
		"compare userPassword":                {compareFrame(5, "userPassword"), insufficient},
		"compare it in any case":              {compareFrame(5, "USERPASSWORD"), insufficient},
		"compare it with an option":           {compareFrame(5, "userPassword;lang-vi"), insufficient},
		"compare it by its OID":               {compareFrame(5, "2.5.4.35"), insufficient},
		"compare it by its OID with a prefix": {compareFrame(5, "OID.2.5.4.35"), insufficient},
		"compare unicodePwd":                  {compareFrame(5, "unicodePwd"), insufficient},
		"compare unicodePwd by its OID":       {compareFrame(5, "1.2.840.113556.1.4.90;binary"), insufficient},
		"compare authPassword":                {compareFrame(5, "authPassword"), insufficient},
		"compare a name with a space":         {compareFrame(5, "userPassword "), ldap.LDAPResultUndefinedAttributeType},
		"compare a name with a NUL":           {compareFrame(5, "userPassword\x00"), ldap.LDAPResultUndefinedAttributeType},
		"fast bind":                           {extendedFrame(5, oidFastBind), unwilling},
		"verify credentials":                  {extendedFrame(5, oidVerifyCredentials), unwilling},
		"proxied authorization":               {searchFrame(5, oidProxiedAuthorization), 123},
		"its draft":                           {searchFrame(5, oidProxiedAuthorization1), 123},
		"behind another control":              {searchFrame(5, "1.2.840.113556.1.4.319", oidProxiedAuthorization), 123},
		"fast bind as a control":              {searchFrame(5, oidFastBind), unwilling},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			p := front(t, tree, desk, exempting())
			nobody, user, service := p.connect(), p.connect(), p.connect()
			user.wantBind(success, "an", password+","+rightCode)
			service.wantBind(success, serviceDN, password)
			for _, a := range []*app{nobody, user} {
				a.write(c.frame)
				r := a.read()
				require.Equal(t, c.code, r.code)
				require.Equal(t, int32(5), r.id)
				require.Empty(t, tree.relayed())
			}
			service.write(c.frame)
			require.Equal(t, serviceDN, service.read().text)
			require.Equal(t, [][]byte{c.frame}, tree.relayed())
		})
	}
}

func TestOtherComparesAndExtendedOperationsAreRelayed(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	for _, frame := range [][]byte{compareFrame(5, "cn"), compareFrame(5, "userPasswordHint"), compareFrame(5, "1.2.5.4.35"), extendedFrame(5, "1.3.6.1.4.1.4203.1.11.3")} {
		a.write(frame)
		require.Equal(t, "anonymous", a.read().text)
	}
	require.Len(t, tree.relayed(), 4)
}

func TestPasswordModifyNeedsABind(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(extendedFrame(a.next(), oidPasswordModify))
	require.Equal(t, ldap.LDAPResultStrongAuthRequired, a.read().code)
	a.write(bindFrame(a.next(), "an", password), extendedFrame(a.next(), oidPasswordModify))
	held := desk.next(t)
	require.Empty(t, tree.relayed())
	held.accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, userDN, a.read().text)
	require.Len(t, tree.relayed(), 1)
}

func TestAnOIDInAnotherSpellingIsNotRelayed(t *testing.T) {
	for _, oid := range []string{oidProxiedAuthorization + " ", oidProxiedAuthorization + "\x00", " " + oidProxiedAuthorization, "proxy", ""} {
		tree, desk := newTree(t), newDesk()
		p := front(t, tree, desk, nil)
		a := p.connect()
		a.write(searchFrame(5, oid))
		a.wantNotice(protocolError)
		a = p.connect()
		a.write(extendedFrame(5, oid))
		a.wantNotice(protocolError)
		require.Empty(t, tree.relayed(), "%q", oid)
	}
}

// longModify is a frame of a little more than size bytes.
func longModify(size int, controls ...string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationModifyRequest, nil, "")
	op.AppendChild(octets(userDN))
	op.AppendChild(octets(string(make([]byte, size))))
	return withControls(5, op, controls)
}

func TestALongRequestOfABoundClientIsRelayedAsItComes(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, exempting())
	a := p.connect()
	a.wantBind(success, "an", password+","+rightCode)
	for _, frame := range [][]byte{longModify(100 << 10), longModify(4<<20, "1.2.840.113556.1.4.1413")} {
		a.write(frame)
		require.Equal(t, userDN, a.read().text)
		relayed := tree.relayed()
		require.True(t, bytes.Equal(frame, relayed[len(relayed)-1]))
	}
	service := p.connect()
	service.wantBind(success, serviceDN, password)
	service.write(longModify(100<<10, oidProxiedAuthorization))
	require.Equal(t, serviceDN, service.read().text)
}

func TestALongRequestWithARefusedControlIsNeverWhole(t *testing.T) {
	for _, oid := range []string{oidProxiedAuthorization, oidFastBind, "1.2 "} {
		tree, desk := newTree(t), newDesk()
		a := front(t, tree, desk, nil).connect()
		a.wantBind(success, "an", password+","+rightCode)
		a.write(longModify(100<<10, oid))
		require.Zero(t, a.read().id, "a notice")
		a.wantEnd()
		tree.wantEnded(tree.session(0))
		require.Empty(t, tree.relayed())
	}
}

func TestLongRequestsThatAreRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		bound bool
	}{
		"of a client that has not bound": {longModify(100 << 10), false},
		"larger than 8 MiB":              {[]byte("\x30\x84\x00\x80\x00\x01\x02\x01\x05\x66\x84\x00\x7f\xff\xf0"), true},
		"a bind":                         {[]byte("\x30\x83\x02\x00\x00\x02\x01\x05\x60\x83\x01\xff\xf0"), true},
		"a compare":                      {[]byte("\x30\x83\x02\x00\x00\x02\x01\x05\x6e\x83\x01\xff\xf0"), true},
		"an extended operation":          {[]byte("\x30\x83\x02\x00\x00\x02\x01\x05\x77\x83\x01\xff\xf0"), true},
		"an operation longer than it":    {[]byte("\x30\x83\x02\x00\x00\x02\x01\x05\x66\x83\x02\x00\x00"), true},
		"controls longer than 64 KiB":    {[]byte("\x30\x83\x04\x00\x00\x02\x01\x05\x66\x83\x01\xff\xf0"), true},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, nil).connect()
			if c.bound {
				a.wantBind(success, "an", password+","+rightCode)
			}
			a.conn.Write(append(c.frame, 0, 0)) // may be cut off
			a.wantNotice(protocolError)
			require.Empty(t, tree.relayed())
		})
	}
}

func TestOutstandingOperationsInterleaveAndCanBeAbandoned(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	var waiting []header
	tree.onOther = func(s *session, h header, frame []byte) []byte {
		if h.op == opAbandonRequest {
			return append(s.whoIs(waiting[2]), append(s.whoIs(waiting[0]), s.whoIs(waiting[3])...)...)
		}
		waiting = append(waiting, h)
		return nil
	}
	p := front(t, tree, desk, nil)
	a := p.connect()
	a.write(searchFrame(1), searchFrame(2), searchFrame(3), searchFrame(4), abandonFrame(5, 2))
	for _, id := range []int32{3, 1, 4} {
		require.Equal(t, id, a.read().id)
	}
	require.Len(t, tree.relayed(), 5)
	eventually(t, "operations are still thought to be outstanding", func() bool {
		p.server.mu.Lock()
		defer p.server.mu.Unlock()
		for c := range p.server.conns {
			return !c.outstanding()
		}
		return true
	})
}

func TestUnansweredOperationsAreBounded(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	tree.onOther = func(*session, header, []byte) []byte { return nil }
	a := front(t, tree, desk, nil).connect()
	for range maxOutstanding {
		a.write(searchFrame(a.next()))
	}
	a.write(searchFrame(a.next()))
	a.wantNotice(busy)
}

func TestAnEntryCutOffByALostDirectoryIsNotFollowedByAnything(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	half := entry(5, 50000)[:30000]
	tree.onOther = func(s *session, _ header, _ []byte) []byte {
		s.conn.Write(half)
		s.conn.(*net.TCPConn).CloseWrite()
		return nil
	}
	a := front(t, tree, desk, nil).connect()
	a.write(searchFrame(5))
	b, err := a.src.peek(len(half))
	require.NoError(t, err)
	require.True(t, bytes.Equal(half, b))
	a.src.skip(len(half))
	a.wantEnd()
}

// Frames pass through the buffers that are there: a relayed entry costs no
// memory of its own.
func TestARelayedFrameAllocatesNothing(t *testing.T) {
	const entries, searches = 1000, 30
	tree, desk := newTree(t), newDesk()
	all := append(bytes.Repeat(entry(1, 400), entries), encodeResult(1, ldap.ApplicationSearchResultDone, 0, "")...)
	tree.onOther = func(*session, header, []byte) []byte { return all }
	a := front(t, tree, desk, nil).connect()
	request, buf := searchFrame(1), make([]byte, len(all))
	relay := func() {
		_, err := a.conn.Write(request)
		require.NoError(t, err)
		_, err = io.ReadFull(a.conn, buf)
		require.NoError(t, err)
	}
	relay()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range searches {
		relay()
	}
	runtime.ReadMemStats(&after)
	require.Less(t, float64(after.Mallocs-before.Mallocs)/(entries*searches), 0.1, "allocations for each frame, the tests' own included")
}
