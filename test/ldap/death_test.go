package ldap_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A bind waits at a node that is killed. The application binds again at the other
// node: the user has one login and one prompt, and the approval lets it in.
func TestABindWhoseNodeIsKilledIsJoinedByItsRetry(t *testing.T) {
	one, two := pair(t, options{phones: 1})
	conn := two.connect(wiki)
	two.bind(conn, dn(1), password(1))
	before := one.shows(1, 1)[0].ID
	two.Kill()
	retry := one.bind(one.connect(wiki), dn(1), password(1))
	require.Eventually(t, func() bool { return one.Metric("vssgate_joined_total") >= 1 }, patience, 5*time.Millisecond)
	require.Equal(t, before, one.shows(1, 1)[0].ID)
	one.approve(1, accepted)
	require.NoError(t, retry.wait())
	require.Len(t, one.accepts(), 1)
	one.prompted(1, 1)
}
