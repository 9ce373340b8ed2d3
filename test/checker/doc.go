// Checker reads what was seen of a run from outside and says where a guarantee
// of vssgate was broken. It shares no code with the product, and knows of it
// only what its documents promise.
//
//	checker DIR     exit code 0: no violation; 1: some, each told; 2: DIR cannot be read
//
// DIR holds, one JSON object a line in the files *.jsonl (times are RFC 3339;
// all by the clock of the machine that ran the test, except `created` and
// `expires`, which vssgate told, and the audit's):
//
//	world.json      valid_for_ms, grace_ms, slack_ms, separator, clients {name: {approval}}, users [{name, password, number}],
//	                interim [what a text contains that ends no login]
//	visits.jsonl    visit, kind, must (in, out or "": either), in, tries, took_ms: what a user wanted, what came of it
//	nas.jsonl       at, what, visit, request, server, client, user, station, typed, state, code, text
//	                what=sent: an Access-Request left; request names the packet, a retransmission has the same name
//	                what=heard: its answer came: code, text, state (of a challenge)
//	                what=bind: a simple bind left on a connection of its own, user being whose DN it names; what=result: its answer came:
//	                code (of LDAP), text; what=left: the application has closed its connection, without one; what=broke: somebody else has
//	phone.jsonl     at, until, what, device, user, login, code, approval, client, from, created, expires, answer, number, verdict
//	                what=shown: the phone saw a login; answered: it said answer (at: sent, until: heard; verdict "": nobody knows);
//	                revoked: from until on the device is no longer to count
//	push.jsonl      at, node, token, type, login, expires, collapse, fault, raw: what FCM took; fault: what the fake made of it, "": nothing
//	fcm.raw         all bytes that reached FCM
//	faults.jsonl    at, until, what, loses, clock_ms, node: loses: the store may have forgotten what was open; clock_ms: its clock stood off so far;
//	                node: the only one that it struck, "": all of them
//	secret.key      the installation's
//	nodes/N/        audit*.jsonl of each node
//
// Map: read.go (files), index.go (what belongs together), accept.go, verdict.go,
// bind.go, prompt.go, personal.go (the rules), chain.go (the audit's), report.go.
package main
