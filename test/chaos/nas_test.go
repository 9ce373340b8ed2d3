package chaos_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"time"

	"vssgate/test/site"
)

// A NAS is how one kind of client asks: from where, and with which patience. It
// may be an application, which binds (application_test.go).
type nas struct {
	client  string
	binds   bool
	from    string
	resend  time.Duration // after which it sends again
	resends int           // the same packet at one server, before it tries the next
	gives   time.Duration // after which it gives up
}

// ask sends a request to one server after the other until one answers, as a
// NAS with several servers does: a retransmission is the same packet, another
// server is sent a new one.
func (v *visit) ask(ctx context.Context, typed, state string) (site.Answer, bool) {
	ctx, cancel := context.WithTimeout(ctx, v.nas.gives)
	defer cancel()
	for ctx.Err() == nil {
		server := v.run.nodes[v.server%len(v.run.nodes)]
		one := v.askOne
		if v.nas.binds {
			one = func(ctx context.Context, server *node, typed, _ string) (site.Answer, bool) {
				return v.bindOne(ctx, server, typed)
			}
		}
		if a, ok := one(ctx, server, typed, state); ok {
			return a, true
		}
		v.server++
		pause(ctx, 10*time.Millisecond) // its patience may be over any moment
	}
	return site.Answer{}, false
}

func (v *visit) askOne(ctx context.Context, server *node, typed, state string) (site.Answer, bool) {
	to, err := net.ResolveUDPAddr("udp", server.radius)
	if err != nil {
		return site.Answer{}, false
	}
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(v.nas.from)}, to)
	if err != nil {
		pause(ctx, v.nas.resend)
		return site.Answer{}, false
	}
	defer conn.Close()
	codec := site.NAS{Secret: v.run.secret, Name: "nas-" + v.nas.client}
	packet := codec.Packet(site.Request{User: v.user.name, Password: typed, State: state, Station: v.station})
	sum := sha256.Sum256(packet)
	sent := nasLine{What: "sent", Visit: v.number, Request: hex.EncodeToString(sum[:8]), Server: server.name, Client: v.nas.client, User: v.user.name,
		Station: v.station, Typed: typed, State: hex.EncodeToString([]byte(state))}
	for range 1 + v.nas.resends {
		sent.At = time.Now()
		v.run.nas.write(sent)
		_, _ = conn.Write(packet) // who is not there answers nothing
		raw := receive(ctx, conn, v.nas.resend)
		if raw == nil {
			continue
		}
		a, err := codec.Genuine(raw, packet)
		if err != nil {
			v.run.t.Errorf("%s answered %s with what is not genuine: %v", server.name, v.user.name, err)
			continue
		}
		v.run.nas.write(nasLine{At: time.Now(), What: "heard", Visit: v.number, Request: sent.Request, State: hex.EncodeToString([]byte(a.State)), Code: int(a.Code), Text: a.Text})
		return a, true
	}
	return site.Answer{}, false
}

// receive waits for a datagram; nil: none came.
func receive(ctx context.Context, conn net.Conn, within time.Duration) []byte {
	until := time.Now().Add(within)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	buf := make([]byte, 5000)
	for ctx.Err() == nil {
		_ = conn.SetReadDeadline(until)
		n, err := conn.Read(buf)
		switch {
		case err == nil:
			return buf[:n]
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		}
		pause(ctx, 20*time.Millisecond) // nobody listens there
		if time.Now().After(until) {
			return nil
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
