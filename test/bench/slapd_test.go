package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// besideConfig is a node before slapd, with an application's account exempt.
const besideConfig = `
data_dir: {{DIR}}
secret_key_file: {{DIR}}/secret.key
admin: {socket: {{DIR}}/admin.sock}
metrics: {listen: "127.0.0.1:0"}
vssid: {listen: "127.0.0.1:0", public_url: "http://127.0.0.1:1"}
first_factors:
  - name: directory
    ldap: {urls: [%q], bind_dn: %q, bind_password: %q, base_dns: [%q]}
ldap:
  listen: ["127.0.0.1:0"]
  require_tls: false
  exempt_binds: [{dn: %q, from: [127.0.0.1], why: the benchmark}]
  clients: [{name: app, addresses: [127.0.0.1]}]
`

// How it is measured: each way in turn for a moment, and that many times over,
// so that whatever else the machine does hits all of them.
const (
	slapdRounds = 9
	slapdTurn   = 300 * time.Millisecond
)

// BenchmarkBesideSlapd does the same work directly at slapd, through the
// program and through OpenLDAP's own proxy.
func BenchmarkBesideSlapd(b *testing.B) {
	slapd := testenv.Slapd(b, testenv.SlapdOptions{Users: 1000})
	proxy := testenv.SlapdProxy(b, slapd)
	n := startNodeAs(b, populate(b, 1), fmt.Sprintf(besideConfig, slapd.URI, slapd.BindDN, slapd.BindPassword, testenv.SlapdPeople, testenv.SlapdAppDN))
	ways := map[string]string{"direct": slapd.Addr, "vssgate": n.at.LDAP[0], "back-ldap": proxy.Addr}
	bind := message(tlv(0x02, []byte{1}), tlv(bindRequest, tlv(0x02, []byte{3}), tlv(0x04, []byte(testenv.SlapdAppDN)), tlv(0x80, []byte(testenv.SlapdAppPassword))))
	search := message(tlv(0x02, []byte{2}), tlv(searchRequest, tlv(0x04, []byte(testenv.SlapdPeople)), []byte{0x0a, 1, 2, 0x0a, 1, 0, 0x02, 1, 0, 0x02, 1, 0, 0x01, 1, 0},
		tlv(0x87, []byte("uid")), tlv(0x30)))

	for _, connections := range []int{1, 16} {
		b.Run(fmt.Sprintf("binds, connections=%d", connections), func(b *testing.B) {
			besideSlapd(b, ways, connections, bind, bind, 1)
		})
	}
	for _, connections := range []int{1, 4} {
		b.Run(fmt.Sprintf("entries, connections=%d", connections), func(b *testing.B) {
			besideSlapd(b, ways, connections, bind, search, 1000)
		})
	}
}

// besideSlapd reports how often in a second a request is answered by each way, on
// so many connections that were bound before: the median of all slapdRounds, and
// what it would be if nobody else used the machine, by the processor time that
// all who take part took. An answer counts as so many.
func besideSlapd(b *testing.B, ways map[string]string, connections int, bind, request []byte, counts float64) {
	conns, rates, undisturbed := map[string][]*asker{}, map[string][]float64{}, map[string][]float64{}
	for way, addr := range ways {
		for range connections {
			a := newAsker(b, addr)
			require.NoError(b, a.ask(bind))
			conns[way] = append(conns[way], a)
		}
	}
	for b.Loop() {
		for range slapdRounds {
			for way := range ways {
				before := processorTime(b)
				rate := rateOf(b, conns[way], request)
				took := processorTime(b) - before
				rates[way] = append(rates[way], rate)
				undisturbed[way] = append(undisturbed[way], rate*slapdTurn.Seconds()/took.Seconds()*float64(runtime.NumCPU()))
			}
		}
	}
	for way := range ways {
		b.ReportMetric(counts*median(rates[way]), way+"/s")
		if way != "vssgate" {
			b.ReportMetric(median(rates["vssgate"])/median(rates[way]), "of-"+way)
			b.ReportMetric(median(undisturbed["vssgate"])/median(undisturbed[way]), "of-"+way+"-undisturbed")
		}
	}
}

// rateOf asks on all connections for one turn.
func rateOf(b *testing.B, conns []*asker, request []byte) float64 {
	var done atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for _, a := range conns {
		group.Go(func() {
			for time.Since(begun) < slapdTurn {
				if err := a.ask(request); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(begun).Seconds()
}

// An asker is a connection that asks and looks at no more of the answer than
// where it ends and whether it is a success.
type asker struct {
	conn net.Conn
	in   *bufio.Reader
}

func newAsker(b *testing.B, addr string) *asker {
	conn, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	b.Cleanup(func() { conn.Close() })
	return &asker{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

func (a *asker) ask(request []byte) error {
	if _, err := a.conn.Write(request); err != nil {
		return err
	}
	for {
		if _, err := a.in.Discard(1); err != nil {
			return err
		}
		n, err := readLength(a.in)
		if err != nil {
			return err
		}
		head, err := a.in.Peek(min(n, 8))
		if err != nil {
			return err
		}
		op := head[2+head[1]]
		if op == searchEntry {
			if _, err := a.in.Discard(n); err != nil {
				return err
			}
			continue
		}
		rest := make([]byte, n)
		if _, err := io.ReadFull(a.in, rest); err != nil {
			return err
		}
		if !bytes.Contains(rest, success[:3]) {
			return fmt.Errorf("refused: %x", rest)
		}
		return nil
	}
}
