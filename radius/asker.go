package radius

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3162"

	"vssgate/internal/secret"
)

// An Asker is the NAS's side: it logs users in. One question at a time.
type Asker struct {
	Resend time.Duration // until the same packet is sent again; 0: 3 s
	Tries  int           // how often a packet is sent at most; 0: 10. The context ends the wait for an answer

	// Trace is told of each packet that is sent, and of each that comes in and
	// is the answer. nil: nobody is.
	Trace func(Traced)

	conn       *net.UDPConn // nil: over line
	line       *line
	end        func() // of line
	client     *client
	identifier byte
}

// Dial makes an Asker for the server at addr ("192.0.2.1:1812"), from one port
// of its own until Close.
func Dial(addr string, shared secret.Secret) (*Asker, error) { return DialFrom(nil, addr, shared) }

// DialFrom is Dial from an address of this machine's; nil: any.
func DialFrom(local *net.UDPAddr, addr string, shared secret.Secret) (*Asker, error) {
	remote, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("radius: %w", err)
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return nil, fmt.Errorf("radius: %w", err)
	}
	var first [1]byte
	rand.Read(first[:])
	return &Asker{conn: conn, client: newClient(Client{Secret: shared}, overUDP), identifier: first[0]}, nil
}

// DialTLS makes an Asker for a server over TLS: one connection until Close, in
// RADIUS/1.1 if the server speaks it. A request is sent once.
func DialTLS(ctx context.Context, o LinkOptions) (*Asker, error) {
	link, err := NewLink(o)
	if err != nil {
		return nil, err
	}
	conn, err := link.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("radius: %s: %w", o.Address, err)
	}
	a := &Asker{Tries: 1, line: newLine(conn, link.opts.Secret, link.limits), client: newClient(Client{Secret: link.opts.Secret}, overTLS)}
	if a.line.v11 {
		a.client.version = overV11
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { a.line.serve(ctx); close(ended) }()
	a.end = func() { stop(); <-ended }
	return a, nil
}

// Close gives the port back.
func (a *Asker) Close() error {
	if a.conn == nil {
		a.end()
		return nil
	}
	return a.conn.Close()
}

// A Question is one Access-Request.
type Question struct {
	Username   string
	Password   []byte // at most 128 bytes; with State: the code, "ok" or nothing
	State      []byte // of the challenge that is answered; nil: none
	NAS        string // NAS-Identifier, "" none
	NASAddress netip.Addr
	Station    string   // Calling-Station-Id, "" none
	ProxyState [][]byte // as a proxy would add them
}

// A Code is how a server answered.
type Code = layeh.Code

// The answers.
const (
	Accept    = layeh.CodeAccessAccept
	Reject    = layeh.CodeAccessReject
	Challenge = layeh.CodeAccessChallenge
)

// An Answer is what the server said, its Message-Authenticator verified.
type Answer struct {
	Code  Code
	Text  string // all Reply-Messages
	State []byte
	Took  time.Duration // since the packet was first sent
	Sent  int           // how often
}

// Ask sends a question and waits for its answer until ctx ends. The same bytes
// are sent again while none comes. What is not a valid answer with a valid
// Message-Authenticator is passed over: anybody can send it.
func (a *Asker) Ask(ctx context.Context, q Question) (Answer, error) {
	return a.send(ctx, func(id uint32) ([]byte, error) { return a.encode(q, id) })
}

// Probe asks whether the server can decide logins (Status-Server, RFC 5997).
func (a *Asker) Probe(ctx context.Context) (Answer, error) {
	return a.send(ctx, func(id uint32) ([]byte, error) { return a.sign(layeh.New(layeh.CodeStatusServer, a.client.secret), id) })
}

// send sends what encode makes, and waits for the answer.
func (a *Asker) send(ctx context.Context, encode func(id uint32) ([]byte, error)) (Answer, error) {
	if a.line != nil {
		return a.overLine(ctx, encode)
	}
	a.identifier++
	request, err := encode(uint32(a.identifier))
	if err != nil {
		return Answer{}, err
	}
	return a.exchange(ctx, request)
}

func (a *Asker) overLine(ctx context.Context, encode func(id uint32) ([]byte, error)) (Answer, error) {
	begun := time.Now()
	response, err := a.line.ask(ctx, func(id uint32, _ bool) ([]byte, error) {
		request, err := encode(id)
		a.trace(request, true, 1)
		return request, err
	})
	if err != nil {
		return Answer{}, fmt.Errorf("radius: no answer from %s: %w", a.line.tls.RemoteAddr(), err)
	}
	a.trace(response, false, 1)
	return a.answer(response, time.Since(begun), 1)
}

func (a *Asker) encode(q Question, id uint32) ([]byte, error) {
	p := layeh.New(layeh.CodeAccessRequest, a.client.secret)
	password := layeh.Attribute(q.Password)
	if a.client.version != overV11 {
		var err error
		if password, err = layeh.NewUserPassword(q.Password, a.client.secret, p.Authenticator[:]); err != nil {
			return nil, fmt.Errorf("radius: password: %w", err)
		}
	}
	p.Add(rfc2865.UserName_Type, layeh.Attribute(q.Username))
	if len(password) > 0 { // RADIUS/1.1 knows no empty one
		p.Add(rfc2865.UserPassword_Type, password)
	}
	if q.State != nil {
		p.Add(rfc2865.State_Type, q.State)
	}
	if q.NAS != "" {
		p.Add(rfc2865.NASIdentifier_Type, layeh.Attribute(q.NAS))
	}
	switch {
	case q.NASAddress.Is4():
		p.Add(rfc2865.NASIPAddress_Type, q.NASAddress.AsSlice())
	case q.NASAddress.Is6():
		p.Add(rfc3162.NASIPv6Address_Type, q.NASAddress.AsSlice())
	}
	if q.Station != "" {
		p.Add(rfc2865.CallingStationID_Type, layeh.Attribute(q.Station))
	}
	for _, s := range q.ProxyState {
		p.Add(rfc2865.ProxyState_Type, s)
	}
	return a.sign(p, id)
}

// sign puts Message-Authenticator before everything else, or does without where
// there is none.
func (a *Asker) sign(p *layeh.Packet, id uint32) (request []byte, err error) {
	if a.client.version == overV11 {
		p.Identifier, p.Authenticator = 0, tokenField(id)
		request, err = p.MarshalBinary()
	} else {
		p.Identifier = byte(id)
		request, err = a.client.key.Sign(p)
	}
	if err != nil {
		return nil, fmt.Errorf("radius: %w", err)
	}
	return request, nil
}

func (a *Asker) exchange(ctx context.Context, request []byte) (Answer, error) {
	defer context.AfterFunc(ctx, func() { a.conn.SetReadDeadline(time.Unix(1, 0)) })()
	begun := time.Now()
	for sent := 1; ; sent++ {
		if err := ctx.Err(); err != nil {
			return Answer{}, fmt.Errorf("radius: no answer from %s after %d tries: %w", a.conn.RemoteAddr(), min(sent-1, a.tries()), err)
		}
		if sent <= a.tries() {
			// An error here is an earlier ICMP message: whoever holds a login
			// through a restart of the server is to get its answer.
			_, _ = a.conn.Write(request)
			a.trace(request, true, sent)
		}
		response, err := a.await(ctx, request)
		if err != nil {
			return Answer{}, err
		}
		if response != nil {
			a.trace(response, false, sent)
			return a.answer(response, time.Since(begun), min(sent, a.tries()))
		}
	}
}

func (a *Asker) tries() int {
	if a.Tries > 0 {
		return a.Tries
	}
	return 10
}

// await reads until the answer comes, or until it is time to send again: nil.
func (a *Asker) await(ctx context.Context, request []byte) ([]byte, error) {
	wait := a.Resend
	if wait == 0 {
		wait = 3 * time.Second
	}
	again := time.Now().Add(wait)
	a.conn.SetReadDeadline(again)
	buf := make([]byte, layeh.MaxPacketLength+1)
	for ctx.Err() == nil {
		n, err := a.conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case errors.Is(err, net.ErrClosed):
			return nil, fmt.Errorf("radius: %w", err)
		case err != nil: // nobody listens there; perhaps soon
			continue
		}
		if response, _ := a.client.key.Genuine(buf[:n], request); response != nil {
			return response, nil
		}
	}
	return nil, nil
}

func (a *Asker) answer(b []byte, took time.Duration, sent int) (Answer, error) {
	p, err := layeh.Parse(b, a.client.secret)
	if err != nil {
		return Answer{}, fmt.Errorf("radius: %w", err)
	}
	var text strings.Builder
	for _, t := range p.Attributes {
		if t.Type == rfc2865.ReplyMessage_Type {
			text.Write(t.Attribute)
		}
	}
	return Answer{Code: p.Code, Text: text.String(), State: p.Get(rfc2865.State_Type), Took: took, Sent: sent}, nil
}
