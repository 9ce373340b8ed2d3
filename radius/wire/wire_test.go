package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
)

var (
	upstream = []byte("secret of the upstream")
	nas      = []byte("secret of the NAS")
)

func vendor(number uint32, attributes ...[]byte) *layeh.AVP {
	value, err := layeh.NewVendorSpecific(number, bytes.Join(attributes, nil))
	if err != nil {
		panic(err)
	}
	return &layeh.AVP{Type: rfc2865.VendorSpecific_Type, Attribute: value}
}

func tlv(kind byte, value []byte) []byte {
	return append([]byte{kind, byte(2 + len(value))}, value...)
}

// answerTo makes an answer to request, signed as asked.
func answerTo(t testing.TB, request []byte, secret []byte, signatures int, attributes ...*layeh.AVP) []byte {
	t.Helper()
	p := layeh.Packet{Code: layeh.CodeAccessAccept, Identifier: request[1], Secret: secret}
	copy(p.Authenticator[:], request[4:HeaderLen])
	var macs []layeh.Attribute
	for range signatures {
		macs = append(macs, make(layeh.Attribute, 16))
		p.Add(rfc2869.MessageAuthenticator_Type, macs[len(macs)-1])
	}
	p.Attributes = append(p.Attributes, attributes...)
	unsigned, err := p.MarshalBinary()
	require.NoError(t, err)
	sum := NewKey(secret).MAC(unsigned)
	for _, m := range macs {
		copy(m, sum[:])
	}
	b, err := p.Encode()
	require.NoError(t, err)
	return b
}

func TestOnlyWhoKnowsTheSecretAnswers(t *testing.T) {
	key := NewKey(upstream)
	p := layeh.New(layeh.CodeAccessRequest, upstream)
	p.Add(rfc2865.UserName_Type, layeh.Attribute("an.nv"))
	request, err := key.Sign(p)
	require.NoError(t, err)
	require.EqualValues(t, rfc2869.MessageAuthenticator_Type, request[HeaderLen], "Message-Authenticator comes first")
	require.True(t, key.Authentic(request, request[4:HeaderLen], HeaderLen))

	text := &layeh.AVP{Type: rfc2865.ReplyMessage_Type, Attribute: layeh.Attribute("hello")}
	good := answerTo(t, request, upstream, 1, text)
	changed := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want Fault
	}{
		"right":                           {good, ""},
		"padding is ignored":              {append(bytes.Clone(good), 1, 2, 3), ""},
		"without Message-Authenticator":   {answerTo(t, request, upstream, 0, text), Unsigned},
		"two Message-Authenticators":      {answerTo(t, request, upstream, 2, text), BadSignature},
		"made with another secret":        {answerTo(t, request, nas, 1, text), BadResponse},
		"a bit of the text flipped":       {changed(func(b []byte) { b[len(b)-1] ^= 1 }), BadResponse},
		"a bit of the code flipped":       {changed(func(b []byte) { b[0] ^= 1 }), BadResponse},
		"a request":                       {request, BadCode},
		"another Identifier":              {changed(func(b []byte) { b[1]++ }), OtherIdentifier},
		"longer than the datagram":        {good[:len(good)-1], BadFrame},
		"a header only half there":        {good[:HeaderLen-1], BadFrame},
		"nothing":                         {nil, BadFrame},
		"attributes that do not fit":      {changed(func(b []byte) { b[len(b)-6] = 9 }), BadFrame},
		"a length of less than the frame": {changed(func(b []byte) { b[2], b[3] = 0, 19 }), BadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			got, fault := key.Genuine(c.b, request)
			require.Equal(t, c.want, fault)
			if c.want == "" {
				require.Equal(t, good, got)
			} else {
				require.Nil(t, got)
			}
		})
	}
}

// A Message-Authenticator that is wrong though the Response Authenticator is
// right is what a chosen-prefix collision would look like.
func TestResponseAuthenticatorAloneIsNotEnough(t *testing.T) {
	key := NewKey(upstream)
	request, err := key.Sign(layeh.New(layeh.CodeAccessRequest, upstream))
	require.NoError(t, err)
	p := layeh.Packet{Code: layeh.CodeAccessAccept, Identifier: request[1], Secret: upstream}
	copy(p.Authenticator[:], request[4:HeaderLen])
	p.Add(rfc2869.MessageAuthenticator_Type, make(layeh.Attribute, 16))
	forged, err := p.Encode()
	require.NoError(t, err)
	_, fault := key.Genuine(forged, request)
	require.Equal(t, BadSignature, fault)
}

func TestAKeyDoesNotPrintItself(t *testing.T) {
	for _, verb := range []string{"%v", "%s", "%+v"} {
		require.NotContains(t, fmt.Sprintf(verb, NewKey(nas)), string(nas))
	}
}

func TestPasswordsAreHiddenAsTheLibraryHidesThem(t *testing.T) {
	authenticator := [16]byte{1, 2, 3}
	for _, n := range []int{0, 1, 15, 16, 17, 127, 128} {
		password := bytes.Repeat([]byte("p"), n)
		hidden := HidePassword(password, nas, authenticator)
		if n > 0 {
			want, err := layeh.NewUserPassword(password, nas, authenticator[:])
			require.NoError(t, err)
			require.Equal(t, []byte(want), hidden)
		}
		require.Equal(t, password, append([]byte{}, bytes.TrimRight(RevealPassword(hidden, nas, authenticator), "\x00")...))
	}
}

// Keys that MS-CHAPv2 and EAP give are hidden under two secrets: the library's
// own functions read what we hid for the NAS.
func TestHiddenValuesChangeTheirSecret(t *testing.T) {
	ask, asked := [16]byte{1}, [16]byte{2}
	send, receive := bytes.Repeat([]byte{0xa5}, 32), bytes.Repeat([]byte{0x5a}, 32)
	hidden := func(value []byte, salt byte) []byte {
		b, err := layeh.NewTunnelPassword(value, []byte{0x80, salt}, upstream, ask[:])
		require.NoError(t, err)
		return b
	}
	list := layeh.Attributes{
		{Type: rfc2865.Class_Type, Attribute: layeh.Attribute("first")},
		vendor(microsoft, tlv(16, hidden(send, 1)), tlv(17, hidden(receive, 2))), // both in one
		{Type: rfc2868.TunnelPassword_Type, Attribute: append(layeh.Attribute{7}, hidden([]byte("tunnel"), 3)...)},
		vendor(microsoft, tlv(12, HidePassword(bytes.Repeat([]byte{9}, 24), upstream, ask))),
		vendor(9, tlv(1, []byte("shell:priv-lvl=15"))),
		{Type: rfc2865.Class_Type, Attribute: layeh.Attribute("last")},
	}
	open, err := Open(list, upstream, ask)
	require.NoError(t, err)
	require.Equal(t, vendor(microsoft, tlv(16, send)), open[1])
	require.Equal(t, vendor(microsoft, tlv(17, receive)), open[2])
	require.Equal(t, layeh.Attribute("\x07tunnel"), open[3].Attribute)

	kept, err := Unpack(Pack(open))
	require.NoError(t, err)
	require.Equal(t, open, kept)

	out := Hide(kept, nas, asked)
	require.Len(t, out, 7)
	salts := map[string]bool{}
	for i, want := range map[int][]byte{1: send, 2: receive} {
		value := out[i].Attribute[vendorHeader:]
		require.EqualValues(t, len(value)+2, out[i].Attribute[vendorHeader-1])
		got, salt, err := layeh.TunnelPassword(value, nas, asked[:])
		require.NoError(t, err)
		require.Equal(t, want, got)
		salts[string(salt)] = true
	}
	got, salt, err := layeh.TunnelPassword(out[3].Attribute[1:], nas, asked[:])
	require.NoError(t, err)
	require.Equal(t, "tunnel", string(got))
	require.EqualValues(t, 7, out[3].Attribute[0])
	salts[string(salt)] = true
	require.Len(t, salts, 3, "each has a salt of its own")
	require.Equal(t, bytes.Repeat([]byte{9}, 24), RevealPassword(out[4].Attribute[vendorHeader:], nas, asked)[:24])
	require.Equal(t, list[4], out[5])
	require.Equal(t, "last", string(out[6].Attribute))

	_, err = Open(list, nas, ask)
	require.Error(t, err, "what was hidden under another secret does not open")
}

func FuzzHiddenValues(f *testing.F) {
	f.Add(Pack(layeh.Attributes{vendor(microsoft, tlv(16, []byte("key"))), {Type: rfc2868.TunnelPassword_Type, Attribute: layeh.Attribute("\x01x")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Unpack(b)
		if err != nil {
			return
		}
		open, err := Open(Hide(separate(list), nas, [16]byte{1}), nas, [16]byte{1})
		if err != nil {
			return // what is too long for one attribute once hidden, or empty
		}
		for i, a := range separate(list) {
			if kind, at := hidingOf(a); kind != notHidden && kind != asPassword && len(a.Attribute) < 200 {
				require.Equal(t, a.Attribute[at:], open[i].Attribute[at:], hex.EncodeToString(b))
			}
		}
	})
}

func FuzzEAP(f *testing.F) {
	f.Add([]byte{2, 1, 0, 10, 1, 'a', 'n', '.', 'n', 'v'})
	f.Add([]byte{2, 1, 0, 6, 3, 25})
	f.Add([]byte{3, 1, 0, 4})
	f.Add([]byte{1, 7, 0, 15, 6, 'P', 'a', 's', 's', 'w', 'o', 'r', 'd', ':', ' '})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEAP(b)
		if err != nil {
			require.Zero(t, e)
			return
		}
		require.Equal(t, b, e.Bytes())
		require.Equal(t, b, Join(rfc2869.EAPMessage_Type, Split(rfc2869.EAPMessage_Type, b)))
	})
}

func TestEAPIsReadStrictly(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                   {},
		"shorter than a header":     {2, 1, 0},
		"a length that is longer":   {2, 1, 0, 9, 1, 'a'},
		"a length that is shorter":  {2, 1, 0, 5, 1, 'a'},
		"a response without type":   {2, 1, 0, 4},
		"a response of type 0":      {2, 1, 0, 5, 0},
		"a success with data in it": {3, 1, 0, 5, 1},
		"an unknown code":           {5, 1, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseEAP(b)
			require.Error(t, err)
		})
	}
}
