package phoneapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"vssgate/internal/enrol"
)

// maxBody is how long a body may be, and bodyTime how long it may take.
const (
	maxBody  = 16 << 10
	bodyTime = 10 * time.Second
)

// A call is a request that was read and verified.
type call struct {
	lang    string
	remote  string
	pattern string       // of its route
	device  enrol.Device // of an enrolment: only ID and Key
	token   string       // the signed request, or the backend's token
	body    []byte

	backend *Backend // who asks instead of a device; nil: a device
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}

// signed is the evidence of a decision: the signed request and its body, which
// it signs by hash. Four parts between dots, the last one the body in
// base64url.
func (c *call) signed() string {
	return c.token + "." + base64.RawURLEncoding.EncodeToString(c.body)
}

// receive reads the body, in its bounds of size and time.
func (c *call) receive(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // not every connection has one
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil { // the limit stays: the server looks for the rest of the body before it answers
		return problem(BadBody)
	}
	_ = control.SetReadDeadline(time.Time{})
	c.body = body
	return nil
}

// wellFormed: the calls that have a body have one, in JSON.
func (c *call) wellFormed(r *http.Request) error {
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodPatch && r.Method != http.MethodPut:
	case r.URL.Path == "/v1/device/activation" && len(c.body) == 0: // it asks for nothing
	case !json.Valid(c.body):
		return problem(BadBody)
	}
	return nil
}

// target is the request target as sent (RFC 9112 section 3.2), relative to
// the path of public_url.
func (a *API) target(r *http.Request) string {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // absolute form
		target = r.URL.RequestURI()
	}
	if rest, ok := strings.CutPrefix(target, a.prefix); ok && strings.HasPrefix(rest, "/") {
		return rest
	}
	return target
}

// authenticate finds out which device asks, and refuses everybody else.
// Nothing is believed before the signature was verified; what is wrong with a
// device or its clock is told only to who holds its key.
func (a *API) authenticate(r *http.Request, c *call) error {
	s, err := parseSignature(bearer(r.Header))
	if !a.limits.listens(r.RemoteAddr, s.device) {
		return problem(SlowDown)
	}
	if err == nil {
		err = a.verify(r, c, s)
	}
	if blame(err) {
		a.limits.refused(r.RemoteAddr)
	}
	return err
}

// blame tells whether the sender is to blame for a refusal: not when he was
// only too fast, or when the store cannot be asked.
func blame(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code != SlowDown
	}
	return errors.Is(err, errSignature) || errors.Is(err, errKey) || errors.Is(err, enrol.ErrNotFound)
}

func (a *API) verify(r *http.Request, c *call, s signature) error {
	key, now, err := a.keyOf(r, c, s)
	if err != nil {
		return err
	}
	claims, err := s.by(key)
	if err != nil {
		return err
	}
	if c.device.Revoked != nil {
		return problem(Revoked)
	}
	c.token = s.token
	err = claims.check(signedFor{a.audience, r.Method, a.target(r), c.body}, now)
	if err != nil { // the key is right: what is wrong is for who builds or sets up the app
		a.Log.Info("a device's request is not as it was signed", "device", s.device, "why", err)
	}
	if errors.Is(err, errClock) {
		p := problem(Clock)
		p.ServerTime = &now
		return p
	}
	if err != nil {
		return err
	}
	if !a.limits.device(s.device) {
		return problem(SlowDown)
	}
	return a.once(r.Context(), s.device, claims)
}

// keyOf is the key that must have signed: the device's, or the very key that
// an enrolment brings along; and the store's time.
func (a *API) keyOf(r *http.Request, c *call, s signature) (*ecdsa.PublicKey, time.Time, error) {
	if !enrolment(r) {
		d, now, err := a.People.Device(r.Context(), s.device)
		if err != nil {
			return nil, now, err
		}
		if len(d.Key) == 0 { // its backend answers for it
			return nil, now, enrol.ErrNotFound
		}
		c.device = d
		key, err := parsePoint(d.Key)
		return key, now, err
	}
	key, err := c.broughtKey()
	if err != nil {
		return nil, time.Time{}, err
	}
	if c.device.ID != s.device {
		return nil, time.Time{}, errSignature
	}
	now, err := a.Store.Now(r.Context())
	return key, now, err
}

func enrolment(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/v1/devices"
}

// broughtKey reads the public key of an enrolment, before anything else of it.
func (c *call) broughtKey() (*ecdsa.PublicKey, error) {
	var body struct {
		PublicKey struct {
			PublicKey
			D *string `json:"d"`
		} `json:"public_key"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, problem(BadBody)
	}
	if body.PublicKey.D != nil {
		return nil, errKey // a private key was sent: it is nobody's own any more
	}
	id, point, err := body.PublicKey.identify()
	if err != nil {
		return nil, err
	}
	c.device.ID, c.device.Key = id, point
	return parsePoint(point)
}

// once lets a signed request through one time. What was issued before the
// store's memory begins may have been used already.
func (a *API) once(ctx context.Context, device string, c claims) error {
	sum := sha256.Sum256([]byte(c.ID))
	key := "jti:" + device + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
	first, err := a.Store.UseOnce(ctx, key, c.until(), false)
	if err != nil {
		return err
	}
	since, err := a.Store.Since(ctx) // after the mark: the memory it is in began then
	if err != nil {
		return err
	}
	if !first || c.issued().Before(since) {
		return problem(Replayed)
	}
	return nil
}
