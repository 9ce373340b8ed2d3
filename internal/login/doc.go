// Package login is the core of vssgate: it decides whether a login may go on.
//
// One login is an Attempt: from its first request with a right password to its
// Verdict. What asks in its name are Requests: an Access-Request, a State with
// a code, a bind. A Reply answers one request; a Verdict ends the attempt.
//
//	NAS -> radius ---\                                 /--> first factor (directory)
//	                  >--> Engine.Handle(Request) ----+---> Store (attempts, counters)
//	app -> ldapproxy-/        |      ^                 \--> Prompter, Auditor
//	                          v      |
//	                    Request.Reply(Reply)        phone -> Engine.Answer
//
// One pure function holds the whole policy: Decide, in decide.go. It is read
// from top to bottom, the first row that fits wins, and an Accept is made in
// exactly one of its rows. The Engine is the loop around it: load the attempt,
// decide, do it, save with compare-and-set; who loses the race decides again.
// A retransmission, another node, a late answer and a timer all ask the same
// question and get the same answer. docs/login-flow.md is the table in prose.
//
// A held request is an entry in a table with a timer, never a blocked
// goroutine. Until the password is right an attempt lives on its node alone.
//
// Map, in reading order:
//
//	decide.go   what is known -> next action (no I/O, no clock)
//	attempt.go  the record: chains, answer, verdict
//	encode.go   how it is kept
//	newer.go    other records, written over those of a newer version
//	request.go  what front ends hand in, what they get back
//	engine.go   the loop
//	crew.go     the goroutines of the loop
//	table.go    who is held here, and when to look again
//	find.go     which attempt a request belongs to: State, join
//	appended.go the attempt whose code came behind the password
//	prove.go    first factor, throttle, account; how an attempt begins
//	pulse.go    whether the node lives at which a bind waits
//	rounds.go   first factors of several rounds
//	rule.go     what lets in on the first factor alone: observe, remember
//	policy.go   policies: for whom and from when on; emergencies
//	keep.go     what the first factor gave, until somebody is let in
//	saved.go    an attempt in the store: read, sealed, listed
//	chain.go    who belongs to an attempt, and who of them gets its verdict
//	settle.go   replies
//	books.go    verdicts, the one audit record
//	prompt.go   the one prompt of a login: claimed, sent, passed on to the next
//	guess.go    codes counted before they are compared; lockout
//	fallback.go codes of an account's own: authenticator app, recovery, help desk
//	answer.go   what phones see and say
//	witness.go  an approval is verified again before it lets anybody in
//	event.go    what is told of a login to who follows it
//	stray.go    ids of replies that no login stands behind
//	overview.go what administrators see of open logins, and of an account
//	store.go    people.go  the interfaces to what is outside, with their promises
package login
