// Package wire is what both sides of RADIUS do to packets: the front end and
// the NAS's side of package radius, and the client of internal/upstream. It
// has no sockets, no clock and no opinions.
//
//	sign.go       a request is signed; an answer is genuine, or what is wrong with it
//	accounting.go the same for accounting, whose requests are signed as a whole
//	hidden.go     values that are hidden under the shared secret, opened and hidden anew
//	attributes.go attributes as plain bytes, to be kept and sent on
//	eap.go        the frame of EAP (RFC 3748), and its way through EAP-Message
//
// An Access-Accept that is kept between two secrets is kept opened:
//
//	upstream -> Accept(MPPE key hidden for us)     Open -> the key itself, sealed with the attempt
//	we -> Accept(MPPE key hidden for the NAS)      Hide <- under its secret, Request Authenticator, a new salt
package wire
