package directory

import (
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// What is written is read by another codec as what was meant: no value becomes
// an element.
func FuzzRequests(f *testing.F) {
	f.Add(int32(1), "uid=user,dc=x", "password", 2, 6)
	f.Add(int32(1<<31-1), strings.Repeat("x", 127), strings.Repeat("\x30\x00", 64), 1<<31-1, 0)
	f.Add(int32(128), strings.Repeat("x", 128), "\x00", 127, 128)
	filter, err := newUserFilter("(uid={username})")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id int32, one, other string, n, m int) {
		if id < 0 || n < 0 || m < 0 || n > 1<<31-1 || m > 1<<31-1 {
			t.Skip()
		}
		octets := func(p *ber.Packet) string { return string(p.ByteValue) }
		controls := policyRequest
		bind := read(t, appendBind(nil, id, one, other, controls))
		require.Len(t, bind.Children, 3)
		require.EqualValues(t, id, bind.Children[0].Value)
		op := bind.Children[1]
		require.Equal(t, ber.Tag(ldap.ApplicationBindRequest), op.Tag)
		require.Len(t, op.Children, 3)
		require.EqualValues(t, 3, op.Children[0].Value)
		require.Equal(t, one, octets(op.Children[1]))
		require.Equal(t, other, op.Children[2].Data.String())
		require.Equal(t, controls, bind.Children[2].Children[0].Bytes())

		search := read(t, appendSearch(nil, id, ldap.NewSearchRequest(one, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, n, m, false,
			"", []string{other, one}, nil), filter.with(other)))
		require.Len(t, search.Children, 2, "no controls")
		op = search.Children[1]
		require.Equal(t, ber.Tag(ldap.ApplicationSearchRequest), op.Tag)
		require.Len(t, op.Children, 8)
		require.Equal(t, one, octets(op.Children[0]))
		require.EqualValues(t, n, op.Children[3].Value)
		require.EqualValues(t, m, op.Children[4].Value)
		require.Equal(t, other, octets(op.Children[6].Children[1]), "the filter's value")
		require.Equal(t, []string{other, one}, []string{octets(op.Children[7].Children[0]), octets(op.Children[7].Children[1])})
	})
}

// read has the library read one whole message.
func read(t *testing.T, raw []byte) *ber.Packet {
	p, err := ber.DecodePacketErr(raw)
	require.NoError(t, err)
	return p
}

// An entry that is read, written and read again is the same.
func FuzzDecodeMessage(f *testing.F) {
	entry := &ldap.Entry{DN: "uid=user,dc=x", Attributes: []*ldap.EntryAttribute{
		{Name: "uid", Values: []string{"user"}, ByteValues: [][]byte{[]byte("user")}},
		{Name: "memberOf"},
		{Name: "cn", Values: []string{"", strings.Repeat("x", 200)}, ByteValues: [][]byte{{}, []byte(strings.Repeat("x", 200))}},
	}}
	written := appendMessage(nil, 7, opSearchEntry, nil, func(b []byte) []byte { return appendEntry(b, entry) })
	f.Add(written[6:])
	f.Add(appendMessage(nil, 7, opSearchDone, policyRequest, func(b []byte) []byte {
		return append(b, tagEnumerated, 1, 32, tagOctets, 0, tagOctets, 1, 'x')
	})[6:])
	f.Add([]byte{tagInteger, 0x84, 0xff, 0xff, 0xff, 0xff})
	m, err := decodeMessage(written[6:])
	require.NoError(f, err)
	require.Equal(f, uint32(7), m.id)
	got, err := decodeEntry(m.contents)
	require.NoError(f, err)
	require.Equal(f, entry, got)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		if refusal, err := decodeResult(m.contents); err == nil && refusal != nil {
			require.True(t, answered(refusal) || ldap.IsErrorAnyOf(refusal, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable))
		}
		require.LessOrEqual(t, len(controlValue(m.controls, ldap.ControlTypePaging)), len(m.controls))
		pagingCookie(m.controls)
		first, err := decodeEntry(m.contents)
		if err != nil {
			return
		}
		again, err := decodeEntry(appendEntry(nil, first))
		require.NoError(t, err)
		require.Equal(t, first, again)
	})
}

func appendEntry(b []byte, e *ldap.Entry) []byte {
	return appendElement(appendOctets(b, tagOctets, e.DN), tagSequence, func(b []byte) []byte {
		for _, a := range e.Attributes {
			b = appendElement(b, tagSequence, func(b []byte) []byte {
				return appendElement(appendOctets(b, tagOctets, a.Name), tagSet, func(b []byte) []byte {
					for _, v := range a.ByteValues {
						b = appendOctets(b, tagOctets, v)
					}
					return b
				})
			})
		}
		return b
	})
}
