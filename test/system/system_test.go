// Package system_test does to the whole program what operation and abuse will:
// kills and restarts it, takes the directory away, sends it what nobody should
// send, and reads what it writes.
package system_test

import (
	"time"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// The user that most tests log in as.
var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
)

// asks is the first request of the user's login.
var asks = site.Request{User: user, Password: password, Station: "203.0.113.7"}

const (
	quiet = 700 * time.Millisecond // how long no answer must come where none may
	tick  = 10 * time.Millisecond  // how often something that is on its way is looked for
)
