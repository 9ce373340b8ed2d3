package chaos_test

import (
	"net"
	"testing"
)

// A network is where nodes and Redis are, and what can be cut between them.
type network interface {
	// about says what it is, for the report.
	about() string
	// place is where node i (from 0) is.
	place(i int) place
	// from is the address that a client's NAS has.
	from(client string) string
	// redis is what stands in store.redis of node i.
	redis(i int) string
	// primaries are the addresses of what calls itself a primary now.
	primaries() []string
	// faults are those of this network and of its Redis.
	faults(r *run) []fault
}

// A place is where one node runs.
type place struct {
	wrap           []string // what its command begins with
	radius, phones string   // HOST:PORT where it listens
	ldap           string   // the same
	listen         func(t testing.TB) net.Listener
}

// listenOn listens on loopback, on any port.
func listenOn(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
