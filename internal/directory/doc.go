// Package directory holds the first factors: it finds whom a typed name means
// and checks passwords. It decides nothing else; the throttle and the second
// factor are the engine's (package login).
//
//	ldap.go    LDAP: a search with the service account, then a bind as the user
//	judge.go   what a directory's answer to a bind says of the password
//	entry.go   an entry of the directory becomes a login.Identity
//	name.go    typed names, DOMAIN\user, and the filter they are put into
//	dn.go      NormalizeDN, one spelling for exact comparison
//	activedirectory.go  what is different there: ids, names, the primary group
//	nested.go  all groups of somebody: groups of groups, and lists that come in parts
//	group.go   groups that a configuration names, and whether somebody is in them
//	servers.go several servers: which to try, TLS, StartTLS
//	pool.go    the connections that are kept
//	conn.go    one of them: it asks, and waits for the answer
//	message.go what is asked and answered, as bytes
//	service.go the account that searches
//	survey.go  what a directory shows to who checks a configuration
//	file.go    File: a few users in a YAML file, for places without a directory
//
// What a name may do is settled once, here: Resolve turns it into the
// directory's immutable id and everything after that uses the id.
//
//	typed "VSS\an.nv" -> (uid=an.nv) -> exactly one entry -> entryUUID, DN, uid
//	id, password      -> bind as the entry's DN -> right or wrong
//
// A wrong password and an unknown user are facts. An error means that the
// directory could not be asked, and nobody is let in.
package directory
