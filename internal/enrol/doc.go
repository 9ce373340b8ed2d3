// Package enrol knows who logs in and whose phones may confirm it.
//
// An Account is what logs in, known by the directory's immutable id. A person
// is a social insurance number (10 digits) and/or a personal identification
// number (12 digits), either of which finds them. A Device is one installation
// of VssID, with its own key; it belongs to a person and answers for all
// accounts whose person that is now.
//
//	account --pins--> number --finds--> person <--belongs to-- device
//
// A device comes in by an activation code, or because VssID's own servers,
// which have signed its person in, vouch for it:
//
//	administrator -> AddActivation(account)   -> code, as QR and as eight characters
//	phone         -> Enrol(code, its own key) -> Device
//	backend       -> Vouch(person, their id)  -> Device, with a key of its own or without
//
// Everything is kept in the login.Store, committed before the call returns and
// written only when something changes; what a newer version has added to a
// record stays in it. A record is sealed and bound to its
// key; numbers are found by their MAC, so neither a key, an index nor a value
// of the store shows one:
//
//	account:<hash of the directory's id>   in accounts, person-accounts:<person>
//	number:<MAC of the digits>             in person-numbers:<person>
//	device:<thumbprint of its key>         in person-devices:<person>, until revoked
//	vouched:<hash of who, whom, what>      in person-vouched:<person>
//	fallback:<hash of the directory's id>  an account's own codes, as MACs; until it is removed
//	installation                           nothing: who can open it has the right key
//	activation:<hash of the code>          in activation-short:<MAC>, for ten minutes and a margin
//
// What finds a person is the number's record alone: made by one compare-and-set
// it cannot lead to two persons, whoever asks at the same time.
//
// Map, in reading order: people.go (options), account.go (login.People: pinning,
// and what stands in an account's way), number.go (numbers and persons), set.go
// (numbers set by an administrator), organisation.go (custodians), entry.go
// (lines of an import), remove.go, peek.go (what would be, for reports), device.go, revoked.go (what a store may have lost), activation.go, enrolment.go, fallback.go
// (codes of an account's own, and their use), own_codes.go (making them),
// vouched.go, version.go, qr.go, record.go (the store), installation.go (whose store it is).
package enrol
