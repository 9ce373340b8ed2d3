package phoneapi

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// How fast a device may ask: twice what it is promised. And how many refused
// requests an address may send before it is refused unread.
const (
	devicePerSecond  = 40
	deviceBurst      = 80
	backendPerSecond = 2000 // of one address: it asks for a whole country
	backendBurst     = 4000
	refusedPerSecond = 10
	refusedBurst     = 200
	remembered       = 50_000 // devices, and addresses, in each of two generations
)

// limits pace devices and addresses. Addresses are charged for refused
// requests alone, because a whole province may sit behind one of them.
type limits struct {
	mu        sync.Mutex
	devices   recent
	backends  recent
	addresses recent
}

func newLimits() *limits {
	return &limits{
		devices:   recent{rate: devicePerSecond, burst: deviceBurst, most: remembered},
		backends:  recent{rate: backendPerSecond, burst: backendBurst, most: remembered},
		addresses: recent{rate: refusedPerSecond, burst: refusedBurst, most: remembered},
	}
}

// device counts a verified request and tells whether it may pass.
func (l *limits) device(id string) bool { return l.of(&l.devices, id).Allow() }

// backend does the same for a backend at an address.
func (l *limits) backend(known string) bool { return l.of(&l.backends, known).Allow() }

// refused charges the address for a request that was refused.
func (l *limits) refused(remote string) { l.of(&l.addresses, address(remote)).Allow() }

// listens tells whether requests from the address are looked at. Those that
// name a device that was verified lately are, or come from a backend that was:
// another sender behind the same address must not shut it out.
func (l *limits) listens(remote, known string) bool {
	if l.of(&l.addresses, address(remote)).Tokens() >= 1 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.devices.has(known) || l.backends.has(known)
}

func (l *limits) of(r *recent, key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.limiter(key)
}

// address is the part of a remote address that one subscriber has: all of an
// IPv4 address, the first 64 bits of an IPv6 address.
func address(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := ap.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, _ := ip.WithZone("").Prefix(64)
	return prefix.String()
}

// recent keeps the limiters used last, between most and twice as many. One
// that is dropped was idle longer than most others were in use.
type recent struct {
	rate  rate.Limit
	burst int
	most  int
	young map[string]*rate.Limiter
	old   map[string]*rate.Limiter
}

func (r *recent) limiter(key string) *rate.Limiter {
	if l := r.young[key]; l != nil {
		return l
	}
	l := r.old[key]
	if l == nil {
		l = rate.NewLimiter(r.rate, r.burst)
	}
	if r.young == nil || len(r.young) >= r.most {
		r.young, r.old = make(map[string]*rate.Limiter), r.young
	}
	r.young[key] = l
	return l
}

func (r *recent) has(key string) bool { return r.young[key] != nil || r.old[key] != nil }
