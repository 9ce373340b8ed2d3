package ad_test

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/directory"
	"vssgate/internal/login"
)

func entryIsRead(t *testing.T, d *domain) {
	f := d.directory(t, func(o *directory.LDAPOptions) { o.Attributes.Number = "employeeNumber" })
	who := resolve(t, f, an.sam)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, who.ID)
	require.Equal(t, login.Identity{
		ID: who.ID, DN: an.dn(), Username: "an.nv", DisplayName: "Nguyễn Văn An (CNTT)", Number: "7912345678", Groups: []string{team},
	}, who)
	require.Equal(t, "binh", resolve(t, f, binh.sam).DisplayName, "without a display name")

	// The controller itself takes the text that we tell for the id.
	conn := d.dial(t)
	require.NoError(t, conn.Bind(reader, readerPassword))
	found, err := conn.Search(ldap.NewSearchRequest("<GUID="+who.ID+">", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"cn"}, nil))
	require.NoError(t, err)
	require.Equal(t, an.cn, found.Entries[0].GetAttributeValue("cn"))
}

// forms are names and whom they mean; "" is nobody.
var forms = map[string]string{
	// Names as they are.
	"an.nv": "an.nv", "AN.NV": "an.nv", `VSS\an.nv`: "an.nv", `vss\An.Nv`: "an.nv", "an.nv@vss.test": "an.nv", "An.NV@VSS.Test": "an.nv",
	"an.nv@VSS": "an.nv", `vss.test\an.nv`: "an.nv",
	// A suffix that is no domain: whose it is, is his; nobody else's.
	"tran.binh@example.vn": "binh", "TRAN.BINH@EXAMPLE.VN": "binh", "binh": "binh", `VSS\binh`: "binh", "binh@vss.test": "binh", "tran.binh": "", "tran.binh@vss.test": "",
	// Somebody's userPrincipalName comes before another one's name with that suffix.
	"binh@example.vn": "chi", "BINH@EXAMPLE.VN": "chi", "chi": "chi", "chi@vss.test": "chi", `VSS\chi`: "chi",
	// No userPrincipalName.
	"dung": "dung", "dung@vss.test": "dung", `VSS\dung`: "dung", "dung@example.vn": "dung", "dung@other.vn": "",
	// A space in a name, and around it.
	"hoang em": "hoang em", "HOANG EM": "hoang em", `VSS\hoang em`: "hoang em", "em@example.vn": "hoang em", "em": "", "hoangem": "",
	// Letters beyond ASCII, put together and taken apart.
	"ánh": "ánh", "ÁNH": "ánh", norm.NFD.String("ánh"): "ánh", `VSS\` + norm.NFD.String("ÁNH"): "ánh", norm.NFD.String("ánh@vss.test"): "ánh",
	// A userPrincipalName without a suffix is no name.
	"giang": "giang", "phuc": "", `VSS\phuc`: "", "phuc@vss.test": "", "phuc2": "phuc2",
	// A sAMAccountName that reads like a userPrincipalName.
	"at@other.vn": "", `VSS\at@other.vn`: "", "at": "",
	// Other domains.
	`OTHER\an.nv`: "", "an.nv@other.test": "", "an.nv@example.com": "", `.\an.nv`: "", `\an.nv`: "", "@vss.test": "", `VSS\`: "", "an.nv@": "", "@an.nv": "",
	"an.nv@vss.test.": "", `VSS.\an.nv`: "", "an.nv@vss.test@vss.test": "", `VSS\VSS\an.nv`: "", `VSS\an.nv@vss.test`: "", `VSS\binh@vss.test`: "", `VSS/an.nv`: "", `VSS\\an.nv`: "",
	// What is no name of a user.
	"PC1$": "", `VSS\PC1$`: "", "pc1@vss.test": "", "DC1$": "", "partner": "", "team": "", "krbtgt": "", "vssgate": "", "svc-vssgate": "", "Administrator": "", "": "", " ": "",
	// What Active Directory takes for a name elsewhere.
	an.cn: "", "Nguyễn Văn An (CNTT)": "", "vss.test/Phòng CNTT/" + an.cn: "", "HOST/dc1.vss.test": "", "S-1-5-21-1-2-3-500": "", "{00000000-0000-0000-0000-000000000000}": "",
	// Filters, NUL, and what is not UTF-8.
	"*": "", "an*": "", "an.n?": "", "an.nv)(cn=*": "", "*)(cn=*": "", `an.nv\2a`: "", "an.nv\x00": "", "\x00an.nv": "", "an.nv\xff": "", strings.Repeat("a", 300): "",
}

// oddities are put around and into a name. What a directory passes over leads to
// the same account; anything else to nobody.
var oddities = []string{
	" %", "% ", "  %  ", "%.", "%\t", "\t%", "%\n", "%\r\n", "\u00a0%", "%\u00a0", "\ufeff%", "%\u200b", "\u200d%", "%\u0301", "%$", "%,", "%;", "%#", "%\"", "\"%\"", "'%'", "<%>", "%/", "%\\",
	`\%`, "%%20", "%+", "(%)", "%\u0000", "\u202e%", "%\u2028", "VSS\\ %", "VSS \\%", "VSS\\% ", " VSS\\%", "%@vss.test ", "%@ vss.test", "% @vss.test", "%@vss.test\u200b", "%@VSS.TEST.", "%@vss.test\x00",
}

func namesAreOneAccount(t *testing.T, d *domain) {
	f := d.directory(t, nil)
	ids := map[string]string{"": ""}
	for _, u := range everyone {
		who := resolve(t, f, u.sam)
		require.Equal(t, u.sam, who.Username)
		require.Empty(t, ids[who.ID])
		ids[who.ID] = u.sam
	}
	for name, want := range forms {
		for _, ask := range []func(*testing.T, *directory.LDAP, string) login.Identity{resolve, resolveBind} {
			require.Equal(t, want, ids[ask(t, f, name).ID], "%q", name)
			require.Equal(t, want, ask(t, f, name).Username, "%q", name)
		}
	}
	second := 0
	for _, u := range everyone {
		for _, odd := range oddities {
			name := strings.Replace(odd, "%", u.sam, 1)
			if who := resolve(t, f, name); who.ID != "" && ids[who.ID] != u.sam {
				second++
				t.Errorf("%q is %s", name, who.DN)
			}
		}
		wide := strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'ａ'
			}
			return r
		}, u.sam)
		if who := resolve(t, f, wide); who.ID != "" && ids[who.ID] != u.sam {
			second++
			t.Errorf("%q is %s", wide, who.DN)
		}
	}
	require.Zero(t, second, "second identities")
	t.Logf("%d names, %d odd ones: no second identity", len(forms), len(everyone)*(len(oddities)+1))
}

// With the whole domain as base, too, users are found and nothing else.
func usersAreFoundAlone(t *testing.T, d *domain) {
	f := d.directory(t, func(o *directory.LDAPOptions) { o.BaseDNs = []string{base, people} })
	require.Equal(t, an.dn(), resolve(t, f, an.upn).DN)
	for _, name := range []string{"PC1$", `VSS\PC1$`, "pc1@vss.test", "DC1$", "group-1", "Domain Users", "partner"} {
		require.Empty(t, resolve(t, f, name).DN, name)
	}
	for _, dn := range []string{"CN=PC1," + services, "CN=DC1,OU=Domain Controllers," + base, team, "CN=Partner," + people, base} {
		require.Empty(t, resolveBind(t, f, dn).DN, dn)
	}
}

func dnsAreOneAccount(t *testing.T, d *domain) {
	f := d.directory(t, nil)
	for name, want := range map[string]user{
		an.dn(): an,
		"cn=NGUYỄN VĂN AN,ou=PHÒNG CNTT,dc=VSS,dc=Test":                        an,
		"CN = Nguyễn Văn An , OU = Phòng CNTT , DC = vss , DC = test":          an,
		"2.5.4.3=Nguyễn Văn An,2.5.4.11=Phòng CNTT,DC=vss,DC=test":             an,
		`CN=Nguyễn V\C4\83n An,OU=Phòng CNTT,DC=vss,DC=test`:                   an,
		`CN=Hoàng\, Em,OU=Phòng CNTT,DC=vss,DC=test`:                           em,
		`CN=Hoàng\2C Em,OU=Phòng CNTT,DC=vss,DC=test`:                          em,
		norm.NFD.String(anh.dn()):                                              anh,
		"CN=Nguyễn Văn An,OU=Phòng CNTT,DC=vss,DC=test.":                       {},
		"CN=Nguyễn Văn An,OU=Phòng CNTT,DC=other,DC=test":                      {},
		"CN=Nguyễn Văn An,CN=Users,DC=vss,DC=test":                             {},
		"CN=PC1," + services:                                                   {},
		"CN=Partner," + people:                                                 {},
		"CN=team," + groups:                                                    {},
		reader:                                                                 {},
		"CN=Administrator,CN=Users," + base:                                    {},
		people:                                                                 {},
		base:                                                                   {},
		"CN=Configuration," + base:                                             {},
		"<GUID=00000000-0000-0000-0000-000000000000>":                          {},
		"<SID=S-1-5-32-544>":                                                   {},
		"<WKGUID=a9d1ca15768811d1aded00c04fd8d5cd,DC=vss,DC=test>":             {},
		"sAMAccountName=an.nv," + people:                                       {},
		"CN=Nguyễn Văn An+sAMAccountName=an.nv," + people:                      {},
		"CN=Nguyễn Văn An,OU=Phòng CNTT;DC=vss;DC=test;<GUID=x>":               {},
		"CN=*," + people:                                                       {},
		"uid=an.nv,dc=example,dc=vn":                                           {},
		"CN=Nguyễn Văn An\x00,OU=Phòng CNTT,DC=vss,DC=test":                    {},
		"cn=#0c0241" + "6e," + people:                                          {},
		strings.Repeat("CN=a,", 100) + base:                                    {},
		"CN=Nguyễn Văn An\\0ADEL:00000000-0000-0000-0000-000000000000," + base: {},
	} {
		who := resolveBind(t, f, name)
		if want.sam == "" {
			require.Empty(t, who.ID, "%q is %s", name, who.DN)
			continue
		}
		if name != an.dn() && who.ID == "" { // refused is as good
			t.Logf("refused: %q", name)
			continue
		}
		require.Equal(t, want.sam, who.Username, "%q", name)
	}
}

// foundIsBound binds at the controller by each name and each user's password:
// whom the controller takes the name for is whom we find, or we find nobody.
func foundIsBound(t *testing.T, d *domain) {
	f, conn := d.directory(t, nil), d.dial(t)
	agreed := 0
	for name := range forms {
		if name == "" {
			continue
		}
		who := resolveBind(t, f, name)
		for _, u := range []user{an, binh, chi, dung, em, anh, bare, phuc} {
			err := conn.Bind(name, u.password())
			if err == nil && who.ID != "" {
				require.Equal(t, u.sam, who.Username, "the controller binds %q as %s", name, u.sam)
				agreed++
			}
			if err == nil && who.ID == "" {
				t.Logf("the controller takes %q for %s; we for nobody", name, u.sam)
			}
		}
	}
	require.Greater(t, agreed, 15, "names that the controller takes as we do")
}
