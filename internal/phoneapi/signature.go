package phoneapi

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // case-sensitive, refuses a name given twice
)

// What a signed request may be at most.
const (
	maxToken = 4096
	maxJTI   = 128
	maxLife  = 60 * time.Second // exp - iat
	maxSkew  = 60 * time.Second // between the phone's clock and the store's
)

// Why a signature does not count.
var (
	errSignature = errors.New("not signed by the device, or not for this request")
	errClock     = errors.New("issued too long ago, or in the future")
)

// A signature is a parsed compact JWS (RFC 7515). Nothing in it is believed
// until by was true.
type signature struct {
	device string // kid
	token  string
	jws    *jose.JSONWebSignature
}

// claims are what a device signs.
type claims struct {
	Audience string  `json:"aud"`
	Method   string  `json:"htm"`
	Target   string  `json:"htu"`
	Issued   float64 `json:"iat"` // NumericDate (RFC 7519 section 2): a fraction is allowed
	Expires  float64 `json:"exp"`
	ID       string  `json:"jti"`
	Body     string  `json:"bsh"`
}

// signedFor is the request that a signature must be for.
type signedFor struct {
	audience string
	method   string
	target   string
	body     []byte
}

// parseSignature reads the form of a token and believes nothing.
func parseSignature(token string) (signature, error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 || !canonical(parts) {
		return signature{}, errSignature
	}
	device, err := parseHeader(parts[0])
	if err != nil {
		return signature{}, errSignature
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(jws.Signatures) != 1 {
		return signature{}, errSignature
	}
	return signature{device: device, token: token, jws: jws}, nil
}

// canonical: each part has only one spelling, so that a token cannot be
// changed without changing what it says (base64url without padding, line
// breaks or spare bits: RFC 7515 section 2, RFC 4648 section 3.5).
func canonical(parts []string) bool {
	for _, part := range parts {
		if part == "" || strings.ContainsAny(part, "\r\n") {
			return false
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return false
		}
	}
	return true
}

// parseHeader returns kid. Any member besides alg, kid and typ is refused:
// none of them (jwk, x5c, crit, b64) may have a say in how a token is verified.
func parseHeader(part string) (kid string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return "", err
	}
	var h map[string]string
	if err := json.Unmarshal(raw, &h); err != nil {
		return "", err
	}
	if len(h) != 3 || h["alg"] != string(jose.ES256) || h["typ"] != "JWT" || h["kid"] == "" {
		return "", errSignature
	}
	return h["kid"], nil
}

// by tells whether the holder of key signed it, and what.
func (s signature) by(key *ecdsa.PublicKey) (c claims, err error) {
	payload, err := s.jws.Verify(key)
	if err != nil {
		return c, errSignature
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, errSignature
	}
	return c, nil
}

// check tells whether the claims are for this request, now. Times that no
// honest phone signs are errSignature; a clock that is off is errClock.
func (c claims) check(r signedFor, now time.Time) error {
	switch {
	case c.Audience != r.audience:
		return fmt.Errorf("%w: aud is %.200q, vssid.public_url is %q", errSignature, c.Audience, r.audience)
	case c.Method != r.method || c.Target != r.target:
		return fmt.Errorf("%w: htm and htu are %.20q %.200q, the request is %s %q", errSignature, c.Method, c.Target, r.method, r.target)
	case !c.hashes(r.body):
		return fmt.Errorf("%w: bsh is not the hash of the body", errSignature)
	case c.ID == "" || len(c.ID) > maxJTI:
		return fmt.Errorf("%w: jti is missing or too long", errSignature)
	case !sane(c.Issued) || !sane(c.Expires) || c.Expires <= c.Issued:
		return fmt.Errorf("%w: iat and exp are no times, or in the wrong order", errSignature)
	case c.Expires-c.Issued > maxLife.Seconds():
		return fmt.Errorf("%w: exp is more than %v after iat", errSignature, maxLife)
	case !now.Before(c.until()) || c.issued().After(now.Add(maxSkew)):
		return errClock
	}
	return nil
}

// hashes: bsh is the body's hash; without a body it may be left out.
func (c claims) hashes(body []byte) bool {
	if len(body) == 0 && c.Body == "" {
		return true
	}
	sum := sha256.Sum256(body)
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(want), []byte(c.Body)) == 1
}

// sane keeps the arithmetic of times within bounds: up to the year 5138.
func sane(numericDate float64) bool {
	return !math.IsNaN(numericDate) && numericDate > 0 && numericDate < 1e11
}

func (c claims) issued() time.Time { return instant(c.Issued) }

// until is when the claims stop counting whatever the phone's clock says: for
// so long must the jti be remembered.
func (c claims) until() time.Time { return instant(c.Expires).Add(maxSkew) }

func instant(numericDate float64) time.Time {
	return time.UnixMicro(int64(math.Round(numericDate * 1e6)))
}

// bearer is the token of an Authorization header, "" when there is not exactly
// one.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
