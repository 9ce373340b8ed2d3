package ldap_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
)

func TestADeniedConnectionIsNobodyAgain(t *testing.T) {
	w := start(t, options{phones: 1})
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	w.approve(1, accepted)
	c.wants(bindResponse, success)
	require.Equal(t, "dn:"+dn(1), c.who())

	c.send(c.bind(dn(1), password(1)))
	w.shows(1, 1)
	w.phones[1].No()
	c.wants(bindResponse, invalid)
	require.Empty(t, c.who(), "the identity from before is gone too")
	c.send(c.search(testenv.SlapdPeople, testenv.UserName(1)))
	require.NotEqual(t, searchEntry, c.read().op, "and what nobody may read stays unread")
	w.prompted(1, 2)
}

func TestWhatWaitsBehindAHeldBindRunsAsWhoItMadeTheClient(t *testing.T) {
	w := start(t, options{phones: 1})
	for _, approved := range []bool{true, false} {
		c := w.wire(wiki)
		bind := c.bind(dn(1), password(1))
		c.send(bind, c.search(testenv.SlapdPeople, testenv.UserName(2)), c.whoami())
		w.shows(1, 1)
		c.quiet(w)
		if approved {
			w.approve(1, accepted)
		} else {
			w.phones[1].No()
		}
		first := c.read()
		require.Equal(t, bindResponse, first.op, "nothing is answered before the bind")
		require.Equal(t, approved, first.code == success)
		seen, who := map[int]bool{}, ""
		for !seen[searchDone] || !seen[extendedResponse] { // the directory answers in any order
			f := c.read()
			if seen[f.op] = true; f.op == extendedResponse {
				who = f.oid
			}
		}
		require.Equal(t, approved, seen[searchEntry])
		if approved {
			require.Equal(t, "dn:"+dn(1), who)
		} else {
			require.Empty(t, who)
		}
	}
}

func TestEachConnectionHasOneOfItsOwnToTheDirectory(t *testing.T) {
	w := start(t, options{phones: 2, slapd: testenv.SlapdOptions{Log: true}})
	one, two := w.wire(wiki), w.wire(wiki)
	one.send(one.bind(dn(1), password(1)))
	w.approve(1, accepted)
	one.wants(bindResponse, success)
	two.send(two.bind(dn(2), password(2)))
	w.approve(2, accepted)
	two.wants(bindResponse, success)
	for range 3 {
		require.Equal(t, "dn:"+dn(1), one.who())
		require.Equal(t, "dn:"+dn(2), two.who())
	}
	require.Equal(t, []string{dn(1), dn(2)}, w.binds(), "each password was checked once")
}

// An application that gives a bind up after a few seconds and comes again, as
// sssd does every 8 s, asks in the name of one login.
func TestAClientThatComesAgainCollectsTheApproval(t *testing.T) {
	w := start(t, options{phones: 1})
	for n := range 11 {
		c := w.wire(wiki)
		c.send(c.bind(dn(1), password(1)))
		w.asked(1, n+1)
		w.changes(1, func() { c.conn.Close() })
	}
	w.approve(1, later)
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	c.wants(bindResponse, success)
	require.Equal(t, "dn:"+dn(1), c.who())
	w.prompted(1, 1)
	require.Len(t, w.Ended(), 1)

	d := w.wire(wiki)
	d.send(d.bind(dn(1), password(1)))
	w.shows(1, 1)
	d.quiet(w)
}

func TestAnApprovalThatNobodyCollectsIsVoidAfterGrace(t *testing.T) {
	t.Parallel() // most of the time it waits
	w := start(t, options{phones: 1, second: ", valid_for: 10s, grace: 1s", hold: "10s"})
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	w.asked(1, 1)
	w.changes(1, func() { c.conn.Close() })
	w.approve(1, later)
	w.shows(1, 0)
	require.Equal(t, "expired", w.Ends(1)[0].Reason)
	d := w.wire(wiki)
	d.send(d.bind(dn(1), password(1)))
	w.shows(1, 1)
	d.quiet(w)
}

func TestTwoConnectionsNeverShareAnApproval(t *testing.T) {
	w := start(t, options{phones: 1})
	one, two := w.wire(wiki), w.wire(wiki)
	one.send(one.bind(dn(1), password(1)))
	w.shows(1, 1)
	two.send(two.bind(dn(1), password(1)))
	open := w.shows(1, 2)
	for _, l := range open {
		_, err := w.phones[1].Approve(t.Context(), l.ID, "")
		var refused *phone.Problem
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "several_logins", refused.Code)
	}
	one.quiet(w)
	two.quiet(w)
	w.prompted(1, 1)

	_, err := w.phones[1].Deny(t.Context(), open[1].ID, false) // the newest stands first
	require.NoError(t, err)
	one.wants(bindResponse, invalid)
	w.prompted(1, 2)
	w.approve(1, accepted)
	two.wants(bindResponse, success)
	require.Equal(t, "dn:"+dn(1), two.who())
	require.Empty(t, one.who())
}

func TestADirectoryThatDiesDuringAHoldLetsNobodyIn(t *testing.T) {
	w := start(t, options{phones: 1})
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	w.shows(1, 1)
	w.Slapd.Stop()
	c.rest()
	w.approve(1, later)
	d := w.wire(wiki)
	d.send(d.bind(dn(1), password(1)))
	d.wants(bindResponse, unavailable)

	w.Slapd.Start()
	w.eventually("the directory is not found again", func() bool {
		e := w.wire(wiki)
		e.send(e.bind(dn(1), password(1)))
		return e.read().code == success // by the approval, which was meant for whoever comes back
	})
	require.Len(t, w.Ended(), 1)
}

func TestARestartDuringAHold(t *testing.T) {
	w := start(t, options{phones: 1})
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	w.prompted(1, 1)
	w.Stop()
	frames := c.rest()
	require.NotEmpty(t, frames, "the client is told")
	for _, f := range frames {
		require.EqualValues(t, unavailable, f.code)
	}
	last := frames[len(frames)-1]
	require.Zero(t, last.id)
	require.Equal(t, "1.3.6.1.4.1.1466.20036", last.oid, "a Notice of Disconnection")

	w.Start()
	w.shows(1, 1)
	d := w.wire(wiki)
	d.send(d.bind(dn(1), password(1)))
	w.asked(1, 2)
	w.approve(1, accepted)
	d.wants(bindResponse, success)
	w.prompted(1, 1)
}

func TestABindThatIsHeldIsAnsweredWhileTheNodeStops(t *testing.T) {
	for name, redis := range map[string]string{"embedded": "", "Redis": testenv.Redis(t)} {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{phones: 1, redis: redis})
			c, idle := w.wire(wiki), w.wire(wiki)
			idle.send(idle.bind(testenv.SlapdAppDN, testenv.SlapdAppPassword))
			idle.wants(bindResponse, success)
			c.send(c.bind(dn(1), password(1)))
			w.asked(1, 1)
			w.Signal(syscall.SIGTERM)
			require.Len(t, idle.rest(), 1, "a Notice of Disconnection")
			w.approve(1, accepted)
			c.wants(bindResponse, success)
			require.Len(t, c.rest(), 1, "a Notice of Disconnection")
			w.eventually("it does not end", func() bool { return !w.Running() })
			require.Equal(t, "approval", w.lastOf(1).Factor)
		})
	}
}

func TestAfterACrashNobodyIsLetInByWhatWasOpen(t *testing.T) {
	w := start(t, options{phones: 1})
	c := w.wire(wiki)
	c.send(c.bind(dn(1), password(1)))
	w.asked(1, 1)
	w.changes(1, func() { c.conn.Close() })
	w.approve(1, later)
	w.prompted(1, 1)
	w.Kill()
	w.Start()
	d := w.wire(wiki)
	d.send(d.bind(dn(1), password(1)))
	w.shows(1, 1)
	d.quiet(w)
	w.prompted(1, 2)
}

func TestAPasswordInPlainIsRefusedWhereTLSIsRequired(t *testing.T) {
	w := start(t, options{requireTLS: true, phones: 1, slapd: testenv.SlapdOptions{Log: true}})
	for _, name := range []string{dn(1), testenv.SlapdAppDN, "user0001"} {
		c := w.wire(wiki)
		c.send(c.bind(name, password(1)))
		c.wants(bindResponse, confidentiality)
	}
	require.Empty(t, w.binds())
	p := w.run(wiki, "ldapwhoami", "-x", "-ZZ", "-H", w.url(), "-D", dn(1), "-w", password(1))
	w.approve(1, accepted)
	p.succeeds()
}
