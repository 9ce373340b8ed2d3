package system_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/otp"
	"vssgate/test/site"
)

// A block is fenced text of a page.
type block struct {
	page     string
	line     int // of its first line
	language string
	text     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// root is the project's.
const root = "../.."

// pages returns what readers read, by path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	read := map[string]string{}
	for _, file := range append(files, root+"/README.md") {
		read[strings.TrimPrefix(file, root+"/")] = readFile(t, file)
	}
	return read
}

func blocks(t *testing.T) (found []block) {
	t.Helper()
	for page, text := range pages(t) {
		var open *block
		for i, line := range strings.Split(text, "\n") {
			fence, language, _ := strings.Cut(strings.TrimSpace(line), "```")
			switch {
			case fence != "" || !strings.Contains(line, "```"):
				if open != nil {
					open.text += line + "\n"
				}
			case open == nil:
				open = &block{page: page, line: i + 2, language: language}
			default:
				found = append(found, *open)
				open = nil
			}
		}
		require.Nil(t, open, "%s has a fence without end", page)
	}
	require.NotEmpty(t, found)
	return found
}

// commands are the lines of a block that a reader types.
func (b block) commands() (found []string) {
	for _, line := range strings.Split(b.text, "\n") {
		line = strings.TrimSpace(line)
		typed := b.language == "sh" || b.language == "" && regexp.MustCompile(`^(\./bin/)?(vssgate|make) `).MatchString(line)
		if typed && line != "" && !strings.HasPrefix(line, "#") {
			found = append(found, line)
		}
	}
	return found
}

// reader types what the pages say, with a site of its own in the place of what
// stands there as an example.
type reader struct {
	t          *testing.T
	site       *site.Site
	path       string // where vssgate is found
	dir        string
	activation string // the code that was printed last
}

func newReader(t *testing.T) *reader {
	r := &reader{t: t, path: t.TempDir(), dir: t.TempDir()}
	require.NoError(t, os.Symlink(testenv.Binary(t), r.path+"/vssgate"))
	r.site = site.Start(t, site.Options{Directory: testenv.SlapdOptions{
		LDIF: strings.Replace(entry("an.nv", "mật khẩu", "0"), "employeeNumber: 0\n", "", 1)}})
	return r
}

// types runs a line in a shell; it must succeed.
func (r *reader) types(line string) {
	r.t.Helper()
	if target, ok := strings.CutPrefix(line, "make "); ok {
		line = "make -n -C " + r.top() + " " + target // what it runs is tested elsewhere: the demo, these tests, the build
	}
	line = strings.NewReplacer("./bin/vssgate", "vssgate", "/tmp/vssgate", r.dir+"/etc", "http://127.0.0.1:8080", "http://"+r.site.Phones,
		"http://127.0.0.1:9290", "http://"+r.site.Metrics, " CODE", " "+r.activation, `"CODE"`, strconv.Quote(r.activation)).Replace(line)
	if strings.HasPrefix(line, "docs/") {
		line = r.top() + "/" + line
	}
	if regexp.MustCompile(`^vssgate (login|account|device|nas|doctor|emergency)\b`).MatchString(line) {
		line += " --config " + r.site.Config
	}
	require.Regexp(r.t, `^(vssgate|make -n|curl|/.*/docs/vssid-phone.sh) `, line, "no test runs this command")
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*site.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader("q\n") // ends what answers by key press
	cmd.Env = append(os.Environ(), "PATH="+r.path+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s\n%s", line, out)
	if m := regexp.MustCompile(`activation code +(\S+)`).FindSubmatch(out); m != nil {
		r.activation = string(m[1])
	}
}

func (r *reader) top() string {
	top, err := filepath.Abs(root)
	require.NoError(r.t, err)
	return top
}

func TestEveryCommandOfThePagesRuns(t *testing.T) {
	r := newReader(t)
	ran := 0
	for _, b := range blocks(t) {
		for _, line := range b.commands() {
			t.Run(b.String()+" "+line, func(t *testing.T) { r.types(line) })
			ran++
		}
	}
	require.GreaterOrEqual(t, ran, 10)
}

// Commands within a sentence have placeholders: they must be there, with every
// flag that is named.
func TestEveryCommandInASentenceIsThere(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile("`(vssgate [^`]+)`").FindAllStringSubmatch(text, -1) {
			if m[1] == "vssgate ready" { // what the log says
				continue
			}
			t.Run(page+" "+m[1], func(t *testing.T) {
				var words []string
				for _, w := range strings.Fields(m[1])[1:] {
					if strings.HasPrefix(w, "-") || !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
						break
					}
					words = append(words, w)
				}
				help, stderr, code := vssgate(t, append(words, "--help")...)
				require.Zero(t, code, stderr)
				require.Contains(t, help, "vssgate "+strings.Join(words, " "))
				for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[1], -1) {
					require.Contains(t, help, flag+" ")
				}
			})
		}
	}
}

// Keys that a configuration cannot do without; a page may show but a part.
var usual = map[string]string{
	"secret_key_file": "secret_key_file: secret.key\n",
	"first_factors":   "first_factors: [{name: local, file: users.yaml}]\n",
	"radius":          "radius: {clients: [{name: usual, addresses: [192.0.2.99], secret_file: usual.secret}]}\n",
}

// usualBehindLDAP: applications need a directory behind them.
const usualBehindLDAP = "first_factors: [{name: directory, ldap: {urls: [ldaps://dc1.example.vn], bind_dn: cn=vssgate, bind_password_file: ldap.password, base_dns: [ou=people]}}]\n"

func TestEveryConfigurationOfThePagesLoads(t *testing.T) {
	ca := testenv.CA(t)
	loaded := 0
	for _, b := range blocks(t) {
		if b.language != "yaml" {
			continue
		}
		loaded++
		t.Run(b.String(), func(t *testing.T) {
			dir, text := t.TempDir(), b.text
			for key, line := range usual {
				if key == "first_factors" && regexp.MustCompile(`(?m)^ldap:`).MatchString(text) {
					line = usualBehindLDAP
				}
				if !regexp.MustCompile(`(?m)^` + key + `:`).MatchString(text) {
					text += line
				}
			}
			require.NoError(t, os.WriteFile(dir+"/vssgate.yaml", []byte(text), 0o600))
			for _, m := range regexp.MustCompile(`\b(\w*file): "?([^\s,}"]+)`).FindAllStringSubmatch(text, -1) {
				require.False(t, filepath.IsAbs(m[2]), "%s: an example that can be tried names files beside it", m[2])
				require.NoError(t, os.WriteFile(filepath.Join(dir, m[2]), exampleFile(t, ca, m[1]), 0o600))
			}
			for _, m := range regexp.MustCompile(`token_files: \[([^],]+)`).FindAllStringSubmatch(text, -1) {
				require.NoError(t, os.WriteFile(filepath.Join(dir, m[1]), []byte(strings.Repeat("t", 44)), 0o600))
			}
			stdout, stderr, code := vssgate(t, "check", "--config", dir+"/vssgate.yaml")
			require.Zero(t, code, "%s%s\n%s", stdout, stderr, text)
		})
	}
	require.NotZero(t, loaded)
}

// exampleFile is what a file named under that key may have in it.
func exampleFile(t *testing.T, ca *testenv.Authority, key string) []byte {
	t.Helper()
	switch key {
	case "secret_key_file":
		return []byte(otp.NewKeyLine())
	case "ca_file":
		return []byte(readFile(t, ca.CAFile))
	case "cert_file":
		return []byte(readFile(t, ca.CertFile))
	case "key_file":
		return []byte(readFile(t, ca.KeyFile))
	case "previous_secret_file":
		return []byte("a-secret-of-an-example-before\n")
	case "credentials_file":
		return []byte(`{"type": "service_account", "project_id": "vssid", "client_email": "push@vssid", "private_key": "a key"}`)
	case "file":
		return []byte("[]\n")
	}
	return []byte("a-secret-of-an-example\n")
}

// What a page points to is there.
func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			_, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1]))
			require.NoError(t, err, page)
		}
	}
}

// Every test that the pages of attacks and of cases name is there, in the folder
// they name.
func TestTheTestsThatPagesNameAreThere(t *testing.T) {
	for _, page := range []string{"docs/security.md", "docs/ldap-cases.md"} {
		text, found := pages(t)[page], 0
		for _, in := range regexp.MustCompile("`([a-z/]+)`: ((?:(?:Test|Fuzz|Benchmark)\\w+(?: \\([^)]*\\))?(?:, )?)+)").FindAllStringSubmatch(text, -1) {
			files, err := filepath.Glob(filepath.Join(root, in[1], "*_test.go"))
			require.NoError(t, err)
			var there strings.Builder
			for _, file := range files {
				there.WriteString(readFile(t, file))
			}
			for _, name := range regexp.MustCompile(`(?:Test|Fuzz|Benchmark)\w+`).FindAllString(in[2], -1) {
				require.Contains(t, there.String(), "func "+name+"(", in[1])
				found++
			}
		}
		require.Equal(t, len(regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(text, -1)), found, "%s: each stands behind its folder", page)
	}
}
