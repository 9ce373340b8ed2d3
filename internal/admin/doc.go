// Package admin is how commands talk to the running daemon: JSON over HTTP on
// a Unix socket that only root, or one group, may open.
//
//	vssgate account set ...  --POST /account/set {"user": ...}-->  daemon
//	                         <--200 {...} or 4xx/5xx {"error": ...}--
//
// The caller's uid is the kernel's word (SO_PEERCRED) and goes into the audit.
//
// Map: server.go (routes, socket), client.go (calls), stream.go (answers without end), calls.go (what is said).
package admin
