package radius_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

const takesAccounting = "  accounting: {listen: [\"127.0.0.1:0\"]}\n"

// accounted are the lines of the node's accounting file.
func accounted(t *testing.T, s *site.Site) (all []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.Dir, "data", "accounting.jsonl"))
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if line != "" {
			var one map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &one), line)
			all = append(all, one)
		}
	}
	return all
}

// accounts has FreeRADIUS's client send a record, once, wait that long for the answer,
// and returns what it printed.
func accounts(t *testing.T, s *site.Site, seconds string, attributes ...string) string {
	t.Helper()
	attributes = append(attributes, "Packet-Src-IP-Address = "+site.Holds)
	return begin(t, "freeradius-utils", strings.Join(attributes, "\n")+"\n", nil,
		"radclient", "-x", "-t", seconds, "-r", "1", s.Accounting[0], "acct", s.Secret).said()
}

func session(status, id string, more ...string) []string {
	return append([]string{"Acct-Status-Type = " + status, fmt.Sprintf("Acct-Session-Id = %q", id), fmt.Sprintf("User-Name = %q", user),
		`NAS-Identifier = "vpn1"`, `Calling-Station-Id = "203.0.113.7"`}, more...)
}

const response = "Received Accounting-Response"

func TestRadclientSendsAccounting(t *testing.T) {
	s := site.Start(t, site.Options{More: takesAccounting})
	for _, more := range [][]string{nil, {signed}, {`Proxy-State = "one"`, `Proxy-State = "two"`}} {
		out := accounts(t, s, "15", session("Start", "5F00", more...)...)
		require.Contains(t, out, response)
		if more != nil && more[0] != signed {
			answer := out[strings.Index(out, response):]
			require.Less(t, strings.Index(answer, "0x6f6e65"), strings.Index(answer, "0x74776f"), out)
			require.Contains(t, answer, "0x74776f")
		}
	}
	require.Contains(t, accounts(t, s, "15", "Acct-Status-Type = Accounting-On", `NAS-Identifier = "vpn1"`), response)
	last := accounted(t, s)[3]
	require.Equal(t, "Accounting-On", last["status"])
	require.Len(t, accounted(t, s), 4)
	first := accounted(t, s)[0]
	require.Equal(t, []any{"Start", "5F00", user, "vpn1", "holds", "203.0.113.7"},
		[]any{first["status"], first["session"], first["username"], first["nas"], first["client"], first["from"]})
	status := begin(t, "freeradius-utils", "Message-Authenticator = 0x00\nPacket-Src-IP-Address = "+site.Holds+"\n", nil,
		"radclient", "-x", "-t", "5", "-r", "1", s.Accounting[0], "status", s.Secret).said()
	require.Contains(t, status, response)
}

func TestAnAcknowledgedRecordSurvivesACrash(t *testing.T) {
	s := site.Start(t, site.Options{More: takesAccounting})
	for i := range 5 {
		id := fmt.Sprint(i)
		require.Contains(t, accounts(t, s, "15", session("Stop", id, "Acct-Session-Time = 60", "Acct-Input-Octets = 1000")...), response)
		s.Kill()
		lines := accounted(t, s)
		require.Len(t, lines, i+1)
		require.Equal(t, id, lines[i]["session"])
		s.Start()
	}
}

// A file that cannot grow is what a full disk looks like.
func TestOnAFullDiskAccountingStaysUnanswered(t *testing.T) {
	s := site.Start(t, site.Options{More: takesAccounting})
	require.Contains(t, accounts(t, s, "15", session("Start", "1")...), response)
	before, err := os.Stat(filepath.Join(s.Dir, "data", "accounting.jsonl"))
	require.NoError(t, err)
	var was unix.Rlimit
	require.NoError(t, unix.Prlimit(s.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(before.Size()) + 10, Max: unix.RLIM_INFINITY}, &was))
	require.NotContains(t, accounts(t, s, "2", session("Stop", "1")...), response)
	s.Logged("accounting records cannot be written")
	require.Positive(t, s.Metric(`vssgate_packets_dropped_total{reason="accounting_not_kept"}`))
	require.Len(t, accounted(t, s), 1, "nothing is left of what was not acknowledged")
	require.NoError(t, unix.Prlimit(s.PID(), unix.RLIMIT_FSIZE, &was, nil))
	require.Contains(t, accounts(t, s, "15", session("Stop", "1")...), response)
	require.Equal(t, "Stop", accounted(t, s)[1]["status"])
}

func TestAccountingIsSentOnToFreeRADIUS(t *testing.T) {
	billing := startFreeRADIUS(t, "the-secret-of-billing")
	dead := testenv.FreeAddr(t)
	s := site.Start(t, site.Options{More: fmt.Sprintf(`  accounting:
    listen: ["127.0.0.1:0"]
    file: "{{DIR}}/data/accounting.jsonl"
    forward: [{address: %q, secret: nobody-is-listening}, {address: %q, secret: the-secret-of-billing}]
`, dead, billing.addr)})
	for _, more := range [][]string{{`User-Password = "a password"`}, {signed}} {
		out := accounts(t, s, "15", session("Stop", "7A", append(more, `Proxy-State = "one"`, `Class = "of the NAS"`, "Acct-Terminate-Cause = User-Request")...)...)
		require.Contains(t, out, response)
	}
	require.Len(t, accounted(t, s), 2)
	detail := billing.detail(t)
	require.Equal(t, 2, strings.Count(detail, "Acct-Session-Id = \"7A\""), detail)
	require.Contains(t, detail, "Proxy-State = 0x6f6e65")
	require.Contains(t, detail, "Class = 0x6f6620746865204e4153")
	require.Contains(t, detail, `User-Name = "`+user+`"`)
	require.NotContains(t, detail, "User-Password")
	s.Logged("did not take a record")

	billing.stop()
	require.NotContains(t, accounts(t, s, "2", session("Stop", "8B")...), response, "nobody has taken it")
}

// A freeRADIUS is a real accounting server that writes what it gets into a file.
type freeRADIUS struct {
	dir, addr string
	stop      func()
}

func (f *freeRADIUS) detail(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.dir, "detail"))
	require.NoError(t, err)
	return string(raw)
}

func startFreeRADIUS(t *testing.T, secret string) *freeRADIUS {
	t.Helper()
	f := &freeRADIUS{dir: t.TempDir(), addr: testenv.FreeAddr(t)}
	_, port, _ := net.SplitHostPort(f.addr)
	config := fmt.Sprintf(`
prefix = /usr
name = billing
libdir = /usr/lib/freeradius
raddbdir = %[1]s
logdir = %[1]s
run_dir = %[1]s
pidfile = %[1]s/pid
dictionary = /usr/share/freeradius
thread pool {
	start_servers = 1
	max_servers = 2
	min_spare_servers = 1
	max_spare_servers = 1
}
client vssgate {
	ipaddr = 127.0.0.1
	secret = %[2]s
}
modules {
	detail {
		filename = %[1]s/detail
		permissions = 0600
	}
}
server billing {
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[3]s
	}
	accounting {
		detail
	}
}
`, f.dir, secret, port)
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "radiusd.conf"), []byte(config), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "dictionary"), []byte("$INCLUDE /usr/share/freeradius/dictionary\n"), 0o600))
	cmd := exec.Command("/usr/sbin/freeradius", "-f", "-l", "stdout", "-d", f.dir, "-n", "radiusd")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start(), "apt-get install freeradius")
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	f.stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	require.Eventually(t, func() bool {
		probe := exec.Command("radclient", "-t", "1", "-r", "1", f.addr, "acct", secret)
		probe.Stdin = strings.NewReader("Acct-Status-Type = Start\nAcct-Session-Id = \"probe\"\n")
		return probe.Run() == nil
	}, site.Patience, 50*time.Millisecond)
	return f
}
