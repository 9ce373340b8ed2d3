package bench

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

func slapdConfig(s *testenv.SlapdServer) string {
	return directoryConfig(s.URI, s.BindDN, s.BindPassword, testenv.SlapdPeople)
}

// searchAndBind is how many users a second the directory finds and binds, for
// workers with two connections each: one searches as the service account, one
// binds as the user.
func searchAndBind(b *testing.B, s *testenv.SlapdServer, users, workers int, long time.Duration) float64 {
	var done atomic.Int64
	var all sync.WaitGroup
	until := time.Now().Add(long)
	for w := range workers {
		service, user := dialDirectory(b, s.Addr), dialDirectory(b, s.Addr)
		require.Zero(b, service.ask(bindRequest, bindAs(s.BindDN, s.BindPassword)))
		all.Go(func() {
			defer service.Close()
			defer user.Close()
			for i := w; time.Now().Before(until); i += workers {
				n := 1 + i%users
				if service.ask(searchRequest, searchFor(testenv.UserName(n))) != 0 || user.ask(bindRequest, bindAs(testenv.UserDN(n), testenv.UserPassword(n))) != 0 {
					b.Error("the directory refuses")
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / long.Seconds()
}

// A directoryConn is a bare LDAP client.
type directoryConn struct {
	net.Conn
	in *bufio.Reader
}

func dialDirectory(b *testing.B, addr string) *directoryConn {
	conn, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	return &directoryConn{conn, bufio.NewReader(conn)}
}

// ask sends one operation and returns its resultCode; -1: there was none.
func (c *directoryConn) ask(op byte, body []byte) (code int) {
	if _, err := c.Write(message(tlv(0x02, []byte{1}), tlv(op, body))); err != nil {
		return -1
	}
	for {
		_, op, body, err := readMessage(c.in)
		switch {
		case err != nil || len(body) < 3:
			return -1
		case op == bindResponse || op == searchDone:
			return int(body[2])
		}
	}
}

func bindAs(dn, password string) []byte {
	return concat(tlv(0x02, []byte{3}), tlv(0x04, []byte(dn)), tlv(0x80, []byte(password)))
}

// searchFor is what vssgate asks of a user: RFC 4511 section 4.5.1.
func searchFor(name string) []byte {
	var wanted []byte
	for _, a := range []string{"entryUUID", "uid", "cn", "employeeNumber", "memberOf"} {
		wanted = append(wanted, tlv(0x04, []byte(a))...)
	}
	return concat(tlv(0x04, []byte(testenv.SlapdPeople)), tlv(0x0a, []byte{2}), tlv(0x0a, []byte{0}), tlv(0x02, []byte{2}), tlv(0x02, []byte{5}),
		tlv(0x01, []byte{0}), tlv(0xa3, tlv(0x04, []byte("uid")), tlv(0x04, []byte(name))), tlv(0x30, wanted))
}

func concat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// startFreeRADIUS starts FreeRADIUS with rlm_ldap on the same directory, with as
// many threads and connections as it makes of itself when it is pressed.
func startFreeRADIUS(b *testing.B, s *testenv.SlapdServer) (addr string) {
	if _, err := os.Stat("/usr/lib/freeradius/rlm_ldap.so"); err != nil {
		b.Fatal("rlm_ldap is missing: test/packages.sh bench installs it")
	}
	port := testenv.FreePort(b)
	dir := b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "radiusd.conf"), fmt.Appendf(nil, freeradiusConf, dir, sharedSecret, s.URI, s.BindDN, s.BindPassword, testenv.SlapdPeople, port), 0o600))
	cmd := exec.Command("freeradius", "-d", dir, "-f", "-l", filepath.Join(dir, "log"))
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	addr = fmt.Sprintf("127.0.0.1:%s", port)
	first := newPile(2, func(id byte, i int) []byte {
		return loginRequest(id, testenv.UserName(1), testenv.UserPassword(1), i)
	})
	for range 20 {
		if first.rate(b, "127.0.0.1", addr, 1, 1, 500*time.Millisecond) > 0 {
			return addr
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	b.Fatalf("freeradius answers nobody:\n%s", log)
	return ""
}

const freeradiusConf = `
prefix = /usr
libdir = /usr/lib/freeradius
name = freeradius
raddbdir = %[1]s
logdir = %[1]s
run_dir = %[1]s
max_requests = 16384
cleanup_delay = 0
security {
	reject_delay = 0
	status_server = yes
}
thread pool {
	start_servers = 8
	max_servers = 32
	min_spare_servers = 3
	max_spare_servers = 32
	max_requests_per_server = 0
}
client bench {
	ipaddr = 127.0.0.0/8
	secret = %[2]s
	require_message_authenticator = yes
}
modules {
	ldap {
		server = '%[3]s'
		identity = '%[4]s'
		password = '%[5]s'
		base_dn = '%[6]s'
		user {
			base_dn = "${..base_dn}"
			filter = "(uid=%%{User-Name})"
		}
		options {
			chase_referrals = no
			res_timeout = 10
			net_timeout = 3
		}
		pool {
			start = 8
			min = 8
			max = 32
			spare = 8
			uses = 0
			lifetime = 0
			idle_timeout = 600
		}
	}
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[7]s
	}
	authorize {
		ldap
		update control {
			Auth-Type := LDAP
		}
	}
	authenticate {
		Auth-Type LDAP {
			ldap
		}
	}
}
`
