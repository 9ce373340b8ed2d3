// Package audit writes down how every login ended and what every
// administrator changed, one JSON object a line, each bound to the one before
// it by an HMAC.
//
//	{"kind":"login","time":"2026-11-24T07:20:00.123Z",...,"prev":"<hash of the line before>","hash":"<HMAC>"}
//
// hash is the HMAC of the line's bytes before `,"hash"`, and those bytes hold
// the hash of the line before: a changed, missing, added or moved line is
// found by Verify. The key is derived from the installation's, so whoever can
// write the file but has no key cannot mend the chain. Cutting lines off the
// end leaves a shorter chain that is whole: the Log that wrote them knows (Head),
// and after its end the mark beside the file does, for who has not kept an older
// mark; past that only a copy kept elsewhere shows it.
//
// A record is in the file, in the kernel's hands, when Login returns: it
// survives the death of the process. Against loss of power the file is synced
// once a second by Run and by Close, so at most the last second is lost;
// syncing each login would bind logins to the disk.
//
// Each day's file is set aside under its time, and its successor goes on with
// the chain; a file that is removed for its age leaves a record with its last
// hash, so that the chain may begin there.
//
// Map: log.go (Log: chaining, one write for all who wait), record.go (lines),
// open.go (continuing an existing file), end.go (the end mark), rotate.go (days, ages), verify.go
// (checking the chain), find.go (one login, or the latest of an account),
// select.go (one person's records), syslog.go (a copy of every record elsewhere).
package audit
