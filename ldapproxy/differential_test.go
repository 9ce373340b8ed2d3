package ldapproxy

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vssgate/internal/testenv"
)

// The proxy is transparent when nobody can tell it from the directory: the
// same requests on a connection of each get the same bytes back. What is
// generated here is well-formed; what is not is in hostile_test.go.

// tlv encodes in BER.
func tlv(tag byte, contents ...[]byte) []byte {
	body := bytes.Join(contents, nil)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	default:
		return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
	}
}

func text(s string) []byte           { return tlv(tagOctets, []byte(s)) }
func number(tag byte, n byte) []byte { return tlv(tag, []byte{n}) }
func yes(is bool) []byte             { return tlv(0x01, []byte{map[bool]byte{true: 0xff}[is]}) }

// An asking is an operation and its controls, still without a message id.
type asking struct {
	what     string
	op       []byte
	controls []byte // whole element, or nil
}

func (r asking) frame(id int32) []byte {
	n := tlv(tagInteger, []byte{byte(id >> 8), byte(id)})
	if id < 0x80 {
		n = number(tagInteger, byte(id))
	}
	return tlv(tagSequence, n, r.op, r.controls)
}

// alone: slapd sorts and pages for one search of a connection at a time, and
// refuses others; which it refuses is chance.
func (r asking) alone() bool {
	for _, oid := range []string{"1.2.840.113556.1.4.319", "1.2.840.113556.1.4.473", "2.16.840.1.113730.3.4.9"} {
		if bytes.Contains(r.controls, []byte(oid)) {
			return true
		}
	}
	return false
}

// Gen draws requests. Its names and values are those of the entries, of
// entries that are not there, and of none.
type gen struct {
	*rapid.T
	exempt bool // everything is relayed
}

func (g gen) one(label string, of ...string) string { return rapid.SampledFrom(of).Draw(g.T, label) }
func (g gen) below(label string, n int) int         { return rapid.IntRange(0, n-1).Draw(g.T, label) }

func (g gen) dn() string {
	return g.one("dn", testenv.SlapdBase, testenv.SlapdPeople, testenv.SlapdPeople, testenv.SlapdGroups, testenv.SlapdServices, testenv.SlapdStaff,
		testenv.UserDN(1), testenv.UserDN(7), "UID=USER0007, OU=People,DC=example,dc=vn", `uid=\75ser0007;ou=p\65ople,dc=example,dc=vn`,
		"ou=elsewhere,"+testenv.SlapdBase, "uid=x,ou=elsewhere,"+testenv.SlapdBase, "uid=lê.hoà,"+testenv.SlapdPeople,
		"uid=nobody,"+testenv.SlapdPeople, "", "no dn", "dc=other", "cn=Subschema", "\x00", strings.Repeat("cn=x,", 200)+testenv.SlapdBase)
}

func (g gen) attribute() string {
	return g.one("attribute", "uid", "cn", "sn", "mail", "objectClass", "member", "memberOf", "jpegPhoto", "description", "employeeNumber", "entryDN",
		"2.5.4.3", "cn;lang-vi", "userCertificate;binary", "nosuch", "userPassword", "1.1", "", "createTimestamp", "subschemaSubentry")
}

func (g gen) value() string {
	if g.below("odd", 8) == 0 {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(g.T, "value"))
	}
	return g.one("value", "user0001", "USER0007", "user", "*", "", "Nguyễn", "Hương", "inetOrgPerson", testenv.UserDN(3), "nosuch)(uid=user0002",
		"\xff\xfe", "\x00", `\2a`, "0", "20260101000000Z", "person", "9999999999")
}

func (g gen) filter(depth int) []byte {
	kind := g.below("filter", 10)
	if depth == 0 && kind < 3 {
		kind += 3
	}
	switch kind {
	case 0, 1:
		var parts [][]byte
		for range g.below("parts", 4) {
			parts = append(parts, g.filter(depth-1))
		}
		return tlv(0xa0|byte(kind), parts...)
	case 2:
		return tlv(0xa2, g.filter(depth-1))
	case 4:
		return tlv(0xa4, text(g.attribute()), tlv(tagSequence, g.substrings()))
	case 7:
		return tlv(0x87, []byte(g.attribute()))
	case 9:
		return tlv(0xa9, g.extensible())
	default: // equality, greater, less, approximate
		return tlv(map[int]byte{3: 0xa3, 5: 0xa5, 6: 0xa6, 8: 0xa8}[kind], text(g.attribute()), text(g.value()))
	}
}

// substrings are not empty: at an empty one slapd hangs up.
func (g gen) substrings() []byte {
	part := func() []byte { return []byte(cmp.Or(g.value(), "u")) }
	var all []byte
	if g.below("initial", 2) == 0 {
		all = append(all, tlv(0x80, part())...)
	}
	for range g.below("any", 3) {
		all = append(all, tlv(0x81, part())...)
	}
	if g.below("final", 2) == 0 || all == nil {
		all = append(all, tlv(0x82, part())...)
	}
	return all
}

func (g gen) extensible() []byte {
	var all []byte
	if g.below("rule", 2) == 0 {
		all = append(all, tlv(0x81, []byte(g.one("rule", "caseIgnoreMatch", "2.5.13.5", "caseExactSubstringsMatch", "nosuch")))...)
	}
	all = append(all, tlv(0x82, []byte(g.attribute()))...)
	all = append(all, tlv(0x83, []byte(g.value()))...)
	return append(all, tlv(0x84, []byte{map[int]byte{0: 0xff}[g.below("dn attributes", 3)]})...)
}

// Searches go over the whole tree, or one entry of a megabyte.
func (g gen) search() asking {
	base, scope := g.dn(), byte(g.below("scope", 4))
	if g.below("big", 60) == 0 {
		base, scope = bigDN, 0
	}
	var attributes [][]byte
	for range g.below("attributes", 4) {
		attributes = append(attributes, text(g.one("wanted", g.attribute(), "*", "+", "1.1", "@inetOrgPerson")))
	}
	return asking{what: "search", op: tlv(opSearchRequest, text(base), number(tagEnumerated, scope), number(tagEnumerated, byte(g.below("deref", 4))),
		number(tagInteger, byte(g.below("size limit", 5)*g.below("limited", 2))), number(tagInteger, byte(10*g.below("time limit", 2))),
		yes(g.below("types only", 6) == 0), g.filter(3), tlv(tagSequence, attributes...)), controls: g.controls(searchControls)}
}

func (g gen) compare() asking {
	attribute := g.attribute()
	if !g.exempt && strings.HasPrefix(attribute, "userPassword") {
		attribute = "uid"
	}
	return asking{what: "compare", op: tlv(opCompareRequest, text(g.dn()), tlv(tagSequence, text(attribute), text(g.value()))), controls: g.controls(anyControls)}
}

func (g gen) extended() asking {
	oid := g.one("extended", "1.3.6.1.4.1.4203.1.11.3", "1.3.6.1.1.8", "1.2.3.4", "1.3.6.1.4.1.1466.101.119.1")
	parts := [][]byte{tlv(tagRequestName, []byte(oid))}
	if oid == "1.3.6.1.1.8" { // Cancel, of nothing
		parts = append(parts, tlv(0x81, tlv(tagSequence, number(tagInteger, 120))))
	} else if g.below("value", 3) == 0 {
		parts = append(parts, tlv(0x81, []byte(g.value())))
	}
	return asking{what: "extended", op: tlv(opExtendedRequest, parts...), controls: g.controls(anyControls)}
}

// Controls by their type, and how a value of them is made.
var (
	anyControls = map[string]func(gen) []byte{
		"2.16.840.1.113730.3.4.2":   nil, // ManageDsaIT
		oidPasswordPolicy:           nil,
		"1.2.3.4":                   nil,
		"1.3.6.1.1.12":              func(g gen) []byte { return g.filter(1) },                                             // assertion
		oidProxiedAuthorization:     func(g gen) []byte { return []byte(g.one("as", "", "dn:"+testenv.UserDN(2), "u:x")) }, // for service accounts only
		"1.3.6.1.4.1.4203.1.10.2":   nil,                                                                                   // no-op
		"1.2.826.0.1.3344810.2.3":   func(g gen) []byte { return tlv(tagSequence, g.filter(1)) },                           // matched values
		"1.3.6.1.4.1.4203.666.5.12": nil,                                                                                   // relax
	}
	searchControls = map[string]func(gen) []byte{
		"1.2.840.113556.1.4.319": func(g gen) []byte { // pages
			return tlv(tagSequence, number(tagInteger, byte(g.below("page", 60))), text(g.one("cookie", "", "", "\x01\x00\x00\x00\x00\x00\x00\x00", "no cookie")))
		},
		"1.2.840.113556.1.4.473": func(g gen) []byte {
			return tlv(tagSequence, tlv(tagSequence, text(g.one("key", "uid", "cn", "nosuch")), tlv(0x80, []byte("2.5.13.3"))))
		}, // sort
		"2.16.840.1.113730.3.4.9": func(g gen) []byte { // virtual list view
			return tlv(tagSequence, number(tagInteger, 0), number(tagInteger, 4), tlv(0xa0, number(tagInteger, byte(1+g.below("at", 90))), number(tagInteger, 0)))
		},
		"1.3.6.1.4.1.4203.1.9.1.1": func(g gen) []byte { return tlv(tagSequence, number(tagEnumerated, 1)) }, // sync
		"1.3.6.1.4.1.4203.1.10.1":  nil,                                                                      // subentries, without its value
	}
	writeControls = map[string]func(gen) []byte{
		"1.3.6.1.1.13.1": func(g gen) []byte { return tlv(tagSequence, text("description"), text("cn")) }, // before the write
		"1.3.6.1.1.13.2": func(g gen) []byte { return tlv(tagSequence, text("description"), text("uid")) },
	}
)

func (g gen) controls(more map[string]func(gen) []byte) []byte {
	if g.below("controls", 3) > 0 {
		return nil
	}
	all := map[string]func(gen) []byte{}
	var oids []string
	for _, from := range []map[string]func(gen) []byte{anyControls, more} {
		for oid, value := range from {
			all[oid] = value
		}
	}
	for oid := range all {
		if oid != oidProxiedAuthorization || g.exempt {
			oids = append(oids, oid)
		}
	}
	slices.Sort(oids)
	var out [][]byte
	for range 1 + g.below("how many", 2) {
		oid := rapid.SampledFrom(oids).Draw(g.T, "control")
		parts := [][]byte{text(oid)}
		if g.below("critical", 2) == 0 {
			parts = append(parts, yes(true))
		}
		if value := all[oid]; value != nil {
			parts = append(parts, tlv(tagOctets, value(g)))
		}
		out = append(out, tlv(tagSequence, parts...))
	}
	return tlv(tagControls, out...)
}

// A wire is a connection to the directory, or to the proxy before it.
type wire struct {
	t    require.TestingT
	addr string
	conn net.Conn
	src  source
}

func dial(t require.TestingT, addr string) *wire {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	return newWire(t, addr, conn)
}

// dialDirectly is a connection as the proxy has one to the directory: with TLS,
// for the root DSE says what may be done on it.
func dialDirectly(t require.TestingT, slapd *testenv.SlapdServer) *wire {
	conn, err := tls.Dial("tcp", slapd.LDAPSAddr, &tls.Config{RootCAs: slapd.CA.Pool})
	require.NoError(t, err)
	return newWire(t, slapd.LDAPSAddr, conn)
}

func newWire(t require.TestingT, addr string, conn net.Conn) *wire {
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*patience)))
	return &wire{t: t, addr: addr, conn: conn, src: source{r: conn}}
}

// run sends all frames at once, and returns what came for each message id, until
// each that is to be answered was.
func (w *wire) run(frames [][]byte, answered int) map[int32][]byte {
	_, err := w.conn.Write(bytes.Join(frames, nil))
	require.NoError(w.t, err)
	got := map[int32][]byte{}
	for answered > 0 {
		h, frame, err := readFrame(&w.src, false)
		require.NoError(w.t, err, "at %s, after %x", w.addr, frames)
		got[h.id] = append(got[h.id], masked(frame)...)
		if h.op != opSearchEntry && h.op != opSearchReference && h.op != opIntermediate {
			answered--
		}
	}
	return got
}

// manyTimes checks with twice as many sequences as are usual.
func manyTimes(t *testing.T, f func(*rapid.T)) {
	for range 2 {
		rapid.Check(t, f)
	}
}

// sameAnswers also counts the results that the answers ended with.
func sameAnswers(t *rapid.T, asked string, direct, through map[int32][]byte, answers map[byte]int) {
	for id, want := range direct {
		answers[lastResult(want)]++
		if got := through[id]; !bytes.Equal(want, got) {
			at := 0
			for at < min(len(want), len(got)) && want[at] == got[at] {
				at++
			}
			from := max(0, at-100)
			t.Fatalf("asked:\n%.4000s\nthe answers to %d differ at byte %d; directly:\n%.400q\nthrough the proxy:\n%.400q", asked, id, at, want[from:], got[from:])
		}
	}
	if len(direct) != len(through) {
		t.Fatalf("asked:\n%.4000s\n%d are answered directly, %d through the proxy", asked, len(direct), len(through))
	}
}

// lastResult is the result code of the last frame.
func lastResult(frames []byte) byte {
	for {
		size := elementSize(frames)
		if size == len(frames) {
			h, _ := parseHeader(frames, size, false)
			_, code, _, _ := next(frames[h.opAt:])
			_, code, _, _ = next(code)
			return code[0]
		}
		frames = frames[size:]
	}
}

// masked is a frame without slapd's marks for a sorted result, of which it
// shows a page or a view: they are addresses in its memory.
func masked(frame []byte) []byte {
	const sorted, page, view = "1.2.840.113556.1.4.474", "1.2.840.113556.1.4.319", "2.16.840.1.113730.3.4.10"
	at := bytes.Index(frame, []byte(view))
	if at < 0 && bytes.Contains(frame, []byte(sorted)) {
		at = bytes.Index(frame, []byte(page))
	}
	if at < 0 {
		return frame
	}
	if mark := bytes.Index(frame[at:], []byte{tagOctets, 8}); mark >= 0 && at+mark+10 <= len(frame) {
		clear(frame[at+mark+2 : at+mark+10])
	}
	return frame
}

const bigDN = "uid=big,ou=big," + testenv.SlapdBase

// odd entries: binary values, one of more than a megabyte.
func oddEntries() string {
	photo := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\xff\xd8\x00photo"), 160<<10))
	return fmt.Sprintf("dn: ou=big,%s\nobjectClass: organizationalUnit\nou: big\n\ndn: %s\nobjectClass: inetOrgPerson\nuid: big\ncn: big\nsn: big\njpegPhoto:: %s\n\n",
		testenv.SlapdBase, bigDN, photo)
}

// An identity is who asks: directly with a password, through the proxy perhaps
// with a code behind it.
type identity struct{ name, password, through string }

var identities = []identity{
	{}, {user, userPassword, userPassword + "," + rightCode},
	{testenv.SlapdAppDN, testenv.SlapdAppPassword, testenv.SlapdAppPassword},
	{testenv.SlapdAdminDN, testenv.SlapdAdminPassword, testenv.SlapdAdminPassword},
}

func (g gen) identity() (identity, gen) {
	who := rapid.SampledFrom(identities).Draw(g.T, "identity")
	g.exempt = strings.HasPrefix(who.name, "cn=")
	return who, g
}

func exemptAll(o *Options, _ *limits) {
	o.Exempt = []Exempt{{DN: testenv.SlapdAppDN}, {DN: testenv.SlapdAdminDN}}
}

// bindBoth binds on both wires, and wants the same answer.
func bindBoth(t require.TestingT, who identity, direct, through *wire) {
	want := direct.run([][]byte{bindFrame(1, who.name, who.password)}, 1)
	require.Equal(t, want, through.run([][]byte{bindFrame(1, who.name, who.through)}, 1), "bind as %q", who.name)
}

func TestReadsThroughTheProxyAreThoseOfTheDirectoryByteForByte(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Users: 120, PasswordPolicy: true, LDIF: oddEntries()}, exemptAll)
	asked, answers := map[string]int{}, map[byte]int{}
	manyTimes(t, func(rt *rapid.T) {
		direct, through := dialDirectly(rt, s.slapd), dial(rt, s.addr)
		defer direct.conn.Close()
		defer through.conn.Close()
		who, g := gen{T: rt}.identity()
		bindBoth(rt, who, direct, through)
		id := int32(1)
		for range 1 + g.below("batches", 12) {
			var frames [][]byte
			what, atOnce := "", true
			for range 1 + g.below("in flight", 6) {
				r := []func() asking{g.search, g.search, g.search, g.compare, g.extended}[g.below("operation", 5)]()
				asked[r.what]++
				id++
				frames = append(frames, r.frame(id))
				what += fmt.Sprintf("%s %x\n", r.what, frames[len(frames)-1])
				atOnce = atOnce && !r.alone()
			}
			for len(frames) > 0 {
				n := len(frames)
				if !atOnce {
					n = 1
				}
				sameAnswers(rt, what, direct.run(frames[:n], n), through.run(frames[:n], n), answers)
				frames = frames[n:]
			}
		}
	})
	t.Log("operations:", asked, "results:", answers)
	require.Greater(t, asked["search"]+asked["compare"]+asked["extended"], 2000)
	for _, code := range []byte{0, 4, 5, 10, 12, 32, 34} { // the whole of LDAP, not one refusal again and again
		require.NotZero(t, answers[code], "no operation ended with result %d", code)
	}
}

func (g gen) user() string { return testenv.UserDN(1 + g.below("user", 8)) }

// child is an entry that may be there or not.
func (g gen) child() string {
	return fmt.Sprintf("cn=new%d,%s", g.below("child", 6), testenv.SlapdGroups)
}

func (g gen) write() asking {
	switch g.below("write", 6) {
	case 0:
		return asking{what: "add", op: tlv(opAddRequest, text(g.child()), tlv(tagSequence, attributeOf("objectClass", "device"),
			attributeOf(g.one("rdn", "cn", "cn", "nosuch"), g.one("cn", "new1", "new2")), attributeOf("description", g.value()))), controls: g.controls(writeControls)}
	case 1:
		return asking{what: "delete", op: tlv(opDelRequest, []byte(g.child())), controls: g.controls(writeControls)}
	case 2:
		parts := [][]byte{text(g.child()), text(fmt.Sprintf("cn=new%d", g.below("new name", 6))), yes(g.below("drop", 2) == 0)}
		if g.below("move", 4) == 0 {
			parts = append(parts, tlv(0x80, []byte(g.one("to", testenv.SlapdServices, testenv.SlapdGroups, "dc=other"))))
		}
		return asking{what: "modifyDN", op: tlv(opModifyDNRequest, parts...), controls: g.controls(writeControls)}
	case 3: // to what it is, so that the next one may bind
		return asking{what: "password", op: tlv(opExtendedRequest, tlv(tagRequestName, []byte(oidPasswordModify)),
			tlv(0x81, tlv(tagSequence, tlv(0x80, []byte(user)), tlv(0x82, []byte(userPassword)))))}
	default:
		var changes [][]byte
		for range 1 + g.below("changes", 3) {
			kind := byte(g.below("kind", 4))
			changes = append(changes, tlv(tagSequence, number(tagEnumerated, kind),
				attributeOf(g.one("changed", "description", "description", "mail", "jpegPhoto", "nosuch", "roomNumber"), g.value())))
		}
		return asking{what: "modify", op: tlv(opModifyRequest, text(g.one("target", g.user(), g.user(), g.child(), g.dn())), tlv(tagSequence, changes...)),
			controls: g.controls(writeControls)}
	}
}

func attributeOf(name string, values ...string) []byte {
	var set [][]byte
	for _, v := range values {
		set = append(set, text(v))
	}
	return tlv(tagSequence, text(name), tlv(0x31, set...))
}

// look reads what a write may have changed, but for what differs between two
// servers anyway: ids, times and the salt of passwords.
func (g gen) look() asking {
	return asking{what: "look", op: tlv(opSearchRequest, text(g.one("below", testenv.SlapdGroups, testenv.SlapdPeople, testenv.SlapdServices)), number(tagEnumerated, 2),
		number(tagEnumerated, 0), number(tagInteger, 0), number(tagInteger, 0), yes(false), tlv(0x87, []byte("objectClass")),
		tlv(tagSequence, text("objectClass"), text("cn"), text("uid"), text("mail"), text("description"), text("roomNumber"), text("jpegPhoto"), text("memberOf")))}
}

// Two directories with the same entries, one behind the proxy: what is written
// to both gets the same answers, and leaves the same behind.
func TestWritesThroughTheProxyAreThoseOfTheDirectoryByteForByte(t *testing.T) {
	options := testenv.SlapdOptions{Users: 20}
	s := newScene(t, options, exemptAll)
	options.LDIF = moreEntries
	twin := testenv.Slapd(t, options)
	asked, answers := map[string]int{}, map[byte]int{}
	manyTimes(t, func(rt *rapid.T) {
		direct, through := dialDirectly(rt, twin), dial(rt, s.addr)
		defer direct.conn.Close()
		defer through.conn.Close()
		who, g := gen{T: rt}.identity()
		if who.name == "" {
			who, g.exempt = identities[len(identities)-1], true
		}
		bindBoth(rt, who, direct, through)
		id := int32(1)
		for range 1 + g.below("writes", 30) {
			r := g.write()
			if g.below("look", 4) == 0 {
				r = g.look()
			}
			asked[r.what]++
			id++
			frames := [][]byte{r.frame(id)}
			sameAnswers(rt, fmt.Sprintf("%s %x", r.what, frames[0]), direct.run(frames, 1), through.run(frames, 1), answers)
		}
		last := [][]byte{g.look().frame(id + 1)}
		sameAnswers(rt, "look", direct.run(last, 1), through.run(last, 1), answers)
	})
	t.Log("operations:", asked, "results:", answers)
	require.Greater(t, asked["modify"], 250)
	for _, code := range []byte{0, 16, 17, 32, 50, 68} {
		require.NotZero(t, answers[code], "no operation ended with result %d", code)
	}
}

// A search that goes on until it is given up (refreshAndPersist of RFC 4533):
// intermediate responses arrive, changes too, and Cancel and Abandon end it.
func TestAPersistentSearchIsCancelledAndAbandoned(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Users: 20}, exemptAll)
	sync := tlv(tagControls, tlv(tagSequence, text("1.3.6.1.4.1.4203.1.9.1.1"), yes(true), tlv(tagOctets, tlv(tagSequence, number(tagEnumerated, 3)))))
	persist := asking{op: tlv(opSearchRequest, text(testenv.SlapdPeople), number(tagEnumerated, 2), number(tagEnumerated, 0), number(tagInteger, 0),
		number(tagInteger, 0), yes(false), tlv(0x87, []byte("uid")), tlv(tagSequence, text("uid"))), controls: sync}
	seen := func(addr string) (all []byte) {
		w := dial(t, addr)
		defer w.conn.Close()
		w.run([][]byte{bindFrame(1, testenv.SlapdAdminDN, testenv.SlapdAdminPassword)}, 1)
		refreshed := func(frames ...[]byte) { // until the refresh is told to be done
			_, err := w.conn.Write(bytes.Join(frames, nil))
			require.NoError(t, err)
			for {
				h, frame, err := readFrame(&w.src, false)
				require.NoError(t, err)
				all = append(all, frame...)
				if h.op == opIntermediate {
					return
				}
			}
		}
		refreshed(persist.frame(2))
		cancel := asking{op: tlv(opExtendedRequest, tlv(tagRequestName, []byte("1.3.6.1.1.8")), tlv(0x81, tlv(tagSequence, number(tagInteger, 2))))}
		got := w.run([][]byte{cancel.frame(3)}, 2)
		all = append(append(all, got[2]...), got[3]...)
		require.Contains(t, string(got[2]), "\x0a\x01\x76", "cancelled (118)")

		refreshed(persist.frame(4))
		whoami := asking{op: tlv(opExtendedRequest, tlv(tagRequestName, []byte("1.3.6.1.4.1.4203.1.11.3")))}
		got = w.run([][]byte{abandonFrame(5, 4), whoami.frame(6)}, 1)
		require.Empty(t, got[4])
		return append(all, got[6]...)
	}
	require.Equal(t, seen(s.slapd.Addr), seen(s.addr))
}

// Results of any size pass without being kept: one entry of many megabytes, and
// very many small ones.
func TestResultsOfAnySizePassWithoutBeingKept(t *testing.T) {
	const total = 64 << 20
	for name, piece := range map[string][]byte{"one entry": entry(1, 32<<20), "many entries": bytes.Repeat(entry(1, 400), 1000)} {
		tree, desk := newTree(t), newDesk()
		tree.onOther = func(s *session, h header, _ []byte) []byte {
			for sent := 0; sent < total; sent += len(piece) {
				if _, err := s.conn.Write(piece); err != nil {
					return nil
				}
			}
			return encodeResult(h.id, ldap.ApplicationSearchResultDone, 0, "")
		}
		a := front(t, tree, desk, nil).connect()
		a.conn.SetDeadline(time.Now().Add(6 * patience))
		before := heap()
		a.write(searchFrame(1))
		buf, most, read := make([]byte, 1<<20), int64(0), 0
		for read < total {
			n, err := a.conn.Read(buf)
			require.NoError(t, err)
			if read>>24 != (read+n)>>24 {
				most = max(most, heap()-before)
			}
			read += n
		}
		require.Less(t, most, int64(4<<20), name)
	}
}
