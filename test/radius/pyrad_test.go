package radius_test

import (
	"net"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// askWithPyrad sends one Access-Request with Python's client, which can neither
// sign nor check, and prints what came.
const askWithPyrad = `
import io, os, sys
from pyrad import packet
from pyrad.client import Client, Timeout
from pyrad.dictionary import Dictionary
names = Dictionary(io.StringIO("""
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string encrypt=1
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE State 24 octets
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Prompt 76 integer
ATTRIBUTE Message-Authenticator 80 octets
"""))
e = os.environ
client = Client(server=e["SERVER"], authport=int(e["PORT"]), secret=e["SECRET"].encode(), dict=names)
client.bind((e["FROM"], 0))
client.timeout, client.retries = 3, 6
request = client.CreateAuthPacket(code=packet.AccessRequest, User_Name=e["LOGIN"], NAS_Identifier="pyrad", Calling_Station_Id=e["STATION"])
request["User-Password"] = request.PwCrypt(e["PASSWORD"])
if e["STATE"]:
    request["State"] = bytes.fromhex(e["STATE"])
try:
    reply = client.SendPacket(request)
except Timeout:
    sys.exit("TIMEOUT")
print("code", reply.code)
for name in ("Reply-Message", "State"):
    for value in reply[name] if name in reply else []:
        print(name, value.hex() if name == "State" else value)
`

func pyrad(t *testing.T, s *site.Site, from, typed, state string) *program {
	t.Helper()
	server, port, err := net.SplitHostPort(s.RADIUS[0])
	require.NoError(t, err)
	return begin(t, "python3-pyrad", askWithPyrad, []string{"SERVER=" + server, "PORT=" + port, "SECRET=" + s.Secret, "FROM=" + from,
		"LOGIN=" + user, "PASSWORD=" + typed, "STATE=" + state, "STATION=203.0.113.7"}, "/usr/bin/python3", "-")
}

func TestPyradIsChallenged(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	out := pyrad(t, s, site.Asks, password, "").said()
	require.Contains(t, out, "code 11")
	require.Contains(t, out, "6-digit code")
	state := regexp.MustCompile(`State ([0-9a-f]{48})`).FindStringSubmatch(out)
	require.NotNil(t, state, out)
	require.Contains(t, pyrad(t, s, site.Asks, phone.Code(), state[1]).said(), "code 2")
	require.Contains(t, pyrad(t, s, site.Asks, "not it", "").said(), "code 3")
}

func TestPyradIsHeldAndAsksAgain(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	at := pyrad(t, s, site.Holds, password, "")
	require.Eventually(t, func() bool { return s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`) >= 1 }, site.Patience, tick)
	require.Len(t, phone.All(), 1)
	phone.Yes()
	require.Contains(t, at.said(), "code 2")
	require.Len(t, s.Ended(), 1)
}

func TestPyradAppendsTheCode(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	require.Contains(t, pyrad(t, s, site.Appends, password, "").said(), "code 3")
	require.Contains(t, pyrad(t, s, site.Appends, password+","+phone.Wrong(), "").said(), "code 3")
	require.Contains(t, pyrad(t, s, site.Appends, password+","+phone.Code(), "").said(), "code 2")
}
