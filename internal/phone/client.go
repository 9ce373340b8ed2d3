package phone

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client is one device.
type Client struct {
	Key      *Key
	Language string           // of refusals: vi or en; "": as the server likes
	HTTP     *http.Client     // default: one without a time limit of its own
	Now      func() time.Time // the phone's clock

	base string // public_url
}

// New makes a client of the API at url, which is vssid.public_url.
func New(at string, key *Key) (*Client, error) {
	base := strings.TrimRight(at, "/")
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--url %q: want https://HOST", at)
	}
	return &Client{Key: key, HTTP: &http.Client{}, Now: time.Now, base: base}, nil
}

// A Problem is how the server refused (RFC 9457).
type Problem struct {
	Status     int       `json:"status"`
	Code       string    `json:"code"`
	Detail     string    `json:"detail"`
	Verdict    string    `json:"verdict"`
	MinVersion string    `json:"min_version"`
	ServerTime time.Time `json:"server_time"`

	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	s := p.Detail
	if s == "" {
		s = http.StatusText(p.Status)
	}
	if p.Verdict != "" {
		return fmt.Sprintf("%s (%s: %s)", s, p.Code, p.Verdict)
	}
	return fmt.Sprintf("%s (%s)", s, p.Code)
}

// requestTime is how long a signed request counts.
const requestTime = 60 * time.Second

// authorize signs a request: what it asks for, what it carries, when, once.
func (c *Client) authorize(method, target string, body []byte) (string, error) {
	now := c.Now()
	claims := map[string]any{
		"aud": c.base, "htm": method, "htu": target,
		"iat": seconds(now), "exp": seconds(now.Add(requestTime)),
		"jti": rand.Text(),
	}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		claims["bsh"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return c.Key.sign(payload)
}

// seconds is a NumericDate with its fraction (RFC 7519 section 2): a server
// that has just started knows what was issued after that.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64))
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// do makes one call; in and out may be nil.
func (c *Client) do(ctx context.Context, method, target string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	token, err := c.authorize(method, target, body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Language != "" {
		r.Header.Set("Accept-Language", c.Language)
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return c.hint(read(answer, out))
}

// hint adds to a refusal what its reader can do about it.
func (c *Client) hint(err error) error {
	if p, refused := err.(*Problem); refused && p.Code == "bad_signature" {
		return fmt.Errorf("%w: what was signed is for %s; --url must be vssid.public_url of the server's configuration, letter by letter", err, c.base)
	}
	return err
}

func read(answer *http.Response, out any) error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		p := &Problem{}
		if err := json.Unmarshal(raw, p); err != nil {
			p.Detail = "not an answer of vssgate"
		}
		p.Status = answer.StatusCode
		if n, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
			p.RetryAfter = time.Duration(n) * time.Second
		}
		return p
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}
