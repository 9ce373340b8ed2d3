// Package upstream is a first factor: one or more RADIUS servers that judge the
// password, or the proof of one, that a NAS sent (NPS, FreeRADIUS).
//
//	NAS -> Access-Request        we -> the same, with Identifier, authenticator, secret of our own
//	upstream -> Access-Challenge we -> the same to the NAS, with a State of ours; the next round goes on
//	upstream -> Access-Reject    the password is wrong; what it said goes on to the NAS
//	upstream -> Access-Accept    kept, its hidden values open, until the second factor is there
//
// Any method passes: PAP, CHAP, MS-CHAP, MS-CHAPv2, EAP. Every request carries
// Message-Authenticator first, and an answer without a valid one is none. Who
// the user is says another first factor, a directory or a file of users, by the
// name in the Access-Accept (see asking.identify).
//
// Servers are asked in order. One that does not answer is passed over and tried
// again later; Status-Server (RFC 5997), where the server knows it, finds out
// sooner. All rounds of a conversation go to one server.
//
// Map: factor.go (Factor, its options), asking.go (one request and what becomes
// of its answer), pass.go (which attributes go on), servers.go (which server,
// and is it there), udp.go (sockets, Identifiers, resending). A server over TLS
// is asked through a Link instead of udp.go.
package upstream
