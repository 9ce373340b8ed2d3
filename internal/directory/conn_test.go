package directory

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// A bind is tried once, so it must not be sent where nobody is any more.
func TestABindDoesNotGoToAConnectionThatTheServerHasLeft(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	secured := options(slapd)
	secured.StartTLS, secured.TLS = true, &tls.Config{RootCAs: slapd.CA.Pool}
	for how, o := range map[string]LDAPOptions{"plain": options(slapd), "StartTLS": secured} {
		t.Run(how, func(t *testing.T) {
			d := open(t, o)
			who := resolve(t, d, testenv.UserName(1))
			require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
			slapd.Stop()
			slapd.Start()
			require.Equal(t, right, check(t, d, who, testenv.UserPassword(1)))
		})
	}
}

// bindAnswered has a bind answered with those bytes.
func bindAnswered(t *testing.T, answer []byte) (controls []byte, err error) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		theirs.Read(make([]byte, 4096))
		theirs.Write(answer)
		theirs.Close()
	}()
	return newConn(ours, nil).Bind("cn=x", "password", nil)
}

func TestOnlyTheAnswerToTheBindIsTakenForIt(t *testing.T) {
	said := func(id int32, op byte, code int) []byte {
		return appendMessage(nil, id, op, nil, func(b []byte) []byte {
			return appendOctets(appendOctets(appendInteger(b, tagEnumerated, code), tagOctets, "dc=x"), tagOctets, "why")
		})
	}
	_, err := bindAnswered(t, said(1, opBindResponse, 0))
	require.NoError(t, err)

	_, err = bindAnswered(t, said(1, opBindResponse, ldap.LDAPResultInvalidCredentials))
	var refusal *ldap.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, uint16(ldap.LDAPResultInvalidCredentials), refusal.ResultCode)
	require.Equal(t, "why", refusal.Err.Error())
	require.Equal(t, "dc=x", refusal.MatchedDN)

	whole := said(1, opBindResponse, 0)
	for name, answer := range map[string][]byte{
		"to another message":      said(2, opBindResponse, 0),
		"to nothing":              said(0, opBindResponse, 0),
		"of another operation":    said(1, opSearchDone, 0),
		"with a code of our own":  said(1, opBindResponse, ldap.ErrorNetwork),
		"cut":                     whole[:len(whole)-1],
		"none":                    nil,
		"no sequence":             append([]byte{tagSet}, whole[1:]...),
		"of an indefinite length": append([]byte{tagSequence, 0x80}, whole[6:]...),
		"longer than may be":      {tagSequence, 0x84, 0x7f, 0xff, 0xff, 0xff},
		"without a text":          {tagSequence, 10, tagInteger, 1, 1, opBindResponse, 5, tagEnumerated, 1, 0, tagOctets, 0},
		"with a negative code":    {tagSequence, 12, tagInteger, 1, 1, opBindResponse, 7, tagEnumerated, 1, 0x80, tagOctets, 0, tagOctets, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bindAnswered(t, answer)
			require.Error(t, err)
			require.NotErrorAs(t, err, &refusal, "nobody knows what the directory says")
		})
	}
}

func TestABindWithoutAPasswordIsNotSent(t *testing.T) {
	_, err := newConn(nil, nil).Bind("cn=x", "", nil)
	require.Error(t, err)
}
