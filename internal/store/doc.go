// Package store keeps what outlives one packet: the login.Store of one node
// without a server (Embedded) and of any number of nodes (Redis). What it
// promises is written in login.Store; storetest checks it.
package store
