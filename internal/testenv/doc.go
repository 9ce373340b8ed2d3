// Package testenv starts the real programs that tests talk to, each on
// 127.0.0.1 with a port and a folder of its own, and stops them by their process
// id when the test ends. A program that is not installed fails the test and
// says how to install it: nothing is skipped.
//
// It imports nothing of the product, so every package's tests may use it.
//
//	ca.go          a fresh certificate authority and a certificate for 127.0.0.1
//	slapd.go       OpenLDAP's slapd with people, groups and service accounts
//	samba.go       a domain controller of Active Directory, by samba
//	redis.go       redis-server, single, cluster or behind TLS
//	freeradius.go  FreeRADIUS, which judges passwords or proxies
//	relay.go       a network in front of a server, which fails as networks do
//	free.go        an address that nobody uses
//	child.go       the process of these: ended, started again, frozen
//	postgres.go    PostgreSQL, as a program that asks RADIUS or LDAP
//	node.go        the program itself
package testenv
