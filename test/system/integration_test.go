package system_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"vssgate/internal/secret"
	"vssgate/internal/testenv"
	"vssgate/radius"
)

// The page for the VssID team is a conversation with a node: its requests are
// sent in their order, and each answer must be the one that stands there.
func TestTheExamplesForVssIDAreTrue(t *testing.T) {
	r := newIntegrator(t)
	var talk []block
	for _, b := range blocks(t) {
		if b.page == "docs/vssid-integration.md" && b.language == "http" {
			talk = append(talk, b)
		}
	}
	require.NotEmpty(t, talk)
	require.Zero(t, len(talk)%2, "a request and its answer, in turn")
	for i := 0; i < len(talk); i += 2 {
		r.ask(talk[i])
		r.compare(talk[i+1])
	}
}

// An integrator does what the page says, with a phone of nothing but crypto.
type integrator struct {
	t     *testing.T
	node  *testenv.Node
	key   *ecdsa.PrivateKey
	id    string
	known map[string]string // what the names of the page stand for

	approved []byte // State of the login that the page has approved
	status   int
	answer   []byte
}

func newIntegrator(t *testing.T) *integrator {
	hash, err := argon2id.CreateHash("mật khẩu của An", &argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	require.NoError(t, err)
	dir, token := t.TempDir(), rand.Text()+rand.Text()
	users := fmt.Sprintf("- {username: an.nv, password_hash: %q, display_name: Nguyễn Văn An, bhxh_number: \"7912345678\"}\n", hash)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.yaml"), []byte(users), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600))
	node := testenv.StartNode(t, fmt.Sprintf(`
language: en
first_factors: [{name: local, file: %[1]s/users.yaml}]
vssid: {listen: "{{HTTP}}", public_url: "http://{{HTTP}}", backend_tokens: [{name: vssid, token_files: [%[1]s/token], addresses: [127.0.0.1], may: [devices, show, answer]}]}
radius:
  listen: ["127.0.0.1:0"]
  clients: [{name: hq-vpn, addresses: [127.0.0.1], secret: sixteen-letters-}]
`, dir))
	r := &integrator{t: t, node: node, known: map[string]string{"TOKEN": token, "PUSH_TOKEN": "a token of FCM"}}
	var public string
	r.key, r.id, public = newKey(t)
	_, _, other := newKey(t)
	r.known["PUBLIC_KEY"], r.known["OTHER_PUBLIC_KEY"], r.known["DEVICE_ID"] = public, other, r.id
	stdout, stderr, code := node.Run("device", "add", "--account", "an.nv", "--json")
	require.Zero(t, code, stderr)
	var added struct {
		Code string `json:"activation_code"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &added))
	r.known["ACTIVATION_CODE"] = added.Code
	return r
}

// newKey makes a key as the page says: its thumbprint and its JWK.
func newKey(t *testing.T) (key *ecdsa.PrivateKey, id, jwk string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	x, y := url64(point[1:33]), url64(point[33:])
	jwk = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, x, y)
	sum := sha256.Sum256([]byte(jwk))
	return key, url64(sum[:]), jwk
}

func url64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

var named = regexp.MustCompile(`<([A-Z_]+)>`)

// ask sends the request of a block. Before it asks for logins somebody logs in.
func (r *integrator) ask(b block) {
	head, body, _ := strings.Cut(b.text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	if strings.Contains(lines[0], "/logins?") {
		r.login()
	}
	fill := func(s string) string {
		return named.ReplaceAllStringFunc(s, func(name string) string {
			value, ok := r.known[strings.Trim(name, "<>")]
			require.True(r.t, ok, "%s: nothing said what %s is", b, name)
			return value
		})
	}
	method, target, _ := strings.Cut(fill(lines[0]), " ")
	body = fill(strings.TrimSpace(body))
	r.known["JWS"] = r.sign(method, target, body)
	require.Len(r.t, lines, 2, "%s", b)
	_, authorization, _ := strings.Cut(fill(lines[1]), ": ")
	q, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.node.Phones+target, strings.NewReader(body))
	require.NoError(r.t, err)
	q.Header.Set("Authorization", authorization)
	q.Header.Set("Accept-Language", "en")
	got, err := http.DefaultClient.Do(q)
	require.NoError(r.t, err)
	defer got.Body.Close()
	r.status = got.StatusCode
	r.answer, err = io.ReadAll(got.Body)
	require.NoError(r.t, err)
}

func (r *integrator) sign(method, target, body string) string {
	now := float64(time.Now().UnixMicro()) / 1e6
	claims := map[string]any{"aud": "http://" + r.node.Phones, "htm": method, "htu": target, "iat": now, "exp": now + 60, "jti": rand.Text()}
	if body != "" {
		sum := sha256.Sum256([]byte(body))
		claims["bsh"] = url64(sum[:])
	}
	payload, err := json.Marshal(claims)
	require.NoError(r.t, err)
	input := url64(fmt.Appendf(nil, `{"alg":"ES256","kid":%q,"typ":"JWT"}`, r.id)) + "." + url64(payload)
	sum := sha256.Sum256([]byte(input))
	x, y, err := ecdsa.Sign(rand.Reader, r.key, sum[:])
	require.NoError(r.t, err)
	return input + "." + url64(append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...))
}

// login logs in at the NAS up to the challenge, and reads the number there.
func (r *integrator) login() {
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	nas, err := radius.Dial(r.node.RADIUS[0], secret.Secret("sixteen-letters-"))
	require.NoError(r.t, err)
	defer nas.Close()
	for _, name := range []string{"LOGIN", "CODE", "VERSION", "CREATED"} {
		delete(r.known, name)
	}
	q := radius.Question{Username: "an.nv", Password: []byte("ok"), NAS: "nas", Station: "203.0.113.7", State: r.approved}
	if r.approved != nil { // as the page says: press OK
		in, err := nas.Ask(ctx, q)
		require.NoError(r.t, err)
		require.Equal(r.t, radius.Accept, in.Code, in.Text)
	}
	q.Password, q.State = []byte("mật khẩu của An"), nil
	asked, err := nas.Ask(ctx, q)
	require.NoError(r.t, err)
	r.approved = asked.State
	require.Equal(r.t, radius.Challenge, asked.Code, asked.Text)
	number := regexp.MustCompile(`\b(\d\d)\b`).FindStringSubmatch(asked.Text)
	require.NotNil(r.t, number, asked.Text)
	r.known["NUMBER"] = number[1]
}

// compare wants the answer that the block shows. A name that is new there is
// known from then on.
func (r *integrator) compare(b block) {
	status, body, _ := strings.Cut(b.text, "\n\n")
	want, err := strconv.Atoi(strings.TrimSpace(status))
	require.NoError(r.t, err, "%s", b)
	require.Equal(r.t, want, r.status, "%s: %s", b, r.answer)
	var shown, is any
	require.NoError(r.t, json.Unmarshal([]byte(body), &shown), "%s", b)
	require.NoError(r.t, json.NewDecoder(bytes.NewReader(r.answer)).Decode(&is))
	r.same(b, shown, is)
}

func (r *integrator) same(b block, shown, is any) {
	switch shown := shown.(type) {
	case map[string]any:
		of, ok := is.(map[string]any)
		require.True(r.t, ok && len(of) == len(shown), "%s: %s", b, r.answer)
		for name, value := range shown {
			require.Contains(r.t, of, name, "%s", b)
			r.same(b, value, of[name])
		}
	case []any:
		of, ok := is.([]any)
		require.True(r.t, ok && len(of) == len(shown), "%s: %s", b, r.answer)
		for i, value := range shown {
			r.same(b, value, of[i])
		}
	case float64:
		require.IsType(r.t, 0.0, is, "%s", b)
	case string:
		name := named.FindStringSubmatch(shown)
		if name == nil {
			require.Equal(r.t, shown, is, "%s", b)
			return
		}
		before, known := r.known[name[1]]
		if known && name[1] != "TIME" {
			require.Equal(r.t, before, is, "%s: %s", b, name[0])
		}
		r.known[name[1]], _ = is.(string)
	default:
		require.Equal(r.t, shown, is, "%s", b)
	}
}
