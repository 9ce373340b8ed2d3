// Package accounting keeps what NASes tell of sessions (RFC 2866): on disk, so
// that the NAS may be answered, and in memory, beside the logins that began
// them.
//
//	radius -> Books.Account(Record) --> File     one JSON line, synced before it is acknowledged
//	                                --> Forward  other servers (radius.Relay)
//	                                --> Sessions what `vssgate login show` tells of a session
//
// A Record is acknowledged when every place that is configured has it: the
// file, and at least one of the servers. What is not acknowledged is not
// answered, so that the NAS keeps it and sends it again (RFC 2866 section 2).
//
// Map: record.go (Record and its line), books.go (who has to have it), file.go
// (one write and one sync for all who wait; each day's file set aside),
// sessions.go (the table in memory).
package accounting
