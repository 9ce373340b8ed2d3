// Package bench measures the whole program: its tests are benchmarks, and what
// they found is told in docs/performance.md.
//
//	BenchmarkHeldRADIUS      memory of 100,000 RADIUS logins that are held at once, and what others wait beside them
//	BenchmarkHeldLDAP        memory of a held bind, with both its connections
//	BenchmarkBesideSlapd     binds and searches through the program, beside slapd itself and OpenLDAP's own proxy
//	BenchmarkNoIO            packets answered without asking anybody, beside a bare echo
//	BenchmarkFirstFactor     logins on the first factor alone, beside slapd and FreeRADIUS
//	BenchmarkLogins          whole logins a second
//	BenchmarkNodes           the same by processes: over the embedded store, over Redis, by three nodes
//	BenchmarkManyHeld        what a login takes beside 1,000, 10,000 and 100,000 that are held; what those take in Redis
//	BenchmarkThroughAnotherNode  from an approval at one node to the Accept of another
//	BenchmarkRubbish         logins during a flood of packets that are none
//	BenchmarkLogin           what a login takes besides the directory, leg by leg
//	BenchmarkPhones          memory of 5,000 phones that wait, and from a phone's answer to the verdict
//	BenchmarkWrongState      a packet that is decided without asking anybody
//
// Memory is measured in a process of the program's own: the test binary starts
// itself again as a node (node_test.go), with a configuration like any other,
// and reads what the kernel says of it. The directory (directory_test.go), the
// NASes and the applications are on this side.
//
// Sizes that were promised fail a benchmark when they are exceeded by far.
// Times are only reported: they say as much about the machine.
package bench
