package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"vssgate/internal/testenv"
	"vssgate/radius"
)

// Each side is measured in turns, so that what else the machine does meets all.
const (
	turns = 3
	turn  = 2 * time.Second
)

// A side is one of those that are measured beside each other.
type side struct {
	name string
	rate func() float64
}

// beside measures all sides in turns, and returns the medians: of how many
// requests a second are answered, and of how many there would be if nobody else
// used the machine, by the processor time that servers, directory and load
// took together.
func beside(b *testing.B, sides ...side) (rate, undisturbed map[string]float64) {
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for range turns {
		for _, s := range sides {
			begun, before := time.Now(), processorTime(b)
			r := s.rate()
			took, cost := time.Since(begun), processorTime(b)-before
			rates[s.name] = append(rates[s.name], r)
			costs[s.name] = append(costs[s.name], r*took.Seconds()/cost.Seconds()*float64(runtime.NumCPU()))
		}
	}
	rate, undisturbed = map[string]float64{}, map[string]float64{}
	for _, s := range sides {
		rate[s.name], undisturbed[s.name] = median(rates[s.name]), median(costs[s.name])
		b.ReportMetric(rate[s.name], s.name+"/s")
		b.ReportMetric(undisturbed[s.name], s.name+"/s-undisturbed")
	}
	return rate, undisturbed
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// processorTime is what this process and those that it has started have used.
func processorTime(b *testing.B) (used time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(b, err)
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parent, took := processorOf(pid); pid == os.Getpid() || parent == os.Getpid() {
			used += took
		}
	}
	return used
}

// processorOf is what one process has used, and who has started it.
func processorOf(pid int) (parent int, used time.Duration) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0 // it has ended
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): state, ppid, ..., utime and stime are the 14th and 15th
	f := strings.Fields(rest)
	parent, _ = strconv.Atoi(f[1])
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return parent, time.Duration(user+system) * time.Second / 100
}

// ratio reports how much of what the second does the first does.
func ratio(b *testing.B, rate, undisturbed map[string]float64, of, to string) {
	b.ReportMetric(rate[of]/rate[to], of+"/"+to)
	b.ReportMetric(undisturbed[of]/undisturbed[to], of+"/"+to+"-undisturbed")
}

// BenchmarkNoIO compares packets that are answered without asking anybody with
// a bare echo over UDP in Go.
func BenchmarkNoIO(b *testing.B) {
	const ports, window = 8, 8
	for b.Loop() {
		n, bare := startNode(b, populate(b, 1), newTree(b)), startEcho(b)
		status := newPile(2, func(id byte, i int) []byte { return statusServer(id) })
		unknown := newPile(3, func(id byte, i int) []byte {
			return accessRequest(id, i%1000, attribute(nil, 24, make([]byte, 24))...)
		})
		echoed := &pile{want: 12, packets: status.packets}
		echoedToo := &pile{want: 1, packets: unknown.packets}
		with := func(p *pile, to string) func() float64 {
			return func() float64 { return p.rate(b, "127.0.0.1", to, ports, window, turn) }
		}
		rate, undisturbed := beside(b, side{"echo", with(echoed, bare)}, side{"status", n.profiled("status", with(status, n.at.RADIUS[0]))},
			side{"echo_of_logins", with(echoedToo, bare)}, side{"unknown_state", n.profiled("unknown-state", with(unknown, n.at.RADIUS[0]))})
		ratio(b, rate, undisturbed, "status", "echo")
		ratio(b, rate, undisturbed, "unknown_state", "echo_of_logins")
	}
}

// statusServer is RFC 5997.
func statusServer(identifier byte) []byte {
	p := make([]byte, 20, 38)
	p[0], p[1], p[3] = 12, identifier, 38
	for i := range 16 {
		p[4+i] = byte(rand.Uint32())
	}
	return sign(attribute(p, 80, make([]byte, 16)))
}

// BenchmarkRubbish sends 20,000 packets a second that are good for nothing from
// an address of a known client, and from the same address 200 logins a second.
func BenchmarkRubbish(b *testing.B) {
	const many, logins, long = 20_000, 200, 10 * time.Second
	for b.Loop() {
		n := startNode(b, populate(b, logins*10), newTree(b))
		packets := make([][]byte, many)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range packets {
			packets[i] = rubbish(r, i)
		}
		before := n.told.count()
		sent := make(chan int)
		go func() { sent <- spray(b, observed, n.at.RADIUS[0], packets, many, long) }()
		s := paced(b, observed, n.at.RADIUS[0], logins, long, 2, accessRequestOf)
		b.ReportMetric(float64(<-sent)/long.Seconds(), "rubbish/s")
		s.report(b, "login")
		told := n.told.count() - before
		b.ReportMetric(float64(told), "log-lines")
		if told > 20 {
			b.Errorf("a flood of rubbish has filled the log with %d lines", told)
		}
	}
}

func accessRequestOf(identifier byte, i int) []byte { return accessRequest(identifier, i) }

// spray sends packets at a rate, waiting for nothing.
func spray(b *testing.B, from, to string, packets [][]byte, rate int, long time.Duration) (sent int) {
	const ports = 4
	var guns [ports]*gun
	for i := range guns {
		guns[i] = newGun(b, from, to)
		conn := guns[i].conn
		go func() { // what comes back is thrown away
			for answer, err := make([]byte, 4096), error(nil); !errors.Is(err, net.ErrClosed); {
				_, err = conn.Read(answer)
			}
		}()
	}
	begun := time.Now()
	for time.Since(begun) < long {
		for due := int(time.Since(begun).Seconds() * float64(rate)); sent < due; sent++ {
			guns[sent%ports].conn.Write(packets[sent%len(packets)])
		}
		time.Sleep(time.Millisecond)
	}
	for _, g := range guns {
		g.conn.Close()
	}
	return sent
}

// BenchmarkLogins is how many whole logins a second one node takes: password,
// challenge, the code from the phone's side, accept. Store, audit, front end,
// phones and NAS are in this process.
func BenchmarkLogins(b *testing.B) {
	const logins, workers = 6000, 32
	for b.Loop() {
		s := newBare(b, logins)
		begun := time.Now()
		var all errgroup.Group
		for w := range workers {
			all.Go(func() error {
				nas, err := radius.Dial(s.addr, sharedSecret)
				if err != nil {
					return err
				}
				defer nas.Close()
				for i := w; i < logins; i += workers {
					if err := s.logInOnce(b, nas, i); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(b, all.Wait())
		b.ReportMetric(logins/time.Since(begun).Seconds(), "logins/s")
	}
}

func (s *bare) logInOnce(b *testing.B, nas *radius.Asker, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	q := radius.Question{Username: username(i), Password: []byte(password), NAS: "vpn-hanoi-1", Station: string(netipOf(i))}
	a, err := nas.Ask(ctx, q)
	if err != nil {
		return err
	}
	q.State, q.Password = a.State, s.code(b, i)
	a, err = nas.Ask(ctx, q)
	if err == nil && a.Code != radius.Accept {
		err = fmt.Errorf("user %d is not let in: %s", i, a.Text)
	}
	return err
}

// BenchmarkFirstFactor compares logins on the first factor alone (an observed
// client) with what the directory itself does, and with FreeRADIUS and its
// rlm_ldap: all find the user with a search and bind as him.
func BenchmarkFirstFactor(b *testing.B) {
	const users, ports, window = 1000, 8, 8
	for b.Loop() {
		dir := testenv.Slapd(b, testenv.SlapdOptions{Users: users})
		n := startNodeAt(b, populate(b, 1), slapdConfig(dir))
		free := startFreeRADIUS(b, dir)
		logins := newPile(2, func(id byte, i int) []byte {
			return loginRequest(id, testenv.UserName(1+i%users), testenv.UserPassword(1+i%users), i)
		})
		through := func(from, to string) func() float64 {
			return func() float64 { return logins.rate(b, from, to, ports, window, turn) }
		}
		rate, undisturbed := beside(b, side{"slapd", func() float64 { return searchAndBind(b, dir, users, ports*window, turn) }},
			side{"vssgate", n.profiled("first-factor", through(observed, n.at.RADIUS[0]))}, side{"freeradius", through("127.0.0.1", free)})
		ratio(b, rate, undisturbed, "vssgate", "slapd")
		ratio(b, rate, undisturbed, "vssgate", "freeradius")
	}
}
