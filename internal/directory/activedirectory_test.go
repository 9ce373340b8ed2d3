package directory

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestAGUIDIsToldAsMicrosoftWritesIt(t *testing.T) {
	raw := []byte{0xa5, 0xc1, 0xe1, 0x3f, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x01, 0x02, 0x03, 0x04}
	require.Equal(t, []string{"3fe1c1a5-3412-7856-9abc-def001020304"}, guids([][]byte{raw}))
	require.Empty(t, guids([][]byte{nil, raw[:15], append(raw, 0)}))
}

func TestMeaningsOfNamesInActiveDirectory(t *testing.T) {
	d := newDomains(map[string]string{"VSS": "vss.test"})
	for name, want := range map[string][]string{
		"an": {"an"}, "an@vss.test": {"an@vss.test", "an"}, "an@VSS": {"an@VSS", "an"}, "an@example.vn": {"an@example.vn"},
		`VSS\an`: {"an"}, `vss.test\an`: {"an"}, `OTHER\an`: nil, `VSS\an@vss.test`: nil, "a@b@vss.test": {"a@b@vss.test"}, `VSS\`: nil, "@vss.test": {"@vss.test"},
		`VSS\a\b`: nil, `a\b@vss.test`: nil,
	} {
		require.Equal(t, want, d.meanings(name), name)
	}
}

func TestThePrimaryGroupIsTheAccountsOwnSIDWithAnotherEnd(t *testing.T) {
	const sid = "010500000000000515000000fb7d7b3b7d5c62d0fe6d01e34e040000"
	raw, err := hex.DecodeString(sid)
	require.NoError(t, err)
	entry := func(sid, number string) *ldap.Entry {
		return &ldap.Entry{Attributes: []*ldap.EntryAttribute{
			{Name: "objectSid", ByteValues: [][]byte{[]byte(sid)}, Values: []string{sid}}, ldap.NewEntryAttribute("primaryGroupID", []string{number})}}
	}
	filter, ok := primaryGroup(entry(string(raw), "513"))
	require.True(t, ok)
	require.Equal(t, "(objectSid="+pairs(sid[:48])+`\01\02\00\00)`, filter)
	require.Equal(t, sid, hex.EncodeToString(raw), "the entry stays as it is")
	for _, bad := range []*ldap.Entry{{}, entry("", "513"), entry(string(raw[:27]), "513"), entry(string(raw)+"a", "513"), entry(string(raw), ""), entry(string(raw), "-1"), entry(string(raw), "4294967296"), entry("\x01\x00aaaaaa", "1")} {
		_, ok := primaryGroup(bad)
		require.False(t, ok)
	}
}

// pairs writes hexadecimal digits as a filter has them.
func pairs(digits string) string {
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		b.WriteString(`\` + digits[i:i+2])
	}
	return b.String()
}

func TestTheDomainOfAnEntry(t *testing.T) {
	for dn, want := range map[string]string{
		"CN=An,OU=a,DC=vss,DC=test": "dc=vss,dc=test", "CN=An,DC=x,OU=a,DC=VSS,DC=Test": "dc=vss,dc=test", `CN=a\,DC\=x,DC=test`: "dc=test",
	} {
		got, err := domainOf(dn)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, dn := range []string{"", "CN=An", "DC=test,CN=An", "?"} {
		_, err := domainOf(dn)
		require.Error(t, err, dn)
	}
}

// What comes from a directory breaks nothing, an id has one spelling, and a
// filter made of it stays that filter.
func FuzzEntriesOfActiveDirectory(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("\x01\x05\x00\x00\x00\x00\x00\x05aaaabbbbccccddddeeee"), "513", "memberOf;range=0-1499")
	f.Add([]byte{}, []byte{1, 1}, "-", "memberOf;range=")
	f.Add([]byte(")("), []byte("\x01\x01)(*\\()aaaa"), "4294967295", "memberOf;range=0-*")
	f.Add([]byte("0123456789abcdef"), []byte("\x01\xff"), "0", "memberOf;range=9-9223372036854775807")
	f.Add([]byte("0"), []byte("0"), "0", "memBerOf;rAnge=--1")
	f.Fuzz(func(t *testing.T, guid, sid []byte, number, attribute string) {
		for _, text := range guids([][]byte{guid}) {
			require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, text)
			raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
			require.NoError(t, err)
			for _, swap := range [][2]int{{0, 3}, {1, 2}, {4, 5}, {6, 7}} {
				raw[swap[0]], raw[swap[1]] = raw[swap[1]], raw[swap[0]]
			}
			require.Equal(t, guid, raw)
		}
		entry := &ldap.Entry{Attributes: []*ldap.EntryAttribute{
			{Name: "objectSid", ByteValues: [][]byte{sid}, Values: []string{string(sid)}}, ldap.NewEntryAttribute("primaryGroupID", []string{number}), ldap.NewEntryAttribute(attribute, []string{"cn=a"})}}
		if filter, ok := primaryGroup(entry); ok {
			packet, err := ldap.CompileFilter(filter)
			require.NoError(t, err)
			require.EqualValues(t, ldap.FilterEqualityMatch, packet.Tag)
		}
		if s, partial := rangeOf(entry, "memberOf"); partial {
			require.Equal(t, []string{"cn=a"}, s.values)
			require.GreaterOrEqual(t, s.next, -1)
			require.True(t, s.next != 0 || strings.HasSuffix(attribute, "-*"), "a list is at its end only where the directory says so")
		}
	})
}

// A name is looked up as it is, unless it has a backslash; or as what is left
// without a domain that is ours, and then it has no domain any more.
func FuzzMeaningsInActiveDirectory(f *testing.F) {
	for _, seed := range []string{"an", "an@vss.test", `VSS\an`, `VSS\a@b`, `OTHER\an`, "a@b@vss.test", `a\b@VSS`, "@vss.test", `VSS\`, "VSS\\ ", "@", "\uf9e3"} {
		f.Add(seed)
	}
	d := newDomains(map[string]string{"VSS": "vss.test"})
	f.Fuzz(func(t *testing.T, typed string) {
		name, ok := typedName(typed)
		if !ok {
			return
		}
		all := d.meanings(name)
		require.LessOrEqual(t, len(all), 2)
		for i, meaning := range all {
			if meaning == name {
				require.Zero(t, i)
				require.NotContains(t, name, `\`)
				continue
			}
			require.NotEmpty(t, strings.TrimSpace(meaning))
			require.False(t, strings.ContainsAny(meaning, `\@`), meaning)
			short, ofShort := strings.CutSuffix(name, `\`+meaning)
			long, ofLong := strings.CutPrefix(name, meaning+"@")
			require.True(t, ofShort && d.knows(short) || ofLong && d.knows(long), "%q", name)
		}
	})
}
