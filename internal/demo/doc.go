// Package demo is the product in one process, with nothing else installed.
//
//	directory.go  a small directory of four people
//	peer.go       what the directory lets through to the LDAP package's Server
//	match.go      search filters over its entries
package demo
