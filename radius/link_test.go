package radius

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
	"vssgate/radius/wire"
)

// linkTo is a Link to that server, which runs until the test ends.
func linkTo(t testing.TB, addr string, ca *testenv.Authority, change ...func(*Link)) (*Link, *journal) {
	cert, err := tls.LoadX509KeyPair(ca.IssueAs("nas", func(form *x509.Certificate) { form.DNSNames = []string{"nas.example.vn"} }))
	require.NoError(t, err)
	log := &journal{}
	l, err := NewLink(LinkOptions{Address: addr, Log: slog.New(slog.NewTextHandler(log, nil)), Credentials: Credentials{
		Certificate: func() *tls.Certificate { return &cert }, Authorities: func() *x509.CertPool { return ca.Pool },
	}})
	require.NoError(t, err)
	l.limits.first = time.Millisecond
	for _, f := range change {
		f(l)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return l, log
}

// login is an Access-Request in either version.
func loginOf(user, password string) func(id uint32, v11 bool) ([]byte, error) {
	return func(id uint32, v11 bool) ([]byte, error) {
		if v11 {
			return asks11(id, user, password), nil
		}
		return asksBy(radsec, byte(id), int(id)<<20+len(user), user, password), nil
	}
}

// answering accepts and rejects by the user's name, at once.
func answering(o *Options) {
	o.Handler.(*scripted).script = func(r *login.Request) func() {
		kind := login.Reject
		if r.Username == "good" && string(r.Password) == "secret" {
			kind = login.Accept
		}
		r.Reply(login.Reply{Kind: kind})
		return nil
	}
}

// old makes a server that speaks RADIUS/1.0 only.
func old(s *Server) { s.protocols = []string{protocolV10} }

func TestALinkSpeaksWhatTheServerDoes(t *testing.T) {
	for protocol, c := range map[string]struct {
		also []func(*Server)
		v11  bool
	}{protocolV11: {nil, true}, protocolV10: {[]func(*Server){old}, false}} {
		t.Run(protocol, func(t *testing.T) {
			s := secure(t, answering, c.also...)
			l, log := linkTo(t, s.addr.String(), s.ca)
			for user, code := range map[string]byte{"good": accept, "bad": reject} {
				spoken := !c.v11
				b, err := l.Ask(soon(t), func(id uint32, v11 bool) ([]byte, error) { spoken = v11; return loginOf(user, "secret")(id, v11) })
				require.NoError(t, err)
				require.Equal(t, code, b[0])
				require.Equal(t, c.v11, spoken)
			}
			require.NoError(t, l.Up())
			require.Contains(t, log.String(), "protocol="+protocol)
			require.Equal(t, 1, s.used("connections"), "one connection")
		})
	}
}

func TestManyAreAskedAtOnceOverOneConnection(t *testing.T) {
	for name, c := range map[string]struct {
		also []func(*Server)
		many int
	}{"1,000 in RADIUS/1.1": {nil, 1000}, "255 in RADIUS/1.0": {[]func(*Server){old}, 255}} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, nil, c.also...)
			l, _ := linkTo(t, s.addr.String(), s.ca)
			var all sync.WaitGroup
			errs := make([]error, c.many)
			for i := range c.many {
				all.Go(func() {
					b, err := l.Ask(soon(t), loginOf(fmt.Sprint("user", i), "secret"))
					want := byte(reject)
					if i%2 == 0 {
						want = accept
					}
					if err == nil && b[0] != want {
						err = errors.New("another's answer")
					}
					errs[i] = err
				})
			}
			held := make([]asking, c.many)
			for i := range held {
				held[i] = s.next(t)
			}
			if c.many == 255 {
				_, err := l.Ask(soon(t), loginOf("one too many", "secret"))
				require.ErrorIs(t, err, wire.ErrBusy)
			}
			for i := range held {
				r := held[len(held)-1-i]
				kind, n := login.Reject, 0
				fmt.Sscanf(r.Username, "user%d", &n)
				if n%2 == 0 {
					kind = login.Accept
				}
				r.Reply(login.Reply{Kind: kind})
			}
			all.Wait()
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, 1, s.used("connections"))
		})
	}
}

func TestALinkVerifiesTheServer(t *testing.T) {
	s := secure(t, answering)
	for name, c := range map[string]struct {
		change func(*Link)
		told   string
	}{
		"by its authority": {func(l *Link) {
			other := testenv.CA(t)
			l.opts.Credentials.Authorities = func() *x509.CertPool { return other.Pool }
		}, "unknown authority"},
		"by its name":                   {func(l *Link) { l.opts.ServerName = "radius.example.vn" }, "radius.example.vn"},
		"and shows its own certificate": {func(l *Link) { l.opts.Credentials.Certificate = nil }, "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			l, log := linkTo(t, s.addr.String(), s.ca, c.change)
			require.Eventually(t, func() bool { _, err := l.Ask(soon(t), loginOf("good", "secret")); return errors.Is(err, ErrNoLink) }, patience, time.Millisecond)
			require.ErrorIs(t, l.Up(), ErrNoLink)
			require.Eventually(t, func() bool { return strings.Contains(log.String(), c.told) }, patience, time.Millisecond, log)
		})
	}
}

func TestALostConnectionIsToldAtOnceAndMadeAgain(t *testing.T) {
	s := secure(t, nil)
	l, _ := linkTo(t, s.addr.String(), s.ca)
	failed := make(chan error)
	go func() {
		_, err := l.Ask(soon(t), loginOf("an.nv", "secret"))
		failed <- err
	}()
	r := s.next(t)
	l.mu.Lock()
	l.line.abort()
	l.mu.Unlock()
	err := <-failed
	require.ErrorContains(t, err, "connection lost")
	require.NotErrorIs(t, err, ErrNoLink, "the server may have read it")
	r.hasLeft(t)
	go func() {
		for {
			if b, err := l.Ask(soon(t), loginOf("an.nv", "secret")); !errors.Is(err, ErrNoLink) {
				if err == nil && b[0] != accept {
					err = errors.New("no accept")
				}
				failed <- err
				return
			}
		}
	}()
	s.next(t).Reply(login.Reply{Kind: login.Accept})
	require.NoError(t, <-failed)
}

// A late answer reaches nobody else.
func TestAnswersThatComeTooLate(t *testing.T) {
	for name, also := range map[string][]func(*Server){"RADIUS/1.1": nil, "RADIUS/1.0": {old}} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, nil, also...)
			l, _ := linkTo(t, s.addr.String(), s.ca)
			ctx, cancel := context.WithCancel(context.Background())
			failed := make(chan error)
			go func() {
				_, err := l.Ask(ctx, loginOf("slow", "secret"))
				failed <- err
			}()
			slow := s.next(t)
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			codes, held := make(chan byte, 254), make([]asking, 254)
			for range held { // all other Identifiers
				go func() {
					b, _ := l.Ask(soon(t), loginOf("an.nv", "secret"))
					codes <- append(b, 0)[0]
				}()
			}
			for i := range held {
				held[i] = s.next(t)
			}
			slow.Reply(login.Reply{Kind: login.Accept})
			for i := range held {
				held[i].Reply(login.Reply{Kind: login.Reject})
			}
			for range held {
				require.Equal(t, byte(reject), <-codes)
			}
		})
	}
}

func TestAnIdentifierThatNobodyWaitsForIsUsedAgainAfterAWhile(t *testing.T) {
	k := &line{limits: defaultLinkLimits, pending: map[uint32]*question{}}
	now := time.Now()
	for i := range 255 {
		id, p, err := k.begin(now)
		require.NoError(t, err)
		require.EqualValues(t, i+1, id, "0 is the watchdog's")
		p.dropped = now.Add(time.Duration(i) * time.Second)
	}
	_, _, err := k.begin(now.Add(k.limits.late - 1))
	require.ErrorIs(t, err, wire.ErrBusy)
	id, _, err := k.begin(now.Add(k.limits.late))
	require.NoError(t, err)
	require.EqualValues(t, 1, id)
}

// A mute is a TLS server that does with each connection as it is told.
func mute(t *testing.T, protocol string, with func(*tls.Conn)) (addr string, ca *testenv.Authority) {
	ca = testenv.CA(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.Cert}, NextProtos: []string{protocol}})
	require.NoError(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); with(c.(*tls.Conn)) })
		}
	})
	return l.Addr().String(), ca
}

func TestAnAnswerThatIsNotGenuineEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		protocol string
		answer   func(request []byte) []byte
		told     string
	}{
		"another secret":                {protocolV10, func(r []byte) []byte { return pack(accept, r[1], authOf(1)) }, "not genuine"},
		"no RADIUS packet":              {protocolV10, func(r []byte) []byte { return make([]byte, 20) }, errLength.Error()},
		"RADIUS/1.1 with rubbish in it": {protocolV11, func(r []byte) []byte { return append([]byte{accept, 0, 0, 22}, append(r[4:20:20], 0, 1)...) }, "no RADIUS packet"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, ca := mute(t, c.protocol, func(conn *tls.Conn) {
				buf := make([]byte, 4096)
				for {
					b, err := readPacket(conn, buf)
					if err != nil {
						return
					}
					if b[0] == 1 {
						conn.Write(c.answer(b))
					}
				}
			})
			l, log := linkTo(t, addr, ca)
			_, err := l.Ask(soon(t), loginOf("an.nv", "secret"))
			require.ErrorContains(t, err, c.told)
			require.Eventually(t, func() bool { return strings.Contains(log.String(), c.told) }, patience, time.Millisecond)
		})
	}
}

func TestTheWatchdog(t *testing.T) {
	quick := func(l *Link) { l.limits.watchdog, l.limits.silence = 20*time.Millisecond, 20*time.Millisecond }
	answer := func(b []byte, protocol string) []byte {
		if protocol == protocolV11 {
			return pack11(accept, token(b))
		}
		var auth [16]byte
		copy(auth[:], b[4:20])
		a := pack(accept, b[1], auth)
		sum := md5Of(a, []byte(radsec))
		copy(a[4:], sum[:])
		return a
	}
	for _, protocol := range []string{protocolV10, protocolV11} {
		t.Run("a server that has answered and does not any more is left, "+protocol, func(t *testing.T) {
			connections := make(chan int, 100)
			addr, ca := mute(t, protocol, func(conn *tls.Conn) {
				connections <- 1
				buf := make([]byte, 4096)
				for n := 0; ; n++ {
					b, err := readPacket(conn, buf)
					if err != nil {
						return
					}
					if n == 0 && b[0] == 12 {
						conn.Write(answer(b, protocol))
					}
				}
			})
			_, log := linkTo(t, addr, ca, quick)
			<-connections
			<-connections
			require.Eventually(t, func() bool { return strings.Contains(log.String(), errSilent.Error()) }, patience, time.Millisecond)
		})
		t.Run("a server that never answers it is kept, "+protocol, func(t *testing.T) {
			probes := make(chan []byte, 100)
			addr, ca := mute(t, protocol, func(conn *tls.Conn) {
				for {
					b, err := readPacket(conn, make([]byte, 4096))
					if err != nil {
						return
					}
					probes <- b
				}
			})
			l, _ := linkTo(t, addr, ca, quick)
			for range 5 {
				require.Equal(t, byte(12), (<-probes)[0])
			}
			require.NoError(t, l.Up())
		})
	}
}

func TestRADIUS11WithoutTLS13IsNotSpoken(t *testing.T) {
	ca := testenv.CA(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.Cert}, NextProtos: []string{protocolV11}, MaxVersion: tls.VersionTLS12})
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	l, _ := linkTo(t, ln.Addr().String(), ca)
	_, err = l.Ask(soon(t), loginOf("an.nv", "secret"))
	require.ErrorContains(t, err, "without TLS 1.3")
}

func TestAServerThatIsDownIsToldAtOnce(t *testing.T) {
	l, _ := linkTo(t, testenv.FreeAddr(t), testenv.CA(t))
	_, err := l.Ask(soon(t), loginOf("an.nv", "secret"))
	require.ErrorIs(t, err, ErrNoLink)
	_, err = NewLink(LinkOptions{Address: "no port"})
	require.Error(t, err)
}

func TestAskerLogsInOverTLS(t *testing.T) {
	for protocol, also := range map[string][]func(*Server){protocolV11: nil, protocolV10: {old}} {
		t.Run(protocol, func(t *testing.T) {
			s := secure(t, func(o *Options) {
				o.Handler.(*scripted).script = func(r *login.Request) func() {
					switch {
					case r.State == nil && string(r.Password) == "mật khẩu":
						r.Reply(login.Reply{Kind: login.Ask, State: []byte("opaque"), Prompt: login.PromptCode, Trace: "K7QF2D"})
					case string(r.State) == "opaque" && len(r.Password) == 0:
						r.Reply(login.Reply{Kind: login.Accept})
					}
					return nil
				}
			}, also...)
			cert := s.names(t, "nas.example.vn")
			a, err := DialTLS(soon(t), LinkOptions{Address: s.addr.String(), Credentials: Credentials{
				Certificate: func() *tls.Certificate { return &cert }, Authorities: func() *x509.CertPool { return s.ca.Pool },
			}})
			require.NoError(t, err)
			defer a.Close()
			var lines []string
			a.Trace = func(p Traced) { lines = append(lines, p.String()) }
			q := Question{Username: "an.nv", Password: []byte("mật khẩu")}
			first, err := a.Ask(soon(t), q)
			require.NoError(t, err)
			require.Equal(t, Challenge, first.Code)
			require.Equal(t, "3  prompt.code [K7QF2D]", first.Text)
			q.Password, q.State = nil, first.State
			second, err := a.Ask(soon(t), q)
			require.NoError(t, err)
			require.Equal(t, Accept, second.Code)
			require.Len(t, lines, 4)
			require.NotContains(t, strings.Join(lines, "\n"), "khẩu")
			up, err := a.Probe(soon(t))
			require.NoError(t, err)
			require.Equal(t, Accept, up.Code)
		})
	}
}

// FreeRADIUS 3.2.1 takes what one record brings for one packet, and closes the
// connection when it was two.
func TestEachPacketThatALinkSendsHasARecordOfItsOwn(t *testing.T) {
	got := make(chan int, 2)
	addr, ca := mute(t, protocolV10, func(conn *tls.Conn) {
		buf := make([]byte, 4096)
		for range cap(got) {
			n, _ := conn.Read(buf) // of one record at a time
			got <- n
		}
	})
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.Pool})
	require.NoError(t, err)
	defer conn.Close()
	k := newLine(conn, "radsec", linkLimits{write: patience})
	status, login := signed(12, 1, authOf(1), 0), asks(1, 2, "an.nv", "secret")
	require.NoError(t, k.put(status))
	require.NoError(t, k.put(login))
	k.end()
	k.write()
	require.Equal(t, len(status), <-got)
	require.Equal(t, len(login), <-got)
}
