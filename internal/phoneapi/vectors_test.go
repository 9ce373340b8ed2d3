package phoneapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/vssid-vectors.json anew")

// vectors are what who builds a phone compares with, byte for byte.
type vectors struct {
	Note     string            `json:"note"`
	Key      map[string]string `json:"key"`
	DeviceID string            `json:"device_id"`
	Audience string            `json:"public_url"`
	Requests []vector          `json:"requests"`
}

// A vector is one signed request.
type vector struct {
	Name         string `json:"name"`
	Method       string `json:"method"`
	Target       string `json:"target"`
	Body         string `json:"body"`
	Header       string `json:"header"`
	Claims       string `json:"claims"`
	SigningInput string `json:"signing_input"`
	DER          string `json:"signature_der_base64"`
	Signature    string `json:"signature_r_s_base64url"`
	JWS          string `json:"jws"`
}

// vectorKey is everybody's: it is nobody's.
func vectorKey(t *testing.T) *ecdsa.PrivateKey {
	sum := sha256.Sum256([]byte("vssgate test vectors"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	require.NoError(t, err)
	return key
}

var vectorTime = time.Date(2026, 11, 25, 2, 0, 0, 250_000_000, time.UTC)

func makeVectors(t *testing.T) vectors {
	key := vectorKey(t)
	d := &device{f: &fixture{t: t}, key: key, id: idOf(t, key)}
	private, err := key.Bytes()
	require.NoError(t, err)
	v := vectors{
		Note:     "Signatures are by RFC 6979 so that they are the same each time; those of a phone differ each time and are as good. The key is public: never use it.",
		DeviceID: d.id, Audience: public, Key: map[string]string{"kty": "EC", "crv": "P-256", "d": b64(private)},
	}
	for name, value := range d.jwk() {
		v.Key[name] = value.(string)
	}
	for _, r := range []struct{ name, method, target, body string }{
		{"without a body", "GET", "/v1/logins", ""},
		{"with a query, as it is sent", "GET", "/v1/logins?wait=60&since=1x2y", ""},
		{"with a body", "POST", "/v1/logins/0102030405060708090a0b0c0d0e0f10/answer", `{"answer":"approve","number":"42"}`},
		{"with a body of Vietnamese", "PATCH", "/v1/device", `{"app_version":"1.6.8","push_token":"mã của máy"}`},
	} {
		v.Requests = append(v.Requests, d.vector(r.name, r.method, r.target, r.body))
	}
	return v
}

func (d *device) vector(name, method, target, body string) vector {
	t := d.f.t
	claims := `{"aud":"` + public + `","htm":"` + method + `","htu":"` + target + `","iat":1795572000.250000,"exp":1795572060.250000,"jti":"` + name + `"`
	if body != "" {
		sum := sha256.Sum256([]byte(body))
		claims += `,"bsh":"` + b64(sum[:]) + `"`
	}
	v := vector{Name: name, Method: method, Target: target, Body: body, Claims: claims + "}", Header: `{"alg":"ES256","kid":"` + d.id + `","typ":"JWT"}`}
	v.SigningInput = b64([]byte(v.Header)) + "." + b64([]byte(v.Claims))
	sum := sha256.Sum256([]byte(v.SigningInput))
	der, err := d.key.Sign(nil, sum[:], crypto.SHA256)
	require.NoError(t, err)
	v.DER = base64.StdEncoding.EncodeToString(der)
	v.Signature = b64(rawSignature(der))
	v.JWS = v.SigningInput + "." + v.Signature
	return v
}

// rawSignature turns what Android Keystore and Secure Enclave give, DER
// (SEQUENCE of two INTEGERs), into what a JWS has: r and s, 32 bytes each.
func rawSignature(der []byte) []byte {
	out := make([]byte, 64)
	rest := der[2:]
	for i := range 2 {
		n := int(rest[1])
		number := rest[2 : 2+n]
		rest = rest[2+n:]
		if n > 32 { // a zero that keeps it positive
			number = number[n-32:]
		}
		copy(out[32*(i+1)-len(number):], number)
	}
	return out
}

func TestTheVectorsHandedOverAreOurs(t *testing.T) {
	const file = "../../docs/vssid-vectors.json"
	var want strings.Builder
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(makeVectors(t)))
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want.String()), 0o644))
	}
	is, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want.String(), string(is), "docs/vssid-vectors.json is old: go test ./internal/phoneapi -run Vectors -update")
	require.Equal(t, int64(1795572000), vectorTime.Unix())

	for _, v := range makeVectors(t).Requests {
		s, err := parseSignature(v.JWS)
		require.NoError(t, err, v.Name)
		require.Equal(t, idOf(t, vectorKey(t)), s.device)
		c, err := s.by(&vectorKey(t).PublicKey)
		require.NoError(t, err, v.Name)
		for _, at := range []time.Duration{0, 100 * time.Second, -55 * time.Second} {
			require.NoError(t, c.check(signedFor{public, v.Method, v.Target, []byte(v.Body)}, vectorTime.Add(at)), v.Name)
		}
		require.ErrorIs(t, c.check(signedFor{public, v.Method, v.Target + "x", []byte(v.Body)}, vectorTime), errSignature)
		require.ErrorIs(t, c.check(signedFor{public, v.Method, v.Target, []byte(v.Body + " ")}, vectorTime), errSignature)
	}
}
