package ldap_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// Some applications bind twice, or for each request of the same user.
func TestAnApplicationThatBindsTwicePromptsOnce(t *testing.T) {
	w := start(t, options{phones: 2})
	bind := func(n int, password string) *program {
		return w.run(twice, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(n), "-w", password)
	}
	first := bind(1, password(1))
	w.approve(1, accepted)
	first.succeeds()
	for range 3 {
		require.Equal(t, "dn:"+dn(1)+"\n", bind(1, password(1)).succeeds())
		require.Equal(t, "remembered", w.Last().Factor)
	}
	for _, name := range []string{testenv.UserName(1), strings.ToUpper(dn(1)), strings.ReplaceAll(dn(1), ",", " , ")} {
		require.Equal(t, "dn:"+dn(1)+"\n", w.run(twice, "ldapwhoami", "-x", "-H", w.url(), "-D", name, "-w", password(1)).succeeds(), "%s is the same user", name)
		require.Equal(t, "remembered", w.Last().Factor)
	}
	w.prompted(1, 1)

	t.Run("another user of the same application is asked", func(t *testing.T) {
		w := w.of(t)
		p := bind(2, password(2))
		w.approve(2, accepted)
		p.succeeds()
	})
	t.Run("another application asks", func(t *testing.T) {
		w := w.of(t)
		p := w.run(wiki, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1))
		w.approve(1, accepted)
		p.succeeds()
		w.prompted(1, 2)
	})
	t.Run("a failed bind is not remembered, and forgets", func(t *testing.T) {
		w := w.of(t)
		for range 2 {
			bind(1, "not it").fails()
		}
		p := bind(1, password(1))
		w.approve(1, accepted)
		p.succeeds()
		w.prompted(1, 3)
	})
	t.Run("nor is it after a denial", func(t *testing.T) {
		w := w.of(t)
		p := w.run(wiki, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1))
		w.shows(1, 1)
		w.phones[1].No()
		p.fails()
		p = bind(1, password(1))
		w.approve(1, accepted)
		p.succeeds()
	})
}
