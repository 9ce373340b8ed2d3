// Package radius is the RADIUS front end (RFC 2865): Access-Requests in,
// login.Request out; login.Reply in, packets out. It also has the NAS's side,
// for tests and for trying a server out.
//
//	NAS -> Access-Request(User-Name, User-Password)   we -> Access-Challenge(State, "Enter code")
//	NAS -> Access-Request(State, code)                we -> Access-Accept
//
//	NAS -> Access-Request, again, while it is held    we -> nothing: the same exchange
//	NAS -> Access-Request, again, after the answer    we -> the same bytes again
//	NAS -> other request, same port and Identifier    the old one is given up, the new one served
//	NAS -> EAP Identity; EAP-GTC with the password    we -> EAP-GTC "Password: "; as for any password
//	NAS -> Status-Server                              we -> Access-Accept, if the node can decide
//	NAS -> Accounting-Request                         we -> Accounting-Response, when the record is kept
//
// A datagram passes these gates, and is dropped, counted and told (for each
// client and reason less and less often, see drop.go) where it fits none of them:
//
//	source is a client      clients.go    longest matching prefix
//	code                    packet.go     what this socket takes: logins, accounting, over TLS both
//	frame                   packet.go     length, attributes
//	Message-Authenticator   packet.go     before anything in the packet is believed
//	its absence             ratchet.go    allowed, until the NAS is known to send it
//	contents                request.go    what may come once, comes once; PAP
//	exchange                exchanges.go  retransmission, superseded, too many held
//
// A held request is an entry in the table of exchanges.go, of a few hundred
// bytes: it has no goroutine, no timer, and keeps neither packet nor password.
// Who decides, and when, is the Handler's business.
//
// Over TLS (RFC 6614) each connection is a socket of its own, of a client that
// is known by its certificate; what breaks the frame or the signature closes
// it. With RADIUS/1.1 (RFC 9765), agreed on by ALPN, a Token stands for the
// Identifier and nothing is hidden or signed but by TLS.
//
// Map: server.go (Server, its loop and its end), socket.go (answers leave from
// the address that was asked), tls.go (listening and handshakes), conn.go (one
// connection), outbox.go (what is written to it), peer.go (whose certificate it
// is), v11.go, clients.go, packet.go, ratchet.go (who must sign), request.go,
// eap.go (GTC), upstream.go (what a RADIUS server behind us judges), nologin.go
// (requests that are no person's), reply.go (encoding of answers), dictionary
// (attributes by name), exchanges.go, timers.go (how
// long NASes wait), accounting.go and relay.go (what NASes
// tell of sessions, and where it goes), drop.go (reasons and log), asker.go and
// trace.go (the NAS's side), link.go and line.go (the asking side
// over TLS, for an upstream). Package wire is what both sides share.
//
// The codec is layeh.com/radius; its server and its client are not used.
package radius
