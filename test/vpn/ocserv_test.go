package vpn_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// ocserv is a gateway that asks the site, and its certificate's authority.
type ocserv struct {
	t    *testing.T
	addr string
	ca   *testenv.Authority
}

// startOcserv starts one with the lines that `vssgate nas show ocserv` tells to
// type for that client, in what Debian's packages bring. It asks from that
// address and its users come from 127.0.0.1, which would be no station of
// theirs if it were the NAS's too.
func startOcserv(t *testing.T, s *site.Site, client, address string) *ocserv {
	t.Helper()
	dir, lines := t.TempDir(), s.Recipe("ocserv", client)
	servers := write(t, dir, "servers", lines["/etc/radcli/servers"])
	told := strings.ReplaceAll(lines["/etc/radcli/radiusclient.conf"], "/etc/radcli/servers", servers) + "bindaddr " + address + "\n"
	brought, err := os.ReadFile("/etc/radcli/radiusclient.conf")
	require.NoError(t, err, "ocserv is missing: test/packages.sh installs it")
	radcli := write(t, dir, "radiusclient.conf", replaced(string(brought), told))

	port := testenv.FreePort(t)
	o := &ocserv{t: t, addr: net.JoinHostPort(address, port), ca: testenv.CA(t)}
	certFile, keyFile := o.ca.IssueAs("gateway", func(form *x509.Certificate) { form.IPAddresses = []net.IP{net.ParseIP(address)} })
	config := strings.ReplaceAll(lines["ocserv.conf"], "/etc/radcli/radiusclient.conf", radcli) + fmt.Sprintf(`
listen-host = %s
tcp-port = %s
run-as-user = root
run-as-group = root
socket-file = %s
server-cert = %s
server-key = %s
isolate-workers = false
device = vpns
ipv4-network = 192.0.2.0/24
max-ban-score = 0
`, address, port, filepath.Join(dir, "socket"), certFile, keyFile)
	open(t, "ocserv", "--foreground", "--debug", "2", "--config", write(t, dir, "ocserv.conf", config), "--pid-file", filepath.Join(dir, "pid"))
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", o.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, site.Patience, 10*time.Millisecond, "ocserv does not listen")
	return o
}

// replaced is a file of `key value` lines in which those keys have other values.
func replaced(file, told string) string {
	var keep []string
	for _, line := range strings.Split(file, "\n") {
		if words := strings.Fields(line); len(words) > 0 && strings.Contains("\n"+told, "\n"+words[0]+" ") {
			continue
		}
		keep = append(keep, line)
	}
	return strings.Join(keep, "\n") + "\n" + told
}

// login is a person with openconnect, who has typed the password.
func (o *ocserv) login(password string) *terminal {
	o.t.Helper()
	p := open(o.t, "openconnect", "--authenticate", "--cafile", o.ca.CAFile, "--user", user, "https://"+o.addr)
	p.reads("Password:")
	p.types(password)
	return p
}

func TestOcservAsksForTheCodeAtASecondPrompt(t *testing.T) {
	t.Parallel()
	s := site.OnPort(t, site.Options{Asks: "127.0.0.4"})
	phone := s.Phone(1)
	p := startOcserv(t, s, "asks", "127.0.0.4").login("not it")
	p.reads("Wrong user name or password")
	p.types(password)
	code := phone.Code()
	p.reads("6-digit code")
	p.types(site.WrongCode(code))
	p.reads("2 tries left")
	p.types(code)
	require.Contains(t, p.said(), "COOKIE=")
	require.Equal(t, "code", s.Last().Factor)
	require.Equal(t, "127.0.0.1", s.Last().From, "ocserv names the station")
	require.Len(t, s.Accepted(), 1)
}

func TestOcservHoldsUntilThePhoneAnswers(t *testing.T) {
	t.Parallel()
	s := site.OnPort(t, site.Options{})
	phone := s.Phone(1)
	p := startOcserv(t, s, "holds", site.Holds).login(password)
	require.Equal(t, "rejected", phone.No().Verdict)
	p.reads("denied in VssID")
	p.types(password)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.Contains(t, p.said(), "COOKIE=")
	require.Len(t, s.Accepted(), 1)
}

// Who approves when hold is over has approved the next try: no second prompt.
func TestOcservCollectsALateApproval(t *testing.T) {
	t.Parallel()
	s := site.OnPort(t, site.Options{Hold: "1s"})
	phone := s.Phone(1)
	p := startOcserv(t, s, "holds", site.Holds).login(password)
	p.reads("Waiting time is over.")
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	p.types(password)
	require.Contains(t, p.said(), "COOKIE=")
	require.Len(t, s.Ended(), 1)
}
