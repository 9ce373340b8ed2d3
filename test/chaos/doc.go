// Package chaos lets users log in at three nodes while everything around them
// breaks, and has test/checker say whether a guarantee was broken with it.
//
//	make chaos                        1,000 logins in network namespaces, Redis behind Sentinels; under ten minutes
//	make chaos SEED=7 LOGINS=200      what a seed decides: who logs in, how, at which node first, and which faults come when
//	go test ./test/chaos              some dozen logins on loopback, in make test
//
// What is decided by the seed is the plan. What meets what is up to the machine:
// the same seed is the same storm, not the same wave.
//
//	NASes (nas_test.go)  --RADIUS-->  n1 n2 n3  --> relays --> slapd, a fake FCM for each node
//	applications --LDAP binds-->         |    (application_test.go)
//	phones (phone_test.go) --HTTP-->     |
//	                                   Redis: on loopback a primary and a replica behind relays (loopback_test.go);
//	                                   in namespaces three with Sentinels, on links of their own (namespaces_test.go)
//
// The faults are in faults_test.go. A node's own wall clock cannot be moved: Go
// reads it past every library, and Linux has no time namespace for it. Redis's
// can (skew/clock.c), and that is the clock that decides.
package chaos
