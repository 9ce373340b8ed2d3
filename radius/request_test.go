package radius

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

var source = netip.MustParseAddr("192.0.2.9")

// readingOf opens and reads a packet that must be well formed.
func readingOf(t *testing.T, b []byte) (reading, Drop) {
	c := testClient()
	p, drop := open(b, c, takesLogins)
	require.Empty(t, drop)
	return p.read(c, source)
}

func TestPassword(t *testing.T) {
	auth := authOf(1)
	user := text(1, "an.nv")
	long := strings.Repeat("žluťoučký ", 20)
	long = long[:126] + "!!" // 128 bytes, cut between characters
	raw := func(value string) []byte { return signed(1, 1, auth, 0, user, text(2, value)) }
	typed := func(password string) []byte { return signed(1, 1, auth, 0, user, hidden(password, auth)) }

	for name, c := range map[string]struct {
		in      []byte
		want    string
		refused string
		drop    Drop
	}{
		"UTF-8 is kept":                                           {in: typed("mật khẩu 🔑"), want: "mật khẩu 🔑"},
		"128 bytes are a password":                                {in: typed(long), want: long},
		"16 bytes need no padding":                                {in: typed("0123456789abcdef"), want: "0123456789abcdef"},
		"commas and digits are left alone":                        {in: typed("a,b,123456"), want: "a,b,123456"},
		"spaces are left alone":                                   {in: typed(" a "), want: " a "},
		"an empty password is the core's business":                {in: typed(""), want: ""},
		"a NUL inside is refused, not cut off":                    {in: typed("good\x00,999999"), refused: rejectedPassword},
		"1 byte on the wire is refused":                           {in: raw("a"), refused: rejectedPassword},
		"no byte on the wire is refused":                          {in: raw(""), refused: rejectedPassword},
		"15 bytes on the wire are refused":                        {in: raw(strings.Repeat("a", 15)), refused: rejectedPassword},
		"17 bytes on the wire are refused":                        {in: raw(strings.Repeat("a", 17)), refused: rejectedPassword},
		"144 bytes on the wire are refused":                       {in: raw(strings.Repeat("a", 144)), refused: rejectedPassword},
		"253 bytes on the wire are refused":                       {in: raw(strings.Repeat("a", 253)), refused: rejectedPassword},
		"Latin-1 is converted once, if the request was authentic": {in: typed("caf\xe9"), want: "café"},
		"unreadable and not authentic: a wrong shared secret":     {in: pack(1, 1, auth, user, hidden("caf\xe9", auth)), drop: WrongSecret},
		"readable and not authentic: served":                      {in: pack(1, 1, auth, user, hidden("café", auth)), want: "café"},
		"neither password nor State is refused":                   {in: signed(1, 1, auth, 0, user), refused: rejectedNone},
		"CHAP is refused":                                         {in: signed(1, 1, auth, 0, user, text(3, "seventeen bytes.."), text(60, "challenge")), refused: rejectedCHAP},
		"MS-CHAP is refused":                                      {in: signed(1, 1, auth, 0, user, attr{26, []byte{0, 0, 1, 55, 1, 2}}), refused: rejectedMSCHAP},
		"MS-CHAPv2 is refused":                                    {in: signed(1, 1, auth, 0, user, attr{26, []byte{0, 0, 1, 55, 25, 2}}), refused: rejectedMSCHAP},
		"another vendor's attribute is no MS-CHAP":                {in: signed(1, 1, auth, 0, user, attr{26, []byte{0, 0, 1, 56, 25, 2}}), refused: rejectedNone},
	} {
		t.Run(name, func(t *testing.T) {
			r, drop := readingOf(t, c.in)
			require.Equal(t, c.drop, drop)
			require.Equal(t, c.refused, r.refused)
			if c.refused == "" && c.drop == "" {
				require.Equal(t, c.want, string(r.request.Password))
			} else {
				require.True(t, r.request == nil || r.request.Probe && r.request.First == nil, "nobody is to be asked")
			}
		})
	}
}

// A wrong shared secret makes noise of every password. Noise that happens to
// be readable is so rare that it may be handed on.
func TestAWrongSecretWithoutMessageAuthenticatorIsFound(t *testing.T) {
	found := 0
	for n := range 1000 {
		auth := authOf(n)
		value := hidden("a good password of a user", auth)
		value.value[0] ^= byte(n) | 1 // as if hidden with another secret
		value.value[17] ^= 0x80
		value.value[20] ^= 0xff
		if _, drop := readingOf(t, pack(1, 1, auth, text(1, "an.nv"), value)); drop == WrongSecret {
			found++
		}
	}
	require.Equal(t, 1000, found)
}

func TestState(t *testing.T) {
	auth := authOf(1)
	user := text(1, "an.nv")
	state := strings.Repeat("s", 253)
	t.Run("State and code are handed on", func(t *testing.T) {
		r, _ := readingOf(t, signed(1, 1, auth, 0, user, text(24, state), hidden("123456", auth)))
		require.Equal(t, state, string(r.request.State))
		require.Equal(t, "123456", string(r.request.Password))
	})
	t.Run("State without password is an answer: OK was pressed", func(t *testing.T) {
		r, _ := readingOf(t, signed(1, 1, auth, 0, user, text(24, state)))
		require.Equal(t, state, string(r.request.State))
		require.Empty(t, r.request.Password)
	})
	t.Run("an empty State is no first request", func(t *testing.T) {
		r, _ := readingOf(t, signed(1, 1, auth, 0, user, text(24, ""), hidden("secret", auth)))
		require.Equal(t, rejectedState, r.refused)
	})
	t.Run("no State is nil", func(t *testing.T) {
		r, _ := readingOf(t, signed(1, 1, auth, 0, user, hidden("secret", auth)))
		require.Nil(t, r.request.State)
	})
}

func TestUserName(t *testing.T) {
	auth := authOf(1)
	read := func(attrs ...attr) reading {
		r, drop := readingOf(t, signed(1, 1, auth, 0, append(attrs, hidden("secret", auth))...))
		require.Empty(t, drop)
		return r
	}
	for _, name := range []string{"an.nv", "AN.NV", " an ", `CORP\an`, "*)(uid=*", `\2a`, "Nguyễn Văn An", "Nguyê\u0303n"} {
		require.Equal(t, name, read(text(1, name)).request.Username, "handed on as typed")
	}
	require.Equal(t, "café", read(text(1, "caf\xe9")).request.Username, "Latin-1")
	require.Equal(t, rejectedName, read(text(1, "")).refused, "empty")
	require.Equal(t, rejectedName, read(text(1, "an\x00nv")).refused, "NUL")
	require.Equal(t, rejectedName, read(text(1, "an.nv\x00")).refused, "NUL at the end")
	require.Equal(t, rejectedName, read().refused, "missing")
}

func TestWhereARequestComesFrom(t *testing.T) {
	address := attr{4, []byte{10, 0, 0, 1}}
	address6 := attr{95, netip.MustParseAddr("2001:db8::1").AsSlice()}
	station := func(s string) attr { return text(31, s) }
	for name, c := range map[string]struct {
		in           []attr
		nas, station string
	}{
		"NAS-Identifier names the NAS":               {[]attr{address, text(32, "vpn1")}, "vpn1", ""},
		"else NAS-IP-Address":                        {[]attr{address, address6}, "10.0.0.1", ""},
		"else NAS-IPv6-Address":                      {[]attr{address6}, "2001:db8::1", ""},
		"else the source":                            {nil, "192.0.2.9", ""},
		"an empty NAS-Identifier is none":            {[]attr{text(32, ""), address}, "10.0.0.1", ""},
		"a NAS-IP-Address of 3 bytes is none":        {[]attr{{4, []byte{1, 2, 3}}}, "192.0.2.9", ""},
		"an address stays":                           {[]attr{station("203.0.113.7")}, "192.0.2.9", "203.0.113.7"},
		"a port is cut off":                          {[]attr{station("203.0.113.7:51234")}, "192.0.2.9", "203.0.113.7"},
		"a port is cut off an IPv6 address":          {[]attr{station("[2001:db8::1]:443")}, "192.0.2.9", "2001:db8::1"},
		"strongSwan's port is cut off":               {[]attr{station("203.0.113.7[51234]")}, "192.0.2.9", "203.0.113.7"},
		"strongSwan's port is cut off IPv6 too":      {[]attr{station("2001:db8::1[4500]")}, "192.0.2.9", "2001:db8::1"},
		"the source with strongSwan's port is none":  {[]attr{station("192.0.2.9[4500]")}, "192.0.2.9", ""},
		"what stands before no address stays":        {[]attr{station("pc7[4500]")}, "192.0.2.9", "pc7[4500]"},
		"brackets are cut off":                       {[]attr{station("[2001:db8::1]")}, "192.0.2.9", "2001:db8::1"},
		"an IPv6 address stays":                      {[]attr{station("2001:db8::1")}, "192.0.2.9", "2001:db8::1"},
		"an IPv6 address has one spelling":           {[]attr{station("2001:DB8:0::1")}, "192.0.2.9", "2001:db8::1"},
		"a mapped address is the IPv4 address":       {[]attr{station("::ffff:203.0.113.7")}, "192.0.2.9", "203.0.113.7"},
		"a MAC address stays":                        {[]attr{station("00-11-22-AA-BB-CC")}, "192.0.2.9", "00-11-22-AA-BB-CC"},
		"a MAC address with colons stays":            {[]attr{station("00:11:22:aa:bb:cc")}, "192.0.2.9", "00:11:22:aa:bb:cc"},
		"an EUI-64 is no IPv6 address":               {[]attr{station("00:11:22:aa:bb:cc:dd:01")}, "192.0.2.9", "00:11:22:aa:bb:cc:dd:01"},
		"a telephone number stays":                   {[]attr{station("+84 24 3936 1777")}, "192.0.2.9", "+84 24 3936 1777"},
		"a host name stays":                          {[]attr{station("pc7.example")}, "192.0.2.9", "pc7.example"},
		"an empty station is none":                   {[]attr{station("")}, "192.0.2.9", ""},
		"blanks are none":                            {[]attr{station(" \x00")}, "192.0.2.9", ""},
		"0.0.0.0 is none":                            {[]attr{station("0.0.0.0")}, "192.0.2.9", ""},
		"the source is none":                         {[]attr{station("192.0.2.9")}, "192.0.2.9", ""},
		"the source with a port is none":             {[]attr{station("192.0.2.9:99")}, "192.0.2.9", ""},
		"the NAS's own address is none":              {[]attr{address, text(32, "vpn1"), station("10.0.0.1")}, "vpn1", ""},
		"the NAS's own IPv6 address is none":         {[]attr{address, address6, station("2001:db8::1")}, "10.0.0.1", ""},
		"the NAS's own identifier is none":           {[]attr{text(32, "VPN1"), station("vpn1")}, "VPN1", ""},
		"what is not UTF-8 is read as Latin-1":       {[]attr{text(32, "caf\xe9"), station("\xe9")}, "café", "é"},
		"an address of the NAS is not another's own": {[]attr{address, station("10.0.0.2")}, "10.0.0.1", "10.0.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := authOf(1)
			r, _ := readingOf(t, signed(1, 1, auth, 0, append(c.in, text(1, "an.nv"), hidden("secret", auth))...))
			require.Equal(t, c.nas, r.request.NAS)
			require.Equal(t, c.station, r.request.Station)
			require.Equal(t, source, r.request.Source)
		})
	}
}

func TestRefusalsSayNothingButWhatAWrongPasswordSays(t *testing.T) {
	r := refuse(rejectedName, login.Reject)
	require.Equal(t, login.BadPassword, r.reply.Reason)
	require.Len(t, r.reply.Trace, 6)
	require.Equal(t, r.reply.Attempt.Trace(), r.reply.Trace)
	require.Equal(t, login.BadMethod, refuse(rejectedCHAP, login.BadAnswer).reply.Reason, "a user who can do nothing about it is sent to who can")
	require.Empty(t, refuse(rejectedState, login.BadAnswer).reply.Reason)
}
