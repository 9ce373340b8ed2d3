package chaos_test

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
	"vssgate/internal/testenv"

	"github.com/stretchr/testify/require"
)

// loopback is a network that needs no rights: each node reaches Redis, a
// primary with a replica, through a relay of its own.
type loopback struct {
	t       testing.TB
	dir     string
	ports   []string // HOST:PORT of RADIUS, phones and LDAP for each node
	relays  []*testenv.Relay
	servers []*process
	addrs   []string

	mu      sync.Mutex
	primary int
}

func newLoopback(t testing.TB, dir string, clock *skew) *loopback {
	t.Helper()
	n := &loopback{t: t, dir: dir}
	for range 3 * nodes {
		n.ports = append(n.ports, testenv.FreeAddr(t))
	}
	for i := range 2 {
		n.addrs = append(n.addrs, testenv.FreeAddr(t))
		_, port, _ := net.SplitHostPort(n.addrs[i])
		config := fmt.Sprintf("port %s\nbind 127.0.0.1\n%s", port, redisSettings)
		if i > 0 {
			host, port, _ := net.SplitHostPort(n.addrs[0])
			config += fmt.Sprintf("replicaof %s %s\n", host, port)
		}
		n.servers = append(n.servers, launchRedis(t, dir, fmt.Sprintf("redis%d", i+1), clock.env(), nil, config))
	}
	for range nodes {
		n.relays = append(n.relays, testenv.StartRelay(t, n.addrs[0]))
	}
	await(t, "the replica follows", time.Minute, func() bool { return n.linked(0) })
	return n
}

// linked: server i has a replica that is up to date.
func (n *loopback) linked(i int) bool {
	info, err := tell(n.addrs[i], "INFO", "replication")
	return err == nil && field(info, "min_slaves_good_slaves") == "1"
}

func (n *loopback) about() string {
	return "loopback: kill and stop; links to Redis, slapd and FCM cut by relays; Redis promoted by hand. No partitions between nodes and NASes or phones, no Sentinel: those need network namespaces (make chaos)"
}

func (n *loopback) place(i int) place {
	return place{radius: n.ports[3*i], phones: n.ports[3*i+1], ldap: n.ports[3*i+2], listen: listenOn}
}

func (n *loopback) from(client string) string {
	return map[string]string{"asks": "127.0.0.1", "holds": "127.0.0.2", "appends": "127.0.0.3", "binds": "127.0.0.4"}[client]
}

func (n *loopback) redis(i int) string { return fmt.Sprintf("{addresses: [%q]}", n.relays[i].Addr) }

func (n *loopback) primaries() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []string{n.addrs[n.primary]}
}

func (n *loopback) faults(r *run) []fault {
	return []fault{
		{name: "redis: the primary is killed and its replica promoted", loses: true, begin: func() func() { return n.failover() }},
		{name: "redis: the primary is killed and started again", loses: true, begin: func() func() {
			p := n.servers[n.primary]
			p.end(syscall.SIGKILL)
			return func() { require.NoError(n.t, p.start()) }
		}},
		{name: "redis: the primary stands still", begin: func() func() {
			p := n.servers[n.primary]
			p.signal(syscall.SIGSTOP)
			return func() { p.signal(syscall.SIGCONT) }
		}},
		r.onNode("cut from Redis, silently", func(i int) func() { return silence(n.relays[i]) }),
		r.onNode("cut from Redis, connections reset", func(i int) func() { return refuse(n.relays[i]) }),
	}
}

// failover does what a Sentinel would, and brings the dead primary back as the
// replica.
func (n *loopback) failover() (end func()) {
	n.mu.Lock()
	old, next := n.primary, 1-n.primary
	n.primary = next
	n.mu.Unlock()
	n.servers[old].end(syscall.SIGKILL)
	n.say(next, "REPLICAOF", "NO", "ONE")
	n.say(next, "CONFIG", "REWRITE") // it may be killed and started again before the old one is back
	for _, r := range n.relays {
		r.Lead(n.addrs[next])
		r.Cut()
	}
	return func() {
		if err := n.servers[old].start(); err != nil {
			n.t.Errorf("redis: %v", err)
		}
		host, port, _ := net.SplitHostPort(n.addrs[next])
		n.say(old, "REPLICAOF", host, port)
		n.say(old, "CONFIG", "REWRITE")
		for range 300 {
			if n.linked(next) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		n.t.Error("redis: the replica does not follow")
	}
}

// say insists: the server may just be starting.
func (n *loopback) say(i int, words ...string) {
	var err error
	for range 300 {
		var said string
		if said, err = tell(n.addrs[i], words...); err == nil && said == "+OK" {
			return
		}
		err = fmt.Errorf("%v: %s: %w", words, said, err)
		time.Sleep(100 * time.Millisecond)
	}
	n.t.Errorf("redis %d: %v", i+1, err)
}
