package fakefcm

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Scope is the only one that sending needs, so the only one to ask for.
const Scope = "https://www.googleapis.com/auth/firebase.messaging"

const (
	grantType     = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 section 2.1
	tokenLifetime = 3599 * time.Second
	maxAssertion  = time.Hour
	clockSkew     = time.Minute
)

// token issues a bearer for an assertion of the service account.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if fault := s.nextTokenFault(); fault != nil {
		fault(w)
		return
	}
	if err := s.checkGrant(r); err != nil {
		s.note("token refused: " + err.Error())
		oauthError(w, http.StatusBadRequest, "invalid_grant", err.Error())
		return
	}
	bearer := "ya29." + rand.Text()
	s.mu.Lock()
	s.bearers[bearer] = time.Now().Add(tokenLifetime)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": bearer, "token_type": "Bearer", "expires_in": int(tokenLifetime / time.Second),
	})
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

func (s *Server) checkGrant(r *http.Request) error {
	if r.Method != http.MethodPost {
		return fmt.Errorf("method %s, want POST", r.Method)
	}
	if err := r.ParseForm(); err != nil {
		return err
	}
	if len(r.PostForm) != 2 || len(r.PostForm["grant_type"]) != 1 || len(r.PostForm["assertion"]) != 1 {
		return fmt.Errorf("want exactly grant_type and assertion")
	}
	if got := r.PostForm.Get("grant_type"); got != grantType {
		return fmt.Errorf("grant_type %q", got)
	}
	return s.checkAssertion(r.PostForm.Get("assertion"))
}

type assertionClaims struct {
	Issuer   string `json:"iss"`
	Scope    string `json:"scope"`
	Audience string `json:"aud"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

func (s *Server) checkAssertion(assertion string) error {
	signed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	if kid := signed.Signatures[0].Header.KeyID; kid != s.keyID {
		return fmt.Errorf("kid %q, want that of the credentials", kid)
	}
	payload, err := signed.Verify(&s.key.PublicKey)
	if err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	var claims assertionClaims
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.DisallowUnknownFields()
	if err := d.Decode(&claims); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	return s.checkClaims(claims, time.Now())
}

func (s *Server) checkClaims(c assertionClaims, now time.Time) error {
	issued, expires := time.Unix(c.Issued, 0), time.Unix(c.Expires, 0)
	switch {
	case c.Issuer != s.email():
		return fmt.Errorf("iss %q, want the service account", c.Issuer)
	case c.Audience != s.URL+"/token":
		return fmt.Errorf("aud %q, want the token end point", c.Audience)
	case c.Scope != Scope:
		return fmt.Errorf("scope %q, want %q and nothing else", c.Scope, Scope)
	case !now.Before(expires):
		return fmt.Errorf("exp: the assertion has expired")
	case issued.After(now.Add(clockSkew)):
		return fmt.Errorf("iat: the assertion comes from the future")
	case expires.Sub(issued) > maxAssertion:
		return fmt.Errorf("exp: valid for more than an hour")
	}
	return nil
}

// checkBearer tells whether the request carries a bearer that was issued here.
func (s *Server) checkBearer(r *http.Request) bool {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	expires, issued := s.bearers[bearer]
	return issued && time.Now().Before(expires)
}

// RefuseTokens makes the token end point answer with that status until
// AllowTokens: 400 and 401 as Google says of a key that was revoked.
func (s *Server) RefuseTokens(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenFault = func(w http.ResponseWriter) {
		oauthError(w, status, "invalid_grant", "Invalid JWT Signature.")
	}
}

// AllowTokens ends RefuseTokens.
func (s *Server) AllowTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenFault = nil
}

// ExpireBearers makes every bearer so far worthless.
func (s *Server) ExpireBearers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bearers)
}

func (s *Server) nextTokenFault() func(http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokenFault
}
