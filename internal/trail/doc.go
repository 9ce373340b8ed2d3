// Package trail remembers what happened to logins, for who asks in the middle
// of the night why one failed.
//
//	login.Engine, radius, push --Tell(Event)--> Trail --> List, Show     (vssgate login list, show)
//	                                                  --> Follow        (vssgate login follow)
//
// It lives in one node's memory and survives no restart: a login that two
// nodes handled shows on each what happened there. An open login costs a small
// record and 12 bytes for each thing that happened to it; those that have ended
// are remembered in a ring of the last 10,000, what was dropped in one of
// 1,000, what was rejected and is no login in another of 10,000 (login.Strays
// bounds what of a flood gets there). Nothing secret is told (login.Event), so nothing secret is kept.
//
// Map: trail.go (Trail, what becomes of an event), entry.go (one login, small),
// view.go (what is shown of it), follow.go (who looks on), match.go (which login
// a session of accounting belongs to).
package trail
