// Package store keeps what outlives one packet. What it promises is written in
// login.Store; storetest holds every implementation to it.
//
//	OpenEmbedded(path)   one node, a bbolt file, no server    embedded.go
//	OpenRedis(options)   any number of nodes                  redis.go
//
// # Embedded
//
// Keys and indexes are in memory, and the values of what is volatile (table.go:
// 100,000 open attempts in some 80 MB, a read in about a microsecond). They lie in
// few big pieces without pointers: what the garbage collector has to do beside
// them, again and again, does not grow with their number.
//
//	hash of a key   -> row: version, expiry  -> block in the arena: key, index names, value
//	hash of a name  -> tree of nodes in order of key -> row
//
// What is durable goes to the file first (commit.go): all that waits is written by one
// transaction with one sync, and nobody sees a durable record before it is
// committed. Until then it holds its places in the indexes, so that
// Condition.Full counts it. Its value is read from the file each time.
//
//	              durable records, marks   volatile records, marks, events   Since
//	clean stop    in the file              in path.volatile (snapshot.go)    as before
//	unclean stop  in the file              void                              the start
//	first start   -                        -                                 zero
//
// A snapshot counts once and only if the clock is not behind it. The clock
// (clock.go) runs monotonically and follows the wall clock forward only. What
// has expired is seen by nobody; a sweep of 1/256 of the records ten times a
// second takes it out of memory and file.
//
// # Redis
//
// Every decision is one Lua script (lua/) in one slot, on the clock of the
// server that runs it (TIME). Expiries are stored and compared; Redis's own TTL
// comes five minutes later and only cleans up. Scripts run twice without harm:
// each operation has a random name, kept with what it changed, so a script
// whose answer was lost finds it and answers the same. A record keeps its last
// four operations; a deleted record keeps them for a minute.
// Outside of a Cluster what several callers ask goes as one script (bundle.go):
// each does and answers what it would alone, or fails alone, all at one instant.
//
//	vssgate:{P}:r:KEY           record: version, expiry, epoch, operations, names, value
//	vssgate:{P}:i:INDEX         sorted set of record keys, all with score 0
//	vssgate:{P}:l:INDEX\0KEY    lease: who has listed KEY lately; lives 10 s
//	vssgate:{P}:m:KEY  c:KEY    one-time mark; events of a window
//	vssgate:{P}:changes         stream of changes, capped
//	vssgate:{P}:since           the epoch and when it was first seen
//
// P is the part that KEY or INDEX belongs to: in a Cluster one of 32, elsewhere
// 0. The keys of a part share a slot, so a record and the note of its change
// are written together. Outside of a Cluster so are its indexes, by the same
// script (lua/save.lua), and one script finds what an index lists (lua/find.lua);
// there are no leases. In a Cluster a record and its indexes are not written
// together. The order of writes makes up for that:
//
//  1. reserve: the record's key goes into every index that is new to it, first
//     into Condition.Full, where the number of members is checked in the same
//     script. Each reservation leaves a lease of 10 s with the operation's name.
//  2. save: version and deadline are checked and the record is written, within
//     5 s of the first reservation or not at all.
//  3. drop: it goes out of the indexes that it has left.
//
// An index therefore has a member for each record that lists it, and perhaps
// more. Find looks every member's record up and believes only that. So nothing
// is missed, whoever dies where, and nothing is found that is not so. The
// members of a full index are never more than it allows, hence neither are the
// records. A reservation that is not written counts as a place until its lease
// is over; a Save that meets one waits up to 0.2 s for it to be settled.
//
// Who takes a member out (step 3, or Find that saw no record for it) must not
// take out one that another Save has just put in. It names the instant R at
// which it saw the record, and the operations settled by then. The script
// refuses if a lease is alive that is of none of these, or if R is more than 3 s
// ago. Suppose a Save writes its record after R, at W. It reserved at A, and W <
// A + 5 s, so its lease is alive until A + 10 s > R + 5 s, and the script, which
// runs before R + 3 s, refuses. Servers' clocks may differ by up to 2 s.
// A Save that changes no index and shortens or keeps its expiry needs step 2
// only; one that extends it goes through all its indexes, whose keys live as
// long as the longest-lived record they were given.
//
// # Epochs
//
// A server's memory is named by its run_id and replication id, read inside the
// script. Volatile records and marks carry that name; under another one they
// are as if not there. A restart, a failover or (once) the first replica of a
// server begins an epoch, and Since is when a node first saw it: what was issued
// before is refused by callers. A caller that uses a mark asks for Since after
// UseOnce, never before: then a failover between the two is noticed.
// What is durable has no epoch. Where replicas are connected it is answered
// only after most of them have it (replicas.go), within the same epoch.
//
// # Now
//
// Every script's answer begins with its server's time. Now goes on from the last
// one by this machine's monotonic clock, for at most 50 ms, and asks after that
// (redis_clock.go). It is never ahead of the server, so no deadline is met too
// early, and never before anything this node has read. It may be behind, as any
// answer may that was on its way: therefore no code, approval or phone's answer
// counts by Now alone, but by the Save that follows, which the server refuses
// from Condition.Before on. What is by Now alone (the dates of rules, an
// emergency's end, ten seconds for a repeated answer) ends those milliseconds
// later. In a Cluster, whose servers have a clock each, Now asks one of them each
// time.
//
// # Changes
//
// Save notes in the part's stream which record changed, in the same script.
// Besides, the node that saved says so to all by publish/subscribe (a hint,
// redis_hints.go), at once or together with what it saves within 5 ms. A node
// tells of what hints say, reads all streams by cursor once a second, and tells
// of what is there and was not hinted. So a lost hint, or one that its node did
// not live to send, makes a change late, never lost.
// Subscribers that lag: see fanout.go, and Redis.Changes.
//
// Map: embedded.go, embedded_records.go, embedded_counts.go, embedded_sweep.go;
// entry.go, pack.go (how records are packed), table.go, index.go, slab.go, arena.go,
// window.go, clock.go, fanout.go, commit.go, snapshot.go; script.go (running scripts),
// convoy.go, bundle.go (many at a time), redis.go, redis_clock.go, redis_save.go, redis_find.go,
// redis_changes.go, redis_hints.go, replicas.go, sentinel.go (the password for Sentinels),
// survey.go (settings that safety needs); copy.go (from one store to another).
package store
