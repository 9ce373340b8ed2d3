package phoneapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unix is a NumericDate of now plus an offset.
func unix(offset time.Duration) float64 {
	return float64(time.Now().Add(offset).UnixMicro()) / 1e6
}

func TestASignedRequestIsRefusedWhen(t *testing.T) {
	f := newFixture(t)
	d, other := f.enrolled(), f.newDevice()
	claim := func(name string, value any) func(h, c map[string]any) {
		return func(_, c map[string]any) { c[name] = value }
	}
	cases := []struct {
		name   string
		change func(header, claims map[string]any)
		want   string
	}{
		{"aud is another server", claim("aud", "https://other.example.vn"), "bad_signature"},
		{"aud is a list", claim("aud", []string{public}), "bad_signature"},
		{"aud is missing", func(_, c map[string]any) { delete(c, "aud") }, "bad_signature"},
		{"htm is another method", claim("htm", "DELETE"), "bad_signature"},
		{"htm is in small letters", claim("htm", "get"), "bad_signature"},
		{"htm is missing", func(_, c map[string]any) { delete(c, "htm") }, "bad_signature"},
		{"htu is another path", claim("htu", "/v1/logins"), "bad_signature"},
		{"htu has another query", claim("htu", "/v1/device?a=2"), "bad_signature"},
		{"htu lacks the query", claim("htu", "/v1/device"), "bad_signature"},
		{"htu is absolute", claim("htu", public+"/v1/device?a=1"), "bad_signature"},
		{"htu is missing", func(_, c map[string]any) { delete(c, "htu") }, "bad_signature"},
		{"iat is missing", func(_, c map[string]any) { delete(c, "iat") }, "bad_signature"},
		{"iat is a text", claim("iat", "now"), "bad_signature"},
		{"iat is negative", claim("iat", -1), "bad_signature"},
		{"exp is missing", func(_, c map[string]any) { delete(c, "exp") }, "bad_signature"},
		{"exp is beyond all time", claim("exp", 1e300), "bad_signature"},
		{"exp is before iat", claim("exp", unix(-time.Second)), "bad_signature"},
		{"exp is more than a minute after iat", claim("exp", unix(62*time.Second)), "bad_signature"},
		{"jti is missing", func(_, c map[string]any) { delete(c, "jti") }, "bad_signature"},
		{"jti is very long", claim("jti", strings.Repeat("j", maxJTI+1)), "bad_signature"},
		{"bsh is there without a body, and wrong", claim("bsh", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV"), "bad_signature"},
		{"it expired more than a minute ago", func(_, c map[string]any) {
			c["iat"], c["exp"] = unix(-121*time.Second), unix(-62*time.Second)
		}, "clock"},
		{"it is from more than a minute ahead", func(_, c map[string]any) {
			c["iat"], c["exp"] = unix(62*time.Second), unix(120*time.Second)
		}, "clock"},
		{"alg is none", func(h, _ map[string]any) { h["alg"] = "none" }, "bad_signature"},
		{"alg is HS256", func(h, _ map[string]any) { h["alg"] = "HS256" }, "bad_signature"},
		{"alg is ES384", func(h, _ map[string]any) { h["alg"] = "ES384" }, "bad_signature"},
		{"alg is missing", func(h, _ map[string]any) { delete(h, "alg") }, "bad_signature"},
		{"typ is missing", func(h, _ map[string]any) { delete(h, "typ") }, "bad_signature"},
		{"typ is another", func(h, _ map[string]any) { h["typ"] = "dpop+jwt" }, "bad_signature"},
		{"kid is missing", func(h, _ map[string]any) { delete(h, "kid") }, "bad_signature"},
		{"kid is a device that nobody enrolled", func(h, _ map[string]any) { h["kid"] = other.id }, "unknown_device"},
		{"kid is no thumbprint", func(h, _ map[string]any) { h["kid"] = "../accounts" }, "unknown_device"},
		{"the header names where to find a key", func(h, _ map[string]any) { h["x5u"] = "https://thief.example" }, "bad_signature"},
		{"the header brings a key along", func(h, _ map[string]any) { h["jwk"] = d.jwk() }, "bad_signature"},
		{"the header has something critical", func(h, _ map[string]any) { h["crit"] = []string{"b64"}; h["b64"] = true }, "bad_signature"},
	}
	const target = "/v1/device?a=1"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			header, claims := d.header(), d.claims("GET", target, nil)
			c.change(header, claims)
			got := f.send("GET", target, d.sign(header, claims), nil)
			require.Equal(t, http.StatusUnauthorized, got.status)
			require.Equal(t, c.want, got.code())
			if c.want == "clock" {
				at, err := time.Parse(time.RFC3339, got.body["server_time"].(string))
				require.NoError(t, err)
				require.WithinDuration(t, time.Now(), at, time.Minute)
			}
		})
	}
	got := f.send("GET", target, d.sign(d.header(), d.claims("GET", target, nil)), nil)
	require.Equal(t, 200, got.status, "unchanged it is accepted")
}

func TestWhatAnHonestPhoneMaySign(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	whole := func(offset time.Duration) int64 { return time.Now().Add(offset).Unix() }
	for name, change := range map[string]func(c map[string]any){
		"whole seconds":                  func(c map[string]any) { c["iat"], c["exp"] = whole(0), whole(30*time.Second) },
		"a clock 50 seconds slow":        func(c map[string]any) { c["iat"], c["exp"] = unix(-50*time.Second), unix(-time.Second) },
		"a clock 50 seconds fast":        func(c map[string]any) { c["iat"], c["exp"] = unix(50*time.Second), unix(100*time.Second) },
		"the hash of an empty body":      func(c map[string]any) { s := sha256.Sum256(nil); c["bsh"] = b64(s[:]) },
		"claims that nobody asked about": func(c map[string]any) { c["iss"], c["nbf"] = "VssID", whole(0) },
	} {
		t.Run(name, func(t *testing.T) {
			claims := d.claims("GET", "/v1/device", nil)
			change(claims)
			require.Equal(t, 200, f.send("GET", "/v1/device", d.sign(d.header(), claims), nil).status)
		})
	}
}

func TestATokenThatIsNotTheDevices(t *testing.T) {
	f := newFixture(t)
	d, thief := f.enrolled(), f.newDevice()
	claims := d.claims("GET", "/v1/device", nil)
	token := d.sign(d.header(), claims)
	parts := strings.Split(token, ".")
	hs := hmac.New(sha256.New, f.publicKeyBytes(d))
	h, _ := json.Marshal(map[string]any{"alg": "HS256", "kid": d.id, "typ": "JWT"})
	hs.Write([]byte(b64(h) + "." + parts[1]))
	none, _ := json.Marshal(map[string]any{"alg": "none", "kid": d.id, "typ": "JWT"})
	twice := strings.Replace(string(mustJSON(claims)), `{`, `{"htm":"DELETE",`, 1)
	for name, forged := range map[string]string{
		"signed by another key":             thief.sign(d.header(), claims),
		"signature of another request":      parts[0] + "." + parts[1] + "." + strings.Split(d.sign(d.header(), d.claims("GET", "/v1/logins", nil)), ".")[2],
		"no signature":                      parts[0] + "." + parts[1] + ".",
		"alg none, no signature":            b64(none) + "." + parts[1] + ".",
		"HMAC with the public key":          b64(h) + "." + parts[1] + "." + b64(hs.Sum(nil)),
		"zeros for a signature":             parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)),
		"DER signature":                     parts[0] + "." + parts[1] + "." + b64(append([]byte{0x30, 0x45}, make([]byte, 69)...)),
		"two parts":                         parts[0] + "." + parts[1],
		"four parts":                        token + "." + parts[2],
		"padded":                            token + "==",
		"JSON serialisation":                `{"payload":"` + parts[1] + `"}`,
		"empty":                             "",
		"very long":                         token + strings.Repeat("A", maxToken),
		"a claim given twice":               d.signRaw(mustJSON(d.header()), []byte(twice)),
		"another spelling of the signature": respelt(token),
	} {
		t.Run(name, func(t *testing.T) {
			got := f.send("GET", "/v1/device", forged, nil)
			require.Equal(t, 401, got.status)
			require.Equal(t, "bad_signature", got.code())
		})
	}
	t.Run("sent under another scheme", func(t *testing.T) {
		got := f.send("GET", "/v1/device", "", nil, "Authorization", "Basic "+token)
		require.Equal(t, "bad_signature", got.code())
	})
	t.Run("sent twice in one request", func(t *testing.T) {
		r, err := http.NewRequest("GET", f.server.URL+"/v1/device", nil)
		require.NoError(t, err)
		r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
		require.Equal(t, "bad_signature", f.do(r).code())
	})
	require.Equal(t, 200, f.send("GET", "/v1/device", token, nil).status, "untouched it is accepted")
}

// respelt sets a spare bit of the last letter, which decodes to the same bytes
// when nobody looks.
func respelt(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func (f *fixture) publicKeyBytes(d *device) []byte {
	raw, err := d.key.PublicKey.Bytes()
	require.NoError(f.t, err)
	return raw
}

func TestABodyIsSigned(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	body, other := []byte(`{"signed_in":false}`), []byte(`{"signed_in":true}`)
	token := d.sign(d.header(), d.claims("PATCH", "/v1/device", body))
	require.Equal(t, "bad_signature", f.send("PATCH", "/v1/device", token, other).code(), "another body")
	unsigned := d.claims("PATCH", "/v1/device", nil)
	require.Equal(t, "bad_signature", f.send("PATCH", "/v1/device", d.sign(d.header(), unsigned), body).code(), "no bsh")
	require.Equal(t, "bad_signature", f.send("PATCH", "/v1/device", token, nil).code(), "no body")
	require.Equal(t, 200, f.send("PATCH", "/v1/device", token, body).status)
}

func TestASignedRequestWorksOnce(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	claims := d.claims("GET", "/v1/device", nil)
	token := d.sign(d.header(), claims)
	require.Equal(t, 200, f.send("GET", "/v1/device", token, nil).status)
	require.Equal(t, "replayed", f.send("GET", "/v1/device", token, nil).code())
	require.Equal(t, "replayed", f.send("GET", "/v1/device", d.sign(d.header(), claims), nil).code(), "signed anew with the same jti")
	other := f.enrolled()
	theirs := other.claims("GET", "/v1/device", nil)
	theirs["jti"] = claims["jti"]
	require.Equal(t, 200, f.send("GET", "/v1/device", other.sign(other.header(), theirs), nil).status, "another device may use the same jti")
}

func TestARequestFromBeforeTheStoresMemoryIsTakenForReplayed(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	token := d.sign(d.header(), d.claims("GET", "/v1/device", nil))
	f.store.mu.Lock()
	f.store.since = time.Now()
	f.store.mu.Unlock()
	require.Equal(t, "replayed", f.send("GET", "/v1/device", token, nil).code())
	require.Equal(t, 200, d.call("GET", "/v1/device", nil).status)
}

func TestHTUIsRelativeToThePathOfPublicURL(t *testing.T) {
	f := newFixtureAt(t, public+"/vss")
	d := f.enrolled() // as if a proxy had taken the path off
	token := func(htu string) string { return d.sign(d.header(), d.claims("GET", htu, nil)) }
	require.Equal(t, 200, f.send("GET", "/v1/device", token("/v1/device"), nil).status)
	require.Equal(t, 200, f.send("GET", "/vss/v1/device", token("/v1/device"), nil).status)
	require.Equal(t, 401, f.send("GET", "/vss/v1/device", token("/vss/v1/device"), nil).status)
	require.Equal(t, 404, f.send("GET", "/vssv1/device", token("/v1/device"), nil).status)
}

func TestKeysHaveOneSpelling(t *testing.T) {
	f := newFixture(t)
	d := f.newDevice()
	good := d.jwk()
	x := good["x"].(string)
	for name, change := range map[string]map[string]any{
		"another curve":            {"crv": "P-384"},
		"another type":             {"kty": "RSA"},
		"not on the curve":         {"x": good["y"]},
		"padded":                   {"x": x + "="},
		"spare bits set":           {"x": respelt(x)},
		"too short":                {"x": x[:42]},
		"a private key":            {"d": x},
		"y missing":                {"y": ""},
		"another alphabet":         {"x": "+" + x[1:]},
		"the point at infinity":    {"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
		"a coordinate above prime": {"x": b64([]byte(strings.Repeat("\xff", 32)))},
	} {
		t.Run(name, func(t *testing.T) {
			jwk := maps.Clone(good)
			maps.Copy(jwk, change)
			got := d.call("POST", "/v1/devices", d.enrolment(f.activation(), map[string]any{"public_key": jwk}))
			require.Equal(t, 422, got.status)
		})
	}
	good["alg"], good["use"], good["key_ops"], good["ext"] = "ES256", "sig", []string{"verify"}, true
	got := d.call("POST", "/v1/devices", d.enrolment(f.activation(), map[string]any{"public_key": good}))
	require.Equal(t, 201, got.status, "what browsers add does no harm: %s", got.raw)
}

func FuzzSignatures(f *testing.F) {
	fx := newFixture(f)
	d := fx.newDevice()
	claims := d.claims("GET", "/v1/device", nil)
	token := d.sign(d.header(), claims)
	f.Add(token, uint(3))
	f.Add(d.signRaw([]byte(`{"alg":"none"}`), []byte(`{}`)), uint(0))
	f.Add("..", uint(1))
	f.Add("a.b.c", uint(9))
	f.Fuzz(func(t *testing.T, wild string, bit uint) {
		if s, err := parseSignature(wild); err == nil && wild != token {
			_, err := s.by(&d.key.PublicKey)
			require.ErrorIs(t, err, errSignature, "nobody signed this")
		}
		flipped := []byte(token)
		bit %= uint(len(flipped) * 8)
		flipped[bit/8] ^= 1 << (bit % 8)
		s, err := parseSignature(string(flipped))
		if err == nil {
			_, err = s.by(&d.key.PublicKey)
		}
		require.ErrorIs(t, err, errSignature, "one bit was changed")
	})
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	f := newFixture(t)
	d := f.newDevice()
	token := d.sign(d.header(), d.claims("GET", "/v1/device", nil))
	for bit := range len(token) * 8 {
		flipped := []byte(token)
		flipped[bit/8] ^= 1 << (bit % 8)
		s, err := parseSignature(string(flipped))
		if err == nil {
			_, err = s.by(&d.key.PublicKey)
		}
		require.ErrorIs(t, err, errSignature, "bit %d", bit)
	}
}

func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	d := f.newDevice()
	token := d.sign(d.header(), d.claims("GET", "/v1/device", nil))
	point := f.publicKeyBytes(d)
	want := signedFor{public, "GET", "/v1/device", nil}
	now := time.Now()
	for b.Loop() {
		s, err := parseSignature(token)
		if err != nil {
			b.Fatal(err)
		}
		key, err := parsePoint(point)
		if err != nil {
			b.Fatal(err)
		}
		c, err := s.by(key)
		if err != nil || c.check(want, now) != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
}
