package radius_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// postgres has PostgreSQL ask the site about the user.
func postgres(t *testing.T, s *site.Site) *testenv.PostgresServer {
	t.Helper()
	_, port, err := net.SplitHostPort(s.RADIUS[0])
	require.NoError(t, err)
	db := testenv.Postgres(t, fmt.Sprintf("host all all 127.0.0.1/32 radius radiusservers=127.0.0.1 radiusports=%s radiussecrets=%s radiusidentifiers=pg\n", port, s.Secret), "")
	db.Role(user)
	return db
}

// psql logs in and says how that ended.
func psql(db *testenv.PostgresServer, password string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := db.Ask(user, password)
		done <- err
	}()
	return done
}

// PostgreSQL waits three seconds, once, and shows nobody a prompt.
func TestPostgreSQLLogsInWithAnAppendedCode(t *testing.T) {
	s := site.Start(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	db := postgres(t, s)
	out, err := db.Ask(user, password)
	require.Error(t, err, "the password alone opens the login, and no more: %s", out)
	out, err = db.Ask(user, password+","+phone.Wrong())
	require.Error(t, err, out)
	out, err = db.Ask(user, password+","+phone.Code())
	require.NoError(t, err, "%s\n%s", out, db.Log())
	require.Equal(t, user+"\n", out)
	require.Equal(t, "pg", s.Last().NAS)
	require.Equal(t, "code", s.Last().Factor)
	_, err = db.Ask(user, "not it")
	require.Error(t, err)
	require.NotContains(t, db.Log(), "timeout waiting for RADIUS response", "a reject, not silence")
}

// Three seconds are enough for who has the phone in his hand. Who approves
// later has not approved the next try, and hold ends before PostgreSQL does: PostgreSQL names no station, so that
// could be anybody's. The code says whose it is.
func TestPostgreSQLWaitsThreeSecondsForThePhone(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2", Hold: "2500ms"})
	phone := s.Phone(1)
	db := postgres(t, s)
	in := psql(db, password)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.NoError(t, <-in, db.Log())

	require.Error(t, <-psql(db, password), "nobody answered")
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	require.Error(t, <-psql(db, password), "an approval of another request")
	require.Len(t, s.Accepted(), 1)
	require.NoError(t, <-psql(db, password+","+phone.Code()), db.Log())
	require.Len(t, s.Accepted(), 2)
}

func TestPostgreSQLCollectsALateApprovalWhereUsersJoin(t *testing.T) {
	s := site.Start(t, site.Options{Asks: "127.0.0.4", Clients: `    - name: database
      addresses: [127.0.0.1]
      secret: "{{SECRET}}"
      mode: hold
      hold: 2500ms
      approval: simple
      join: user
`})
	phone := s.Phone(1)
	db := postgres(t, s)
	require.Error(t, <-psql(db, password), "nobody answered")
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	require.NoError(t, <-psql(db, password), db.Log())
	require.EqualValues(t, 1, s.Metric("vssgate_joined_total"))
	require.Len(t, s.Accepted(), 1)
}
