package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A tree is a directory that takes next to no time: whoever binds is right, and
// whoever is searched for is found.
type tree struct {
	url string
}

func newTree(b *testing.B) *tree {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveTree(conn)
		}
	}()
	return &tree{url: "ldap://" + l.Addr().String()}
}

// config is how a node asks it.
func (d *tree) config() string {
	return directoryConfig(d.url, "cn=vssgate,dc=vss,dc=example", "service", "ou=people,dc=vss,dc=example")
}

// Protocol operations of RFC 4511, as they are tagged.
const (
	bindRequest   = 0x60
	bindResponse  = 0x61
	unbind        = 0x42
	searchRequest = 0x63
	searchEntry   = 0x64
	searchDone    = 0x65
)

var named = regexp.MustCompile(`u[0-9]{6}`)

// serveTree answers until the connection ends. 2000 of them are open at once,
// so what each keeps is small.
func serveTree(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 512)
	for {
		id, op, body, err := readMessage(in)
		if err != nil || op == unbind {
			return
		}
		if _, err := conn.Write(answer(id, op, body)); err != nil {
			return
		}
	}
}

// success is an LDAPResult: resultCode 0, no matchedDN, no diagnosticMessage.
var success = []byte{0x0a, 1, 0, 0x04, 0, 0x04, 0}

func answer(id []byte, op byte, body []byte) []byte {
	switch op {
	case bindRequest:
		return message(id, tlv(bindResponse, success))
	case searchRequest:
		var out []byte
		if name := named.Find(body); name != nil {
			i, _ := strconv.Atoi(string(name[1:]))
			out = message(id, entry(i))
		}
		return append(out, message(id, tlv(searchDone, success))...)
	}
	return nil
}

// entry is a user as RFC 4511 section 4.5.2 has it.
func entry(i int) []byte {
	who := identity(i)
	var all []byte
	for name, values := range map[string][]string{
		"uid": {who.Username}, "cn": {who.DisplayName}, "displayName": {who.DisplayName}, "employeeNumber": {who.Number},
		"entryUUID": {who.ID}, "memberOf": who.Groups,
	} {
		var set []byte
		for _, v := range values {
			set = append(set, tlv(0x04, []byte(v))...)
		}
		all = append(all, tlv(0x30, tlv(0x04, []byte(name)), tlv(0x31, set))...)
	}
	return tlv(searchEntry, tlv(0x04, []byte(who.DN)), tlv(0x30, all))
}

func message(id, op []byte) []byte { return tlv(0x30, id, op) }

// tlv encodes in BER: tag, length, contents.
func tlv(tag byte, contents ...[]byte) []byte {
	body := bytes.Join(contents, nil)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

// readMessage reads one LDAPMessage: its messageID as it stands, its operation.
func readMessage(in *bufio.Reader) (id []byte, op byte, body []byte, err error) {
	if _, err = in.ReadByte(); err != nil {
		return nil, 0, nil, err
	}
	n, err := readLength(in)
	if err != nil {
		return nil, 0, nil, err
	}
	raw := make([]byte, n)
	if _, err = io.ReadFull(in, raw); err != nil {
		return nil, 0, nil, err
	}
	if n < 4 || n < 4+int(raw[1]) {
		return nil, 0, nil, io.ErrUnexpectedEOF
	}
	id, raw = raw[:2+raw[1]], raw[2+raw[1]:]
	return id, raw[0], raw[2:], nil
}

func readLength(in *bufio.Reader) (int, error) {
	first, err := in.ReadByte()
	if err != nil || first < 0x80 {
		return int(first), err
	}
	var long [8]byte
	_, err = io.ReadFull(in, long[8-first&0x07:])
	return int(binary.BigEndian.Uint64(long[:])), err
}
