package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// An outcome is what a call of the program left behind.
type outcome struct {
	code        int
	out, errOut string
}

// vssgate calls the program with what is on its standard input.
func vssgate(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("languag: vi\n"), 0o600))
	for name, c := range map[string]struct {
		args   []string
		code   int
		out    string // is in the standard output; "": that is empty
		errOut string
	}{
		"called with nothing it shows the first steps":                      {nil, 0, "vssgate init DIR", ""},
		"a group of commands shows its commands":                            {[]string{"account"}, 0, "unlock", ""},
		"an unknown command is wrong usage":                                 {[]string{"frobnicate"}, 2, "", `unknown command or argument "frobnicate"`},
		"an unknown command of a group is wrong usage":                      {[]string{"account", "frobnicate"}, 2, "", "Try 'vssgate account --help'."},
		"a command of a later version is wrong usage":                       {[]string{"doctors"}, 2, "", `"doctors"`},
		"an unknown flag is wrong usage":                                    {[]string{"version", "--frobnicate"}, 2, "", "--frobnicate"},
		"a flag of the wrong type is wrong usage":                           {[]string{"try", "radius", "--timeout", "soon"}, 2, "", "--timeout"},
		"a missing argument is wrong usage, and the usage is said":          {[]string{"init"}, 2, "", "want: vssgate init DIR"},
		"an argument too many is wrong usage":                               {[]string{"account", "show", "a", "b"}, 2, "", "want: vssgate account show USER"},
		"an argument where none is taken is wrong usage":                    {[]string{"version", "now"}, 2, "", "want: vssgate version"},
		"a missing flag is wrong usage":                                     {[]string{"device", "add"}, 2, "", `"account"`},
		"several missing flags are all named":                               {[]string{"try", "radius"}, 2, "", `"secret", "user"`},
		"a certificate without its key is wrong usage":                      {[]string{"try", "radius", "--user", "an.nv", "--tls", "--cert", "a"}, 2, "", `"key"`},
		"unlocking without a reason is wrong usage":                         {[]string{"account", "unlock", "an.nv"}, 2, "", `"why"`},
		"revealing without a reason is wrong usage":                         {[]string{"account", "show", "an.nv", "--reveal"}, 2, "", "--why"},
		"revealing with a blank reason is wrong usage":                      {[]string{"account", "show", "an.nv", "--reveal", "--why", " "}, 2, "", "--why"},
		"setting nothing is wrong usage":                                    {[]string{"account", "set", "an.nv"}, 2, "", "--bhxh-number"},
		"a configuration with a mistake is an error at its place":           {[]string{"check", "--config", bad}, 1, "", bad + ":1:1: languag is unknown; did you mean language?"},
		"a daemon does not start with a mistake":                            {[]string{"serve", "--config", bad}, 1, "", bad + ":1:1: "},
		"a configuration that is not there is an error with the way out":    {[]string{"check", "--config", filepath.Join(dir, "none.yaml")}, 1, "", "vssgate init DIR"},
		"a daemon that is not there is an error with the way out":           {[]string{"account", "list", "--socket", filepath.Join(dir, "none.sock")}, 1, "", "vssgate serve"},
		"a phone without a key is an error with the way out":                {[]string{"phone", "list", "--key", filepath.Join(dir, "none.key")}, 1, "", "vssgate phone enrol"},
		"an authority that cannot be read is an error":                      {[]string{"try", "ldap", "--user", "an.nv", "--password", "x", "--ca", bad}, 1, "", "no certificate"},
		"a server that cannot be reached is an error":                       {[]string{"try", "ldap", "--user", "an.nv", "--password", "x", "--server", "ldap://127.0.0.1:1"}, 1, "BindRequest", "ldap://127.0.0.1:1"},
		"a password that is neither a flag nor on the input is an error":    {[]string{"try", "ldap", "--user", "an.nv"}, 1, "Password: ", "nothing to read"},
		"the configuration may be named after every command, used or not":   {[]string{"version", "--config", "/nowhere"}, 0, "vssgate dev", ""},
		"the configuration may be named before the command":                 {[]string{"--config", bad, "check"}, 1, "", bad + ":1:1: "},
		"help of a command is asked for with a flag":                        {[]string{"try", "radius", "--help"}, 0, "--station", ""},
		"help of a command is asked for with a command":                     {[]string{"help", "try", "radius"}, 0, "--station", ""},
		"help about a command that does not exist is wrong usage":           {[]string{"help", "frobnicate"}, 2, "", `"frobnicate"`},
		"help about a command of a group that does not exist is wrong too":  {[]string{"help", "account", "frobnicate"}, 2, "", `"account frobnicate"`},
		"a socket is found in a configuration with mistakes in other parts": {[]string{"account", "list", "--config", socketBeside(t, dir)}, 1, "", "beside.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			got := vssgate(t, "", c.args...)
			require.Equal(t, c.code, got.code, "%+v", got)
			holds(t, got.out, c.out)
			holds(t, got.errOut, c.errOut)
		})
	}
}

// socketBeside is a configuration that nobody could serve, with a socket.
func socketBeside(t *testing.T, dir string) string {
	file := filepath.Join(dir, "beside.yaml")
	require.NoError(t, os.WriteFile(file, []byte("admin: {socket: beside.sock}\nsecret_key_file: for-root-only.key\nfirst_factors: []\n"), 0o600))
	return file
}

func holds(t *testing.T, text, part string) {
	t.Helper()
	if part == "" {
		require.Empty(t, text)
		return
	}
	require.Contains(t, text, part)
}

// walk visits every command that people see.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
		return
	}
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	walk(rootCommand(), func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		t.Run(strings.Join(append(path, "--help"), " "), func(t *testing.T) {
			got := vssgate(t, "", append(path, "--help")...)
			require.Equal(t, exitOK, got.code)
			require.Empty(t, got.errOut)
			require.Contains(t, got.out, c.UseLine())
			require.NotEmpty(t, c.Short)
			require.Greater(t, len(c.Long)+len(c.Example), len(c.Short), "what the list of commands says already is no help")
			require.False(t, strings.HasSuffix(c.Short, "."), "short texts are no sentences")
			for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
				require.Regexp(t, `^ +(-\w, )?--[a-z-]+( \S+)?   *\S+ \S+`, line, "a flag is not explained")
			}
			for line := range strings.Lines(c.Long + "\n" + c.Example) {
				require.LessOrEqual(t, len([]rune(line)), 121, "too long for a terminal: %q", line)
			}
		})
	})
}

// The examples are calls that the program takes, as far as flags and arguments
// can tell.
func TestExamplesAreCallsThatTheProgramTakes(t *testing.T) {
	tried := 0
	walk(rootCommand(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			for _, call := range strings.Split(line, " && ") {
				args := words(call)
				if len(args) == 0 {
					continue
				}
				require.Equal(t, "vssgate", args[0], line)
				cmd, rest, err := rootCommand().Find(args[1:])
				require.NoError(t, err, line)
				require.NoError(t, cmd.ParseFlags(rest), line)
				require.NoError(t, cmd.ValidateRequiredFlags(), line)
				require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
				tried++
			}
		}
	})
	require.Greater(t, tried, 8)
}

// words are those of a line as a shell sees them, with double quotes only.
func words(line string) (all []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

func TestCommandsThatAreThere(t *testing.T) {
	var paths []string
	takesJSON := map[string]bool{}
	walk(rootCommand(), func(c *cobra.Command) {
		if c.HasSubCommands() {
			return
		}
		path := strings.TrimPrefix(c.CommandPath(), "vssgate ")
		paths = append(paths, path)
		takesJSON[path] = c.Flags().Lookup("json") != nil
		require.NotNil(t, c.InheritedFlags().Lookup("config"), "%s takes no --config", path)
	})
	require.ElementsMatch(t, []string{
		"demo", "serve", "init", "check", "doctor", "version", "store copy",
		"try radius", "try ldap",
		"account list", "account show", "account set", "account assign", "account unlock",
		"account remove", "account import", "account export", "account totp", "account recovery-codes", "account help-code",
		"audit export", "audit verify",
		"emergency on", "emergency off", "emergency status",
		"rollout report",
		"device add", "device list", "device revoke",
		"login list", "login show", "login follow",
		"nas list", "nas show", "nas forget",
		"phone enrol", "phone list", "phone approve", "phone deny", "phone watch",
	}, paths)
	for _, path := range paths {
		switch path {
		case "demo", "serve", "init", "check", "phone watch": // they neither list nor make a record
		default:
			require.True(t, takesJSON[path], "%s lists or makes something, and has no --json", path)
		}
	}
}

func TestVersion(t *testing.T) {
	got := vssgate(t, "", "version")
	require.Equal(t, exitOK, got.code)
	require.Regexp(t, `^vssgate \S+ \(commit \S+, go\S+\)\n$`, got.out)

	got = vssgate(t, "", "version", "--json")
	require.Equal(t, exitOK, got.code)
	var v map[string]string
	require.NoError(t, json.Unmarshal([]byte(got.out), &v))
	require.Equal(t, version, v["version"])
	require.NotEmpty(t, v["commit"])
	require.Regexp(t, `^go1\.`, v["go"])
}

// The id of a device is the thumbprint of its key and may begin with a dash.
func TestADeviceIDThatLooksLikeAFlagIsNone(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.sock")
	for _, id := range []string{"-crIo0aXL4xhVT2lVrtqX5RCeI0EIXyneMZJsRCSsiE", "--rIo0aXL4xhVT2lVrtqX5RCeI0EIXyneMZJsRCSsiE"} {
		for _, args := range [][]string{
			{"device", "revoke", id, "--socket", none, "--why", "lost"},
			{"device", "revoke", "--socket", none, id},
			{"--socket", none, "device", "revoke", "--", id},
		} {
			got := vssgate(t, "", args...)
			require.Equal(t, exitError, got.code, "%q: %s", args, got.errOut)
			require.Contains(t, got.errOut, "no daemon behind "+none)
		}
	}
	require.Equal(t, exitUsage, vssgate(t, "", "device", "revoke", "-crIo").code, "anything shorter is a flag")
}
