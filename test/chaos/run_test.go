package chaos_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
)

const nodes = 3

// A size is how much happens in a run.
type size struct {
	logins, visitors    int
	users               int           // with phones, used again and again
	validFor, grace     time.Duration // of a login; short, so that deadlines are met often
	hold                time.Duration
	think               time.Duration // the longest a user takes to look and type
	least, most         time.Duration // how long a fault lasts
	still               time.Duration // how much longer a node stands still at times
	clock               time.Duration // how far Redis's clock steps
	slack               time.Duration // how late what happened may be seen
	enough              float64       // the share of those who should get in that has to
	revocations, absent int           // users whose phone is revoked in the run, or who have none
}

var (
	short = size{logins: 44, visitors: 12, users: 20, validFor: 5 * time.Second, grace: 2 * time.Second, hold: 3 * time.Second, think: 300 * time.Millisecond,
		least: 500 * time.Millisecond, most: 1500 * time.Millisecond, still: time.Second, clock: 2 * time.Second, slack: 3 * time.Second, enough: 0.3, revocations: 2, absent: 2}
	long = size{logins: 1000, visitors: 20, users: 80, validFor: 15 * time.Second, grace: 5 * time.Second, hold: 6 * time.Second, think: 2 * time.Second,
		least: 2 * time.Second, most: 6 * time.Second, still: 20 * time.Second, clock: 8 * time.Second, slack: 3 * time.Second, enough: 0.7, revocations: 20, absent: 5}
)

// A run is one storm.
type run struct {
	t      testing.TB
	size   size
	seed   uint64
	dir    string
	dice   *mathrand.Rand // the storm's
	began  time.Time
	secret string // of the NASes
	clock  *skew
	net    network
	slapd  *testenv.SlapdServer
	nodes  []*node
	users  []*user
	kinds  nasKinds

	nas, phones, visits, faults *journal
	struck, epochs              atomic.Int64
	done, in                    atomic.Int64
}

type nasKinds map[string]nas

// A node is one vssgate with its relays and its FCM.
type node struct {
	*process
	dir, radius, phones string
	ldap                string
	directory, fcm      *testenv.Relay
	google              *fakefcm.Server
}

func newRun(t testing.TB, s size, seed uint64, inNamespaces bool) *run {
	t.Helper()
	dir, err := os.MkdirTemp("", "vssgate-chaos-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was seen is kept in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	r := &run{t: t, size: s, seed: seed, dir: dir, dice: mathrand.New(mathrand.NewPCG(seed, 0)), secret: rand.Text()}
	r.clock = newSkew(t, dir)
	r.clock.set(t, -2*s.clock) // phones enrolled now are older than any login, however the clock steps later
	if inNamespaces {
		r.net = newNamespaces(t, dir, r.clock)
	} else {
		r.net = newLoopback(t, dir, r.clock)
	}
	r.kinds = nasKinds{}
	for client, gives := range map[string]time.Duration{"asks": 6 * time.Second, "holds": s.hold + 6*time.Second, "binds": s.hold + 6*time.Second, "appends": 6 * time.Second} {
		r.kinds[client] = nas{client: client, binds: client == "binds", from: r.net.from(client), gives: gives}
	}
	r.nas, r.phones = newJournal(t, dir, "nas.jsonl"), newJournal(t, dir, "phone.jsonl")
	r.visits, r.faults = newJournal(t, dir, "visits.jsonl"), newJournal(t, dir, "faults.jsonl")
	r.slapd = testenv.Slapd(t, testenv.SlapdOptions{Users: s.users + s.revocations + s.absent})
	r.startNodes()
	r.enrolAll()
	r.clock.set(t, 0)
	r.describe()
	return r
}

// program is what the nodes run: a fresh build, unless CHAOS_VSSGATE names one.
func program(t testing.TB) string {
	if named := os.Getenv("CHAOS_VSSGATE"); named != "" {
		return named
	}
	return testenv.Binary(t)
}

func (r *run) startNodes() {
	r.t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	line := base64.StdEncoding.EncodeToString(key) + "\n"
	r.file("secret.key", line)
	for i := range nodes {
		at := r.net.place(i)
		n := &node{dir: filepath.Join(r.dir, "nodes", fmt.Sprintf("n%d", i+1)), radius: at.radius, phones: at.phones, ldap: at.ldap, google: fakefcm.Run(r.t)}
		require.NoError(r.t, os.MkdirAll(n.dir, 0o700))
		n.google.Script(r.pushFaults()...)
		n.directory = testenv.RelayFrom(r.t, at.listen(r.t), r.slapd.Addr)
		n.fcm = testenv.RelayFrom(r.t, at.listen(r.t), strings.TrimPrefix(n.google.URL, "http://"))
		n.google.URL = "http://" + n.fcm.Addr // as the node knows it
		r.file("fcm-"+filepath.Base(n.dir)+".json", string(n.google.CredentialsJSON()))
		r.file(filepath.Join("nodes", filepath.Base(n.dir), "vssgate.yaml"), r.config(i, n))
		argv := append(append([]string{}, at.wrap...), program(r.t), "serve", "--config", filepath.Join(n.dir, "vssgate.yaml"))
		n.process = launch(r.t, r.dir, filepath.Base(n.dir), nil, argv...)
		r.nodes = append(r.nodes, n)
	}
	for _, n := range r.nodes {
		await(r.t, n.name+" is ready: see "+n.log, 60*time.Second, func() bool {
			raw, _ := os.ReadFile(n.log)
			return strings.Contains(string(raw), "vssgate ready")
		})
	}
}

func (r *run) file(name, content string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600))
}

func (r *run) config(i int, n *node) string {
	return fmt.Sprintf(`
language: en
data_dir: %[1]s
secret_key_file: %[2]s/secret.key
admin: {socket: %[1]s/admin.sock}
metrics: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
store: {redis: %[3]s}
first_factors:
  - name: directory
    ldap: {urls: ["ldap://%[4]s"], bind_dn: %[5]q, bind_password: %[6]q, base_dns: [%[7]q], timeout: 2s, attributes: {bhxh_number: employeeNumber}}
throttle: {per_account: 100000, per_source: 100000, within: 10m}
second_factor:
  valid_for: %[8]s
  grace: %[9]s
  lockout: {after: 1000, for: 1s, stop_after: 100000}
  push_limit: {count: 100000, within: 10m}
vssid: {listen: %[10]q, public_url: %[11]q}
push: {fcm: {credentials_file: %[2]s/fcm-%[12]s.json, endpoint: %[13]q}}
radius:
  listen: [%[14]q]
  clients:
    - {name: asks, addresses: [%[15]s], secret: %[18]s, mode: challenge}
    - {name: holds, addresses: [%[16]s], secret: %[18]s, mode: hold, hold: %[19]s, approval: simple}
    - {name: appends, addresses: [%[17]s], secret: %[18]s, mode: append, approval: simple}
ldap:
  listen: [%[20]q]
  require_tls: false
  clients:
    - {name: binds, addresses: [%[21]s], mode: hold, hold: %[19]s, approval: simple}
`, n.dir, r.dir, r.net.redis(i), n.directory.Addr, r.slapd.BindDN, r.slapd.BindPassword, testenv.SlapdPeople, r.size.validFor, r.size.grace,
		n.phones, publicURL, filepath.Base(n.dir), n.google.Endpoint(), n.radius, r.net.from("asks"), r.net.from("holds"), r.net.from("appends"), r.secret, r.size.hold, n.ldap, r.net.from("binds"))
}

// pushFaults is what becomes of a node's messages: most are ordinary.
func (r *run) pushFaults() []fakefcm.Fault {
	odd := []fakefcm.Fault{fakefcm.TooMany("1"), fakefcm.Unavailable("1"), fakefcm.Internal(), fakefcm.BadGateway(), fakefcm.Reset(), fakefcm.Empty(),
		fakefcm.SlowHead(time.Second), fakefcm.SlowBody(4 * time.Second), fakefcm.Duplicate(), fakefcm.Late(time.Second)}
	all := make([]fakefcm.Fault, 4*r.size.logins)
	for i := range all {
		all[i] = fakefcm.OK()
		if r.chance(4) == 0 {
			all[i] = odd[r.chance(len(odd))]
		}
	}
	return all
}

// stop ends the nodes as their administrator would, and collects what the
// checker reads.
func (r *run) stop() {
	for _, n := range r.nodes {
		n.end(syscall.SIGTERM)
	}
	pushes := newJournal(r.t, r.dir, "push.jsonl")
	var raw []byte
	for _, n := range r.nodes {
		for _, m := range n.google.Messages() {
			pushes.write(pushLine{At: m.At, Node: n.name, Token: m.Token, Type: m.Data["type"], Login: m.Data["login_id"], Expires: m.Data["expires"],
				Collapse: m.APNS["apns-collapse-id"], Fault: m.Fault, Raw: string(m.Raw)})
		}
		raw = append(raw, n.google.Raw()...)
		log, err := os.ReadFile(n.log)
		require.NoError(r.t, err)
		for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if strings.Contains(string(log), bad) {
				r.t.Errorf("%s: %q in %s", n.name, bad, n.log)
			}
		}
	}
	r.file("fcm.raw", string(raw))
}
