package radius

import (
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// Real clients against the server, with a handler in the place of the core.

// portal is a handler for one user: password "mật khẩu", then code 123456.
func portal(r *login.Request) func() {
	switch {
	case r.Username != "an.nv":
		r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword, Trace: "K7QF2D"})
	case string(r.State) == "opaque-state" && string(r.Password) == "123456",
		r.State == nil && string(r.Password) == "mật khẩu,123456":
		r.Reply(login.Reply{Kind: login.Accept})
	case r.State == nil && string(r.Password) == "mật khẩu":
		r.Reply(login.Reply{Kind: login.Ask, Prompt: login.PromptCode, State: []byte("opaque-state"), Trace: "K7QF2D"})
	default:
		r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadCode, Trace: "K7QF2D"})
	}
	return nil
}

func startPortal(t *testing.T) netip.AddrPort {
	return start(t, func(o *Options) { o.Handler.(*scripted).script = portal }).addr
}

// run runs a program of Debian's freeradius-utils and returns what it printed.
func run(t *testing.T, stdin, program string, args ...string) string {
	path, err := exec.LookPath(program)
	require.NoError(t, err, "%s is missing: apt-get install freeradius-utils", program)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, _ := cmd.CombinedOutput() // a reject is an exit code too; what was printed tells
	return string(out)
}

func radclient(t *testing.T, addr netip.AddrPort, kind string, attributes ...string) string {
	return run(t, strings.Join(attributes, "\n")+"\n", "radclient", "-x", "-t", "5", "-r", "1", addr.String(), kind, shared)
}

var (
	stateShown = regexp.MustCompile(`State = (0x[0-9a-f]+)`)
	signature  = "Message-Authenticator = 0x00"
)

func TestRadclient(t *testing.T) {
	addr := startPortal(t)
	t.Run("challenge, then accept", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `User-Password = "mật khẩu"`, `NAS-Identifier = "vpn1"`, signature)
		require.Contains(t, out, "Received Access-Challenge")
		require.Contains(t, out, `Reply-Message = "3  prompt.code [K7QF2D]"`)
		require.Contains(t, out, "Prompt = No-Echo")
		state := stateShown.FindStringSubmatch(out)
		require.NotNil(t, state, out)
		out = radclient(t, addr, "auth", `User-Name = "an.nv"`, `User-Password = "123456"`, "State = "+state[1], signature)
		require.Contains(t, out, "Received Access-Accept")
		require.Contains(t, out, "Message-Authenticator = 0x")
	})
	t.Run("a wrong code", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `User-Password = "000000"`, "State = 0x6f", signature)
		require.Contains(t, out, "Received Access-Reject")
		require.Contains(t, out, "bad_code")
	})
	t.Run("appended code, Proxy-State comes back in order", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `User-Password = "mật khẩu,123456"`, "Proxy-State = 0x0102", "Proxy-State = 0x03", signature)
		require.Regexp(t, `(?s)Received Access-Accept.*Proxy-State = 0x0102.*Proxy-State = 0x03`, out)
	})
	t.Run("without Message-Authenticator, by a NAS that never sends it", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `User-Password = "mật khẩu,123456"`, `NAS-Identifier = "old-vpn"`)
		require.Contains(t, out, "Received Access-Accept")
	})
	t.Run("over IPv6", func(t *testing.T) {
		b := startOn(t, listen(t, "udp6", "[::1]:0"), func(o *Options) { o.Handler.(*scripted).script = portal })
		out := radclient(t, b.addr, "auth", `User-Name = "an.nv"`, `User-Password = "mật khẩu,123456"`, signature)
		require.Contains(t, out, "Received Access-Accept")
	})
	t.Run("CHAP is rejected at once", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `CHAP-Password = "mật khẩu"`, signature)
		require.Contains(t, out, "Received Access-Reject")
	})
	t.Run("MS-CHAP is rejected at once", func(t *testing.T) {
		out := radclient(t, addr, "auth", `User-Name = "an.nv"`, `MS-CHAP-Password = "mật khẩu"`, signature)
		require.Contains(t, out, "Received Access-Reject")
	})
	t.Run("Status-Server", func(t *testing.T) {
		require.Contains(t, radclient(t, addr, "status", signature), "Received Access-Accept")
	})
	t.Run("a wrong shared secret is silence", func(t *testing.T) {
		out := run(t, "User-Name = \"an.nv\"\nUser-Password = \"mật khẩu\"\n"+signature+"\n",
			"radclient", "-x", "-t", "0.2", "-r", "1", addr.String(), "auth", "another-secret-of-it")
		require.NotContains(t, out, "Received")
	})
}

func TestRadtest(t *testing.T) {
	addr := startPortal(t)
	for name, c := range map[string]struct{ user, password, want string }{
		"challenge": {"an.nv", "mật khẩu", "Received Access-Challenge"},
		"accept":    {"an.nv", "mật khẩu,123456", "Received Access-Accept"},
		"reject":    {"nobody", "mật khẩu", "Received Access-Reject"},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, "", "radtest", c.user, c.password, addr.String(), strconv.Itoa(10), shared)
			require.Contains(t, out, c.want)
		})
	}
}
