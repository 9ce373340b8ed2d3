package directory

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

func TestSpellingsOfOneDNBecomeEqual(t *testing.T) {
	for name, spellings := range map[string][]string{
		"case, spaces, OIDs, separators and escapes": {
			"uid=user0001,ou=people,dc=example,dc=vn",
			"UID=User0001,OU=People,DC=Example,DC=VN",
			"uid=user0001, ou=people, dc=example, dc=vn",
			"  uid = user0001 ,ou = people,dc=example,dc=vn  ",
			"0.9.2342.19200300.100.1.1=user0001,2.5.4.11=people,0.9.2342.19200300.100.1.25=example,dc=vn",
			"userid=user0001,organizationalUnitName=people,domainComponent=example,dc=vn",
			"uid=user0001;ou=people;dc=example;dc=vn",
			`uid=\75ser0001,ou=p\65ople,dc=example,dc=vn`,
			`uid=\20user0001\20,ou=people,dc=example,dc=vn`,
			`uid=user0001\ ,ou=people,dc=example,dc=vn`,
		},
		"the order in a multi-valued RDN": {
			"cn=a+uid=b,dc=vn", "uid=b+cn=a,dc=vn", "UID=B + CN=A, dc=vn",
		},
		"runs of spaces inside a value": {"cn=an  nguyen,dc=vn", "cn=An Nguyen,dc=vn", `cn=an \ nguyen,dc=vn`},
		"escaped letters beyond ASCII":  {"cn=Hương,dc=vn", `cn=H\c6\b0\c6\a1ng,dc=vn`},
		"a comma in the value":          {`cn=nguyen\, an,dc=vn`, `cn=nguyen\2c an,dc=vn`},
		"the empty DN":                  {""},
	} {
		t.Run(name, func(t *testing.T) {
			want := normal(t, spellings[0])
			for _, spelling := range spellings {
				require.Equal(t, want, normal(t, spelling), spelling)
				require.Equal(t, want, normal(t, want), "idempotent")
			}
		})
	}
}

func TestDNsThatAreNotSurelyTheSameStayDifferent(t *testing.T) {
	for name, pair := range map[string][2]string{
		"another value":                          {"uid=a,dc=vn", "uid=b,dc=vn"},
		"another attribute":                      {"uid=a,dc=vn", "cn=a,dc=vn"},
		"an escaped comma is no separator":       {`cn=a\,dc=vn`, "cn=a,dc=vn"},
		"an escaped plus is no multi-valued RDN": {`cn=a\+uid=b,dc=vn`, "cn=a+uid=b,dc=vn"},
		"a parent is not its child":              {"dc=vn", "cn=a,dc=vn"},
		"the order of RDNs counts":               {"dc=a,dc=b", "dc=b,dc=a"},
		"case counts where it is not known":      {"labeledURI=http://A,dc=vn", "labeledURI=http://a,dc=vn"},
		"spaces count where it is not known":     {"x-a=b  c,dc=vn", "x-a=b c,dc=vn"},
		"case beyond ASCII":                      {"cn=ƯƠNG,dc=vn", "cn=ương,dc=vn"},
		"composed and decomposed letters":        {"cn=\u00e9,dc=vn", "cn=e\u0301,dc=vn"},
		"a no-break space is no space":           {"cn=a\u00a0b,dc=vn", "cn=a b,dc=vn"},
		"a tab is no space":                      {"cn=a\\09b,dc=vn", "cn=a b,dc=vn"},
		"a replacement character is itself":      {"cn=\ufffd,dc=vn", "cn=a,dc=vn"},
		"repeated values are kept":               {"cn=a+cn=a,dc=vn", "cn=a,dc=vn"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, normal(t, pair[0]), normal(t, pair[1]))
		})
	}
}

func TestWhatIsNoPlainDNIsAnError(t *testing.T) {
	for name, dn := range map[string]string{
		"a plain name":                   "user0001",
		"a name with a domain":           `VSS\user0001`,
		"an address":                     "user0001@vss.vn",
		"spaces only":                    "   ",
		"a no-break space":               "\u00a0",
		"an empty type":                  "=a,dc=vn",
		"an empty type before a type":    "=uid=a,dc=vn",
		"an escaped type":                `u\69d=a,dc=vn`,
		"a type with an option":          "cn;lang-vi=a,dc=vn",
		"an empty value":                 "cn=,dc=vn",
		"a value of spaces":              `cn=\20\20,dc=vn`,
		"a value in BER":                 "cn=#0401 61,dc=vn",
		"a value in BER after spaces":    "cn=  #040161,dc=vn",
		"an empty constructed BER value": "cn=#3000,dc=vn",
		"quotes":                         `cn="a,b",dc=vn`,
		"a NUL":                          "cn=a\x00,dc=vn",
		"an escaped NUL":                 `cn=a\00,dc=vn`,
		"bytes that are not UTF-8":       "cn=\xff,dc=vn",
		"escaped bytes that are not it":  `cn=\ff,dc=vn`,
		"a broken escape":                `cn=a\zz,dc=vn`,
		"an escape cut off":              `cn=a\`,
		"a separator at the end":         "cn=a,dc=vn,",
		"two separators":                 "cn=a,,dc=vn",
		"an angle bracket":               "cn=<a>,dc=vn",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NormalizeDN(dn)
			require.Error(t, err)
		})
	}
}

// Every pair of spellings that normalises equal must be one entry for slapd.
func TestSlapdAgreesThatEqualDNsAreEqual(t *testing.T) {
	entries := `dn: cn=nguyen\2C an,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
cn: nguyen, an
sn: n

dn: cn=a+uid=b,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
cn: a
uid: b
sn: n

dn: cn=a\2Buid\3Db,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
cn: a+uid=b
sn: n

dn: cn=Hương  Lê,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
cn: Hương  Lê
sn: n
`
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: entries})
	conn := bound(t, slapd)
	under := "," + slapd.Base
	id := map[string]string{} // normal form to slapd's entry
	for _, spelling := range []string{
		"uid=user0001,ou=people", "UID=USER0001, OU=People", "uid=user0001;ou=people", `uid=\75ser0001,ou=p\65ople`,
		"0.9.2342.19200300.100.1.1=user0001,2.5.4.11=people", "userid=user0001,organizationalUnitName=people",
		`uid=\20user0001\20,ou=people`, `uid=user0001\ ,ou=people`, " uid = user0001 ,ou= people",
		"uid=user0002,ou=people", `cn=nguyen\, an,ou=people`, `cn=nguyen\2c  an,ou=people`, `CN=Nguyen\, AN,ou=people`,
		"cn=a+uid=b,ou=people", "uid=B+cn=A,ou=people", `cn=a\+uid=b,ou=people`, `commonName=a\2buid\3db,ou=people`,
		"cn=Hương Lê,ou=people", `cn=H\c6\b0\c6\a1ng   Lê,ou=people`,
	} {
		dn := spelling + under
		found, err := conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{"entryUUID"}, nil))
		require.NoError(t, err, dn)
		uuid := found.Entries[0].GetAttributeValue("entryUUID")
		if was, ok := id[normal(t, dn)]; ok {
			require.Equal(t, was, uuid, dn)
		}
		id[normal(t, dn)] = uuid
		require.Equal(t, normal(t, found.Entries[0].DN), normal(t, dn), "as the directory writes it")
	}
	require.Len(t, id, 6)
}

func FuzzNormalizeDN(f *testing.F) {
	for _, seed := range []string{
		"uid=user0001,ou=people,dc=vn", `cn=a\, b+uid=\c3\a9;dc=vn`, "2.5.4.3=A  b", `cn=\20a\20`, "cn==", "=cn=a", `cn=\23a`,
		"cn=a\\", "x-y=\\\"Q\\\"", "cn=Hương",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		once, err := NormalizeDN(dn)
		if err != nil {
			return
		}
		twice, err := NormalizeDN(once)
		require.NoError(t, err)
		require.Equal(t, once, twice)
		theirs, err := ldap.ParseDN(dn)
		require.NoError(t, err)
		ours, err := ldap.ParseDN(once)
		require.NoError(t, err)
		require.Len(t, ours.RDNs, len(theirs.RDNs), "no RDN is made or lost")
	})
}

func normal(t testing.TB, dn string) string {
	t.Helper()
	spelt, err := NormalizeDN(dn)
	require.NoError(t, err, dn)
	return spelt
}

// bound is a connection of the service account.
func bound(t testing.TB, slapd *testenv.SlapdServer) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(slapd.URI)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.Bind(slapd.BindDN, slapd.BindPassword))
	return conn
}
