package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

func testClient() *client {
	return newClient(Client{Login: &login.Client{Name: "hq-vpn"}, Secret: secret.Secret(shared)}, overUDP)
}

// with returns b changed.
func with(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return b
}

func TestOpen(t *testing.T) {
	auth := authOf(1)
	user, password := text(1, "an.nv"), hidden("mật khẩu", auth)
	right := signed(1, 7, auth, 0, user, password)
	proxy, eap, state := text(33, "proxy"), attr{79, []byte{2, 9, 0, 5, 1}}, text(24, "state")
	padded := append(bytes.Clone(right), "padding"...)
	many := func(n int) (all []attr) {
		for range n {
			all = append(all, attr{26, nil})
		}
		return all
	}
	resized := func(value []byte) []byte { // right, but for the length of Message-Authenticator
		return pack(1, 7, auth, user, password, attr{80, value})
	}

	for name, c := range map[string]struct {
		in   []byte
		want Drop
	}{
		"a signed request is served":                              {right, ""},
		"Message-Authenticator may be in the middle":              {signed(1, 7, auth, 1, user, password), ""},
		"Message-Authenticator may be last":                       {signed(1, 7, auth, 2, user, password), ""},
		"without Message-Authenticator it is served":              {pack(1, 7, auth, user, password), ""},
		"padding after Length is ignored":                         {padded, ""},
		"nothing at all":                                          {nil, BadLength},
		"19 bytes":                                                {right[:19], BadLength},
		"Length 19":                                               {with(right, func(b []byte) { binary.BigEndian.PutUint16(b[2:], 19) }), BadLength},
		"Length beyond the datagram":                              {right[:len(right)-1], BadLength},
		"Length beyond 4096":                                      {with(make([]byte, 4097), func(b []byte) { copy(b, right); binary.BigEndian.PutUint16(b[2:], 4097) }), BadLength},
		"a datagram beyond 4096":                                  {append(bytes.Clone(right), make([]byte, 5000)...), BadLength},
		"a wrong Message-Authenticator":                           {with(right, func(b []byte) { b[30] ^= 1 }), BadAuthenticator},
		"a Message-Authenticator of 15 bytes":                     {resized(make([]byte, 15)), BadAuthenticator},
		"a Message-Authenticator of 17 bytes":                     {resized(make([]byte, 17)), BadAuthenticator},
		"a Message-Authenticator that runs past the end":          {with(right, func(b []byte) { b[21] = 255 }), BadAttributes},
		"two Message-Authenticators":                              {signed(1, 7, auth, 0, user, password, attr{80, make([]byte, 16)}), BadAuthenticator},
		"two Message-Authenticators, the last one right":          {signed(1, 7, auth, 3, user, password, attr{80, make([]byte, 16)}), BadAuthenticator},
		"a right Message-Authenticator and a byte more":           {oversigned(auth, user, password), BadAuthenticator},
		"Proxy-State with Message-Authenticator is served":        {signed(1, 7, auth, 0, user, password, proxy), ""},
		"EAP needs Message-Authenticator":                         {pack(1, 7, auth, user, eap), NoAuthenticator},
		"EAP with Message-Authenticator is read":                  {signed(1, 7, auth, 0, user, eap), ""},
		"Status-Server needs Message-Authenticator":               {pack(12, 7, auth), NoAuthenticator},
		"Status-Server with Message-Authenticator is read":        {signed(12, 7, auth, 0), ""},
		"two User-Names":                                          {signed(1, 7, auth, 0, user, user, password), RepeatedAttribute},
		"two User-Passwords":                                      {signed(1, 7, auth, 0, user, password, password), RepeatedAttribute},
		"two CHAP-Passwords":                                      {signed(1, 7, auth, 0, user, text(3, "chap"), text(3, "chap")), RepeatedAttribute},
		"two States":                                              {signed(1, 7, auth, 0, user, password, state, state), RepeatedAttribute},
		"two passwords of two kinds":                              {signed(1, 7, auth, 0, user, password, text(3, "chap")), TwoPasswords},
		"a password and EAP":                                      {signed(1, 7, auth, 0, user, password, eap), TwoPasswords},
		"an attribute of length 0":                                {with(right, func(b []byte) { b[len(b)-len(password.value)-1] = 0 }), BadAttributes},
		"an attribute of length 1":                                {with(right, func(b []byte) { b[len(b)-len(password.value)-1] = 1 }), BadAttributes},
		"an attribute past the end":                               {with(right, func(b []byte) { b[len(b)-len(password.value)-1]++ }), BadAttributes},
		"half an attribute":                                       {with(append(bytes.Clone(right), 1), func(b []byte) { binary.BigEndian.PutUint16(b[2:], uint16(len(b))) }), BadAttributes},
		"an attribute of type 0":                                  {signed(1, 7, auth, 0, user, password, attr{0, nil}), BadAttributes},
		"200 attributes are served":                               {signed(1, 7, auth, 0, many(199)...), ""},
		"201 attributes":                                          {signed(1, 7, auth, 0, many(200)...), BadAttributes},
		"2038 empty attributes":                                   {pack(1, 7, auth, many(2038)...), BadAttributes},
		"a request signed with another secret":                    {with(right, func(b []byte) { copy(b[22:], bytes.Repeat([]byte{9}, 16)) }), BadAuthenticator},
		"a signature over another authenticator":                  {with(right, func(b []byte) { b[4] ^= 1 }), BadAuthenticator},
		"Accounting-Request does not belong here":                 {signed(4, 7, auth, 0, user), AccountingHere},
		"an answer gets no answer, or two servers go on for ever": {signed(2, 7, auth, 0), BadCode},
		"an Access-Challenge gets no answer":                      {signed(11, 7, auth, 0), BadCode},
		"CoA does not belong here":                                {signed(43, 7, auth, 0), BadCode},
	} {
		t.Run(name, func(t *testing.T) {
			p, drop := open(c.in, testClient(), takesLogins)
			require.Equal(t, c.want, drop)
			if drop == "" {
				require.Equal(t, bytes.Contains(c.in, []byte{80, 18}), p.authentic)
			}
		})
	}
}

// oversigned carries a right signature in an attribute that is too long.
func oversigned(auth [16]byte, attrs ...attr) []byte {
	b := pack(1, 7, auth, append([]attr{{80, make([]byte, 17)}}, attrs...)...)
	h := hmac.New(md5.New, []byte(shared))
	h.Write(b)
	copy(b[22:], h.Sum(nil))
	return b
}

func TestEachSocketServesItsOwnCodes(t *testing.T) {
	for takes, want := range map[codes]map[int]Drop{
		takesLogins:                   {1: "", 12: "", 4: AccountingHere},
		takesAccounting:               {4: "", 12: "", 1: LoginHere},
		takesLogins | takesAccounting: {1: "", 12: "", 4: ""},
	} {
		for code := range 256 {
			b := signed(byte(code), 7, authOf(1), 0)
			if code == 4 {
				b = accounts(7, false)
			}
			_, drop := open(b, testClient(), takes)
			if expected, named := want[code]; named {
				require.Equal(t, expected, drop, "code %d", code)
			} else {
				require.Equal(t, BadCode, drop, "code %d", code)
			}
		}
	}
}

func TestASecretThatDiffersIsRefused(t *testing.T) {
	other := newClient(Client{Login: &login.Client{Name: "other"}, Secret: "another-secret-here"}, overUDP)
	_, drop := open(asks(1, 1, "an.nv", "secret"), other, takesLogins)
	require.Equal(t, BadAuthenticator, drop)
}

// What is accepted is written again as it came; nothing panics.
func FuzzPacket(f *testing.F) {
	auth := authOf(1)
	f.Add(asks(1, 1, "an.nv", "mật khẩu", text(24, "state"), text(33, "proxy")))
	f.Add(pack(1, 1, auth, text(1, "an.nv"), hidden("secret", auth)))
	f.Add(signed(12, 1, auth, 0))
	f.Add(signed(1, 1, auth, 0, text(1, "an.nv"), attr{79, []byte{2, 9, 0, 5, 1}}))
	f.Add(signed(1, 1, auth, 0, text(1, "an.nv"), attr{26, []byte{0, 0, 1, 55, 25, 2}}))
	f.Add([]byte{1, 2, 0, 20})
	c := testClient()
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		p, drop := open(b, c, takesLogins)
		require.Equal(t, before, b, "reading changes nothing")
		if drop != "" {
			return
		}
		parsed, err := layeh.Parse(b, p.Secret)
		require.NoError(t, err)
		require.Equal(t, parsed, p.Packet, "as the library reads it")
		again, err := p.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, b[:len(again)], again)
		require.Equal(t, len(again), int(binary.BigEndian.Uint16(b[2:])))
		r, drop := p.read(c, loopback()[0].Addr())
		if drop == "" && r.request != nil {
			require.NotEmpty(t, r.request.Username)
			require.NotContains(t, r.request.Username, "\x00")
			require.NotContains(t, string(r.request.Password), "\x00")
			require.False(t, r.request.State != nil && len(r.request.State) == 0)
		}
	})
}

// One flipped bit anywhere, and the packet is not believed.
func FuzzMessageAuthenticator(f *testing.F) {
	f.Add("an.nv", "secret", []byte("state"), uint16(0))
	f.Add("an.nv", "", []byte{}, uint16(20*8+1))
	f.Add("", "mật khẩu", []byte{0}, uint16(21*8))
	c := testClient()
	f.Fuzz(func(t *testing.T, user, password string, state []byte, bit uint16) {
		auth := authOf(int(bit))
		attrs := []attr{text(1, cut(user)), hidden(cut(password)[:min(128, len(cut(password)))], auth), {24, []byte(cut(string(state)))}}
		b := signed(1, 1, auth, int(bit)%(len(attrs)+1), attrs...)
		p, drop := open(b, c, takesLogins)
		require.Empty(t, drop)
		require.True(t, p.authentic)
		at := int(bit) % (8 * len(b))
		b[at/8] ^= 1 << (at % 8)
		p, _ = open(b, c, takesLogins)
		require.False(t, p.authentic)
	})
}

func cut(s string) string { return s[:min(len(s), maxValue)] }
