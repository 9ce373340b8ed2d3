package ldap_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// pair is two nodes before one directory, with one store and the same keys.
// The phones talk to the first.
func pair(t *testing.T, o options) (one, two *world) {
	t.Helper()
	o.redis = testenv.Redis(t)
	one = start(t, o)
	o.beside, o.phones = one, 0
	return one, start(t, o)
}

// both binds at both nodes at once, and returns how many were let in.
func both(one, two *world, from, password string) (in int) {
	ends := make([][]error, 2)
	var all sync.WaitGroup
	for i, w := range []*world{one, two} {
		all.Go(func() { ends[i] = w.crowd(from, dn(1), same(password, 6)) })
	}
	all.Wait()
	return successes(ends[0]) + successes(ends[1])
}

func TestAnAnswerThroughOneNodeEndsAHoldAtTheOther(t *testing.T) {
	one, two := pair(t, options{phones: 1})
	conn := two.connect(wiki)
	b := two.bind(conn, dn(1), password(1))
	one.approve(1, accepted)
	require.NoError(t, b.wait())
	require.Equal(t, "dn:"+dn(1), whoami(t, conn))
	require.Len(t, two.accepts(), 1, "the record is where the login ended")
	require.Empty(t, one.Ended())

	b = two.bind(conn, dn(1), password(1))
	one.shows(1, 1)
	one.phones[1].No()
	refusal(t, b.wait())
	one.prompted(1, 2)
}

func TestALateApprovalIsCollectedOnceAmongNodes(t *testing.T) {
	one, two := pair(t, options{phones: 1})
	refusal(t, one.connect(brief).Bind(dn(1), password(1)))
	one.approve(1, later)
	require.Equal(t, 1, both(one, two, brief, password(1)))
	require.Len(t, append(one.accepts(), two.accepts()...), 1)
}

func TestACodeIsUsedOnceAmongNodes(t *testing.T) {
	one, two := pair(t, options{phones: 1, second: ", lockout: {after: 50}, wrong_codes: 50"})
	refusal(t, one.connect(mail).Bind(dn(1), password(1)))
	typed := password(1) + "," + one.shows(1, 1)[0].Code
	require.Equal(t, 1, both(one, two, mail, typed))
	require.Len(t, append(one.accepts(), two.accepts()...), 1)
	require.Zero(t, both(one, two, mail, typed))
}

func TestWrongCodesAtOneNodeLockTheOther(t *testing.T) {
	one, two := pair(t, options{phones: 1, second: ", lockout: {after: 2}"})
	refusal(t, one.connect(mail).Bind(dn(1), password(1)))
	for _, w := range []*world{one, two} {
		refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+one.wrong(1)))
	}
	for _, w := range []*world{one, two} {
		require.Contains(t, refusal(t, w.connect(wiki).Bind(dn(1), password(1))), "locked")
	}
}
