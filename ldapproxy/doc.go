// Package ldapproxy is the LDAP front end: it stands between an application and
// its directory, and holds the simple binds of users until the second factor
// is given. Everything else passes byte for byte.
//
//	application -> BindRequest(name, password)
//	                 we -> directory: BindRequest(the DN found for that name, password)
//	                 we <- directory: BindResponse(success), kept here
//	                 login.Engine: prompt, code, approval ... verdict
//	application <- that very BindResponse, or invalidCredentials with a text
//	application -> SearchRequest ------ relayed ------> directory
//
// Each client connection has one upstream connection of its own, opened when it
// is first needed. Nothing is ever pooled: an identity never serves anyone but
// the connection that proved it.
//
// Promises that the rest relies on:
//
//   - No BindResponse of the directory reaches a client except the one that was
//     judged. Any other ends the connection.
//   - The client's own bind bytes never reach the directory. What was judged is
//     encoded anew, with the DN that the directory itself gave for the name.
//   - While a bind is in progress nothing else of that client is passed on. What
//     comes waits, bounded, and then runs as whoever the bind made the client.
//   - After a bind that failed for whatever reason the client is anonymous (RFC
//     4513 section 4). An upstream connection that may hold an identity is closed
//     before the answer goes out.
//   - No byte of a frame is decoded before its lengths are known to be honest.
//
// Two goroutines serve a connection: one reads the client, one the directory. A
// held bind costs no goroutine. Who may act for the client at any time (write to
// the directory, change its identity) has the turn: the reader when no bind is
// in progress, otherwise the bind, and after its answer whoever runs what waited.
// The bind of a service account is decided by the reader itself; when that takes
// long, another goroutine reads on.
//
// Map, in reading order:
//
//	server.go    Options, listeners, the cap, the end
//	conn.go      a client connection: reading, the turn, what waits
//	bind.go      a bind from its frame to its answer
//	factor.go    the first factor on the client's own upstream connection
//	relay.go     client to directory; which operations are refused
//	upstream.go  directory to client
//	starttls.go  StartTLS, answered here
//	frame.go     headers and lengths, before anything is decoded
//	message.go   messages decoded and encoded
//	source.go    a read buffer that is small while it waits
//	deadline.go  deadlines that move on with every message
package ldapproxy
