package directory

import (
	"strings"
	"testing"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

func TestKnownDomainsAreCutOff(t *testing.T) {
	d := newDomains(map[string]string{"VSS": "vss.vn", "HN": "hn.vss.vn"})
	for typed, want := range map[string]string{
		"an.nv":            "an.nv",
		`VSS\an.nv`:        "an.nv",
		`vss\an.nv`:        "an.nv",
		`vss.vn\an.nv`:     "an.nv",
		"an.nv@vss.vn":     "an.nv",
		"an.nv@HN.VSS.VN":  "an.nv",
		"an.nv@vss":        "an.nv",
		"an.nv@example.vn": "an.nv@example.vn",
		`OTHER\an.nv`:      `OTHER\an.nv`,
		`\an.nv`:           `\an.nv`,
		"an.nv@":           "an.nv@",
		`VSS\`:             "",
		"@vss.vn":          "",
		`VSS\a\b`:          `a\b`,
		`VSS\a@vss.vn`:     "a@vss.vn",
		"a@vss.vn@vss.vn":  "a@vss.vn",
	} {
		require.Equal(t, want, d.cut(typed), typed)
	}
	require.Equal(t, "@", domains(nil).cut("@"))
	require.Equal(t, `\a`, newDomains(map[string]string{"": ""}).cut(`\a`))
}

func TestNamesAreLookedUpWithTheirLettersPutTogether(t *testing.T) {
	name, ok := typedName(norm.NFD.String("lê.hương"))
	require.True(t, ok)
	require.Equal(t, norm.NFC.String("lê.hương"), name)
}

func TestNamesThatNobodyCanHave(t *testing.T) {
	for why, typed := range map[string]string{
		"empty": "", "blank": " \t\u00a0", "a NUL": "an.nv\x00", "not UTF-8": "an\xff", "too long": strings.Repeat("a", longestName+1),
	} {
		_, ok := typedName(typed)
		require.False(t, ok, why)
	}
	_, ok := typedName(strings.Repeat("a", longestName))
	require.True(t, ok)
}

func TestAUserFilterTakesAName(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"(uid={username})": true,
		"(&(objectClass=person)(|(uid={username})(mail={username})))": true,
		"(uid=user)":        false,
		"":                  false,
		"(uid={username}":   false,
		"uid={username})))": false,
	} {
		_, err := newUserFilter(pattern)
		require.Equal(t, ok, err == nil, pattern)
	}
}

// Whatever is typed, the filter keeps its shape and the name is one value in it.
func FuzzNamesStayValuesInTheFilter(f *testing.F) {
	for _, seed := range []string{"an.nv", "*)(uid=*", `\2a`, "a\\", "()&|!=", "hương", norm.NFD.String("hương"), "\u202e", "a\nb", "*"} {
		f.Add(seed)
	}
	filter, err := newUserFilter("(&(objectClass=person)(|(uid={username})(mail={username})))")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, typed string) {
		name, ok := typedName(typed)
		if !ok {
			return
		}
		require.True(t, utf8.ValidString(name))
		again, _ := typedName(name)
		require.Equal(t, name, again)
		packet, err := ber.DecodePacketErr(filter.with(name))
		require.NoError(t, err)
		either := packet.Children[1]
		require.Len(t, packet.Children, 2)
		require.Len(t, either.Children, 2)
		for _, equality := range either.Children {
			require.EqualValues(t, ldap.FilterEqualityMatch, equality.Tag)
			require.Equal(t, name, ber.DecodeString(equality.Children[1].Data.Bytes()))
		}
	})
}

// Every form of a name means the name itself, and a domain that is not ours is
// part of the name: a form never leads to somebody else.
func FuzzFormsOfANameMeanTheSame(f *testing.F) {
	for _, seed := range []string{"an.nv", "hương", "a b", `a\b`, "a@b", "a@vss.vn", `VSS\a`, "@", `\`, "", "a@"} {
		f.Add(seed, "other")
	}
	d := newDomains(map[string]string{"VSS": "vss.vn"})
	f.Fuzz(func(t *testing.T, name, domain string) {
		if strings.ContainsAny(domain, `\@`) || !utf8.ValidString(name) {
			return
		}
		ours := d.knows(domain)
		if !strings.ContainsAny(name, `\@`) {
			for _, form := range []string{name, `VSS\` + name, `vss.vn\` + name, name + "@vss.vn", name + "@VSS"} {
				require.Equal(t, name, d.cut(form), form)
			}
			require.Equal(t, ours, d.cut(name+"@"+domain) == name && name+"@"+domain != name)
		}
		if ours {
			return
		}
		for _, form := range []string{domain + `\` + name, name + "@" + domain} {
			if cut := d.cut(form); cut != form {
				require.True(t, strings.ContainsAny(name, `\@`), "%q became %q", form, cut)
			}
		}
	})
}
