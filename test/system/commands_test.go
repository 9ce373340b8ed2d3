package system_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// vssgate runs the program with these arguments alone.
func vssgate(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(testenv.Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// An administrator and a user do everything with the program alone: number,
// activation code, phone, login, approval, revocation.
func TestAWholeLifeWithCommandsAlone(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2", Directory: testenv.SlapdOptions{
		LDIF: strings.Replace(entry("mai.lt", "mật khẩu của Mai", "0"), "employeeNumber: 0\n", "", 1)}})
	_, stderr, code := s.Run("device", "add", "--account", "mai.lt")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "vssgate account set mai.lt --bhxh-number", "the error says what to do")
	s.Command("account", "set", "mai.lt", "--bhxh-number", "7998765432")
	shown := s.Command("account", "show", "mai.lt")
	require.Contains(t, shown, "******5432")
	require.NotContains(t, shown, "7998765432")

	key := filepath.Join(t.TempDir(), "mai.key")
	phone := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := vssgate(t, append(append([]string{"phone"}, args...), "--url", "http://"+s.Phones, "--key", key)...)
		require.Zero(t, code, stderr)
		return stdout
	}
	activation := s.Activation("mai.lt")
	phone("enrol", activation, "--name", "Mai's phone", "--platform", "android", "--app-version", "1.6.8")
	_, stderr, code = vssgate(t, "phone", "enrol", activation, "--url", "http://"+s.Phones, "--key", key+"2")
	require.Equal(t, 1, code, "an activation code works once")
	require.NotContains(t, stderr, activation)
	require.Contains(t, s.Command("device", "list", "--account", "mai.lt"), "Mai's phone")

	try := exec.Command(testenv.Binary(t), "try", "radius", "--server", s.RADIUS[0], "--secret", s.Secret, "--user", "mai.lt",
		"--password", "mật khẩu của Mai", "--station", "203.0.113.7", "--json")
	var tried bytes.Buffer
	try.Stdout = &tried
	require.NoError(t, try.Start())
	var list struct {
		Logins []struct{ ID, Code, Client string }
	}
	require.NoError(t, json.Unmarshal([]byte(phone("list", "--wait", "20", "--json")), &list))
	require.Len(t, list.Logins, 1)
	require.Equal(t, "holds", list.Logins[0].Client)
	require.Contains(t, phone("approve", list.Logins[0].ID, "--json"), `"accepted"`)
	require.NoError(t, try.Wait(), "exit code 0 on accept")
	var exchange struct {
		Accepted bool
		Answer   string
		Steps    []struct{ What string }
	}
	require.NoError(t, json.Unmarshal(tried.Bytes(), &exchange))
	require.True(t, exchange.Accepted)
	require.Equal(t, "Access-Accept", exchange.Answer)
	require.NotEmpty(t, exchange.Steps)

	var devices []struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(s.Command("device", "list", "--account", "mai.lt", "--json")), &devices))
	s.Command("device", "revoke", devices[0].ID, "--why", "lost")
	stdout, _, code := vssgate(t, "try", "radius", "--server", s.RADIUS[0], "--secret", s.Secret, "--user", "mai.lt", "--password", "mật khẩu của Mai", "--json")
	require.Equal(t, 1, code, "exit code 1 on reject")
	require.Contains(t, stdout, `"accepted":false`)
	require.Equal(t, "no_device", s.Last().Reason)

	var did []string
	for _, change := range s.Changes() {
		did = append(did, change.Action)
	}
	require.Equal(t, []string{"account set", "device add", "device enrol", "device revoke"}, did)
	s.Verify()
}

// try radius asks for the code when it is challenged.
func TestTryRADIUSAsksForTheCode(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	try := exec.Command(testenv.Binary(t), "try", "radius", "--server", s.RADIUS[0], "--secret", s.Secret, "--user", user, "--password", password)
	stdin, err := try.StdinPipe()
	require.NoError(t, err)
	stdout, err := try.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, try.Start())
	printed := bufio.NewReader(stdout)
	said, err := printed.ReadString(':') // times have no colon, prompts do
	for err == nil && !strings.Contains(said, "Code, or Enter") {
		var more string
		more, err = printed.ReadString(':')
		said += more
	}
	require.NoError(t, err, said)
	_, err = io.WriteString(stdin, phone.Code()+"\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(printed)
	require.NoError(t, err)
	require.NoError(t, try.Wait())
	require.Contains(t, string(rest), "ACCEPTED after")
	require.NotContains(t, said+string(rest), password)
}

func TestInitWritesWhatCheckFindsGoodAndNeverOverwrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	_, stderr, code := vssgate(t, "init", dir)
	require.Zero(t, code, stderr)
	_, stderr, code = vssgate(t, "check", "--config", dir+"/vssgate.yaml")
	require.Zero(t, code, stderr)
	info, err := os.Stat(dir + "/secret.key")
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	key := readFile(t, dir+"/secret.key")
	_, stderr, code = vssgate(t, "init", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "there already")
	require.Equal(t, key, readFile(t, dir+"/secret.key"))
}

func TestCheckNamesEveryMistakeAndWhereItStands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vssgate.yaml")
	require.NoError(t, os.WriteFile(file, []byte("languge: vi\nsecond_factor:\n  code_digits: nine\n  valid_for: 1h\nradius:\n  clients:\n    - {name: a, name: b}\n"), 0o600))
	_, stderr, code := vssgate(t, "check", "--config", file)
	require.Equal(t, 1, code)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	require.GreaterOrEqual(t, len(lines), 4, stderr)
	for _, line := range lines {
		require.Regexp(t, "^"+regexp.QuoteMeta(file)+`:\d+:\d+: `, line)
	}
	for _, place := range []string{":1:1: ", ":3:16: ", ":7:17: "} {
		require.Contains(t, stderr, file+place)
	}
	_, _, code = vssgate(t, "serve", "--config", file)
	require.Equal(t, 1, code, "nothing is served with mistakes")
}

func TestWrongUsageIsExitCodeTwo(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"check", "extra"}, {"serve", "--nope"}, {"device", "add"}, {"device", "nonsense"}, {"try", "radius"},
		{"try", "radius", "--secret", "x"}, {"init"}, {"init", "a", "b"}, {"account", "show"}, {"account", "unlock", "an.nv"},
		{"phone", "enrol"}, {"demo", "--radius"},
	} {
		stdout, stderr, code := vssgate(t, args...)
		require.Equal(t, 2, code, "%v\n%s%s", args, stdout, stderr)
		require.NotEmpty(t, stderr)
	}
}

func TestTheDemoWalksThroughItsLoginsAndEnds(t *testing.T) {
	stdout, stderr, code := vssgate(t, "demo", "--once", "--radius", "127.0.0.1:0", "--ldap", "127.0.0.1:0", "--http", "127.0.0.1:0")
	require.Zero(t, code, stderr)
	require.Equal(t, 6, strings.Count(stdout, ": login to "), "prompts on phones")
	require.Equal(t, 6, strings.Count(stdout, "push to the phone of "))
	for _, seen := range []string{"Access-Challenge", "Access-Accept", "Access-Reject", "BindResponse 0", "phone watch --url", "or use password,code", "Approve -> waiting_for_retry"} {
		require.Contains(t, stdout, seen)
	}
	require.Empty(t, stderr, "no warning in a demo")
}

func TestATakenPortIsNamedWithTheWayOut(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	_, stderr, code := vssgate(t, "demo", "--once", "--radius", udp.LocalAddr().String(), "--ldap", tcp.Addr().String(), "--http", tcp.Addr().String())
	require.Equal(t, 1, code)
	for _, said := range []string{udp.LocalAddr().String(), tcp.Addr().String(), "--radius 127.0.0.1:", "--ldap 127.0.0.1:", "--http 127.0.0.1:"} {
		require.Contains(t, stderr, said)
	}
	n := testenv.NewNode(t, "first_factors: [{name: local, file: users.yaml}]\nradius:\n  listen: [\""+udp.LocalAddr().String()+
		"\"]\n  clients: [{name: a, addresses: [127.0.0.1], secret: sixteen-or-more-of-it}]\n")
	require.NoError(t, os.WriteFile(filepath.Join(n.Dir, "users.yaml"), []byte("[]\n"), 0o600))
	_, stderr, code = n.Run("serve")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, udp.LocalAddr().String())
	require.Contains(t, stderr, "radius.listen", "the key to change")
}
