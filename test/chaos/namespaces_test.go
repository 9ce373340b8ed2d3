package chaos_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// namespaces is a network of its own, in a network namespace that run.sh has
// made. Each node and each machine of Redis is in one more:
//
//	bridge front  10.77.1.1 NASes, applications and phones, 10.77.1.11 to .13 the nodes
//	bridge left   10.77.2.1 us, 10.77.2.11 to .13 the nodes, 10.77.2.21 to .23 a Redis with a Sentinel each
//	bridge right  whoever is moved there reaches those that are there too, and nobody else
//
// A bridge's end of a link that is down, or on another bridge, swallows packets
// silently, both ways: what a broken switch does.
type namespaces struct {
	t       testing.TB
	servers []*process
}

const machines = 3 // of Redis

// noticed is how long it takes until Sentinels act.
const noticed = 4 * time.Second

func newNamespaces(t testing.TB, dir string, clock *skew) *namespaces {
	t.Helper()
	n := &namespaces{t: t}
	n.ip("link set lo up")
	for _, bridge := range []string{"front", "left", "right"} {
		n.ip("link add " + bridge + " type bridge")
		n.ip("link set " + bridge + " up")
	}
	for _, last := range []int{1, 101, 102, 103, 104} {
		n.ip(fmt.Sprintf("addr add 10.77.1.%d/24 dev front", last))
	}
	n.ip("addr add 10.77.2.1/24 dev left")
	for i := range nodes {
		n.machine(nodeName(i))
		n.link(nodeName(i), "front", fmt.Sprintf("10.77.1.%d", 11+i))
		n.link(nodeName(i), "left", fmt.Sprintf("10.77.2.%d", 11+i))
	}
	for i := range machines {
		n.machine(redisName(i))
		n.link(redisName(i), "left", n.addr(i))
	}
	n.startRedis(dir, clock)
	return n
}

func nodeName(i int) string  { return fmt.Sprintf("n%d", i+1) }
func redisName(i int) string { return fmt.Sprintf("r%d", i+1) }

func (n *namespaces) addr(i int) string { return fmt.Sprintf("10.77.2.%d", 21+i) }

func (n *namespaces) machine(name string) {
	n.ip("netns add " + name)
	n.ip("-n " + name + " link set lo up")
}

// link gives a machine an interface named as the bridge that it leads to; the
// bridge's end is MACHINE-BRIDGE.
func (n *namespaces) link(machine, bridge, addr string) {
	end := machine + "-" + bridge
	n.ip("link add " + end + " type veth peer name " + bridge + " netns " + machine)
	n.ip("link set " + end + " master " + bridge + " up")
	n.ip("-n " + machine + " addr add " + addr + "/24 dev " + bridge)
	n.ip("-n " + machine + " link set " + bridge + " up")
}

func (n *namespaces) ip(words string) {
	if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
		n.t.Errorf("ip %s: %v: %s", words, err, out)
	}
}

func inside(machine string) []string { return []string{"ip", "netns", "exec", machine} }

func (n *namespaces) startRedis(dir string, clock *skew) {
	n.t.Helper()
	for i := range machines {
		config := "port 6379\nbind 0.0.0.0\n" + redisSettings
		if i > 0 {
			config += "replicaof " + n.addr(0) + " 6379\n"
		}
		n.servers = append(n.servers, launchRedis(n.t, dir, redisName(i), clock.env(), inside(redisName(i)), config))
	}
	await(n.t, "the replicas follow", time.Minute, func() bool {
		info, err := tell(n.addr(0)+":6379", "INFO", "replication")
		return err == nil && field(info, "min_slaves_good_slaves") == "2"
	})
	for i := range machines {
		launchRedis(n.t, dir, "sentinel"+redisName(i), nil, inside(redisName(i)), fmt.Sprintf("port 26379\nbind 0.0.0.0\nprotected-mode no\n"+
			"sentinel monitor vssgate %s 6379 2\nsentinel down-after-milliseconds vssgate 2000\nsentinel failover-timeout vssgate 6000\n", n.addr(0)))
	}
	await(n.t, "the Sentinels know each other", time.Minute, func() bool {
		for i := range machines {
			info, err := tell(n.addr(i)+":26379", "INFO", "sentinel")
			if err != nil || !strings.Contains(info, "slaves=2,sentinels=3") {
				return false
			}
		}
		return true
	})
}

func (n *namespaces) about() string {
	return "network namespaces: three nodes, three machines with a Redis and a Sentinel each, links that are really cut"
}

func (n *namespaces) place(i int) place {
	return place{
		wrap: inside(nodeName(i)), radius: fmt.Sprintf("10.77.1.%d:1812", 11+i), phones: fmt.Sprintf("10.77.1.%d:8080", 11+i), ldap: fmt.Sprintf("10.77.1.%d:3389", 11+i),
		listen: func(t testing.TB) net.Listener { return listenInside(t, nodeName(i)) },
	}
}

// listenInside listens on the loopback of a machine; who connects there is
// served by us here.
func listenInside(t testing.TB, machine string) net.Listener {
	t.Helper()
	type result struct {
		net.Listener
		error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with us
		ns, err := os.Open("/run/netns/" + machine)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			made <- result{nil, err}
			return
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		made <- result{l, err}
	}()
	r := <-made
	require.NoError(t, r.error)
	return r.Listener
}

func (n *namespaces) from(client string) string {
	return map[string]string{"asks": "10.77.1.101", "holds": "10.77.1.102", "appends": "10.77.1.103", "binds": "10.77.1.104"}[client]
}

func (n *namespaces) redis(int) string {
	return fmt.Sprintf("{addresses: [%q, %q, %q], master_name: vssgate}", n.addr(0)+":26379", n.addr(1)+":26379", n.addr(2)+":26379")
}

func (n *namespaces) primaries() (found []string) {
	for i := range machines {
		if info, err := tell(n.addr(i)+":6379", "INFO", "replication"); err == nil && field(info, "role") == "master" {
			found = append(found, n.addr(i)+":6379")
		}
	}
	return found
}

// primary is whom most Sentinels name.
func (n *namespaces) primary() int {
	named := make([]int, machines)
	for i := range machines {
		info, _ := tell(n.addr(i)+":26379", "INFO", "sentinel")
		for k := range machines {
			if strings.Contains(info, "address="+n.addr(k)+":6379") {
				named[k]++
			}
		}
	}
	most := 0
	for k := range named {
		if named[k] > named[most] {
			most = k
		}
	}
	return most
}

func (n *namespaces) faults(r *run) []fault {
	return []fault{
		{name: "redis: the primary is killed", loses: true, extra: noticed, begin: func() func() {
			p := n.servers[n.primary()]
			p.end(syscall.SIGKILL)
			return func() {
				if err := p.start(); err != nil {
					n.t.Errorf("redis: %v", err)
				}
			}
		}},
		{name: "redis: the primary stands still", loses: true, extra: noticed, begin: func() func() {
			p := n.servers[n.primary()]
			p.signal(syscall.SIGSTOP)
			return func() { p.signal(syscall.SIGCONT) }
		}},
		{name: "redis: the primary's machine is cut off", loses: true, extra: noticed, begin: func() func() { return n.down(redisName(n.primary()) + "-left") }},
		{name: "redis: the primary's machine is cut off together with a node", loses: true, extra: noticed, begin: func() func() {
			return n.moved(redisName(n.primary())+"-left", nodeName(r.chance(nodes))+"-left")
		}},
		{name: "redis: a replica's machine is cut off", begin: func() func() { return n.down(redisName((n.primary()+1)%machines) + "-left") }},
		r.onNode("cut from Redis and Sentinels", func(i int) func() { return n.down(nodeName(i) + "-left") }),
		r.onNode("cut from NASes and phones", func(i int) func() { return n.down(nodeName(i) + "-front") }),
	}
}

// down cuts links, until heal is called.
func (n *namespaces) down(link string) (heal func()) {
	n.ip("link set " + link + " down")
	return func() { n.ip("link set " + link + " up") }
}

// moved puts links on the other bridge, until heal is called.
func (n *namespaces) moved(links ...string) (heal func()) {
	for _, link := range links {
		n.ip("link set " + link + " master right")
	}
	return func() {
		for _, link := range links {
			n.ip("link set " + link + " master left")
		}
	}
}
