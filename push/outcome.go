package push

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"firebase.google.com/go/v4/errorutils"
	"firebase.google.com/go/v4/messaging"
	"golang.org/x/oauth2"
)

// Result is what became of one message, in one word: a metric's label.
type Result string

// The results of a call.
const (
	Sent           Result = "sent"
	Unregistered   Result = "unregistered"    // the app is gone from the phone: forget the token
	SenderMismatch Result = "sender_mismatch" // a token of another project: forget it, and look at the configuration
	BadToken       Result = "bad_token"       // not a token at all: forget it
	BadMessage     Result = "bad_message"     // our fault
	Throttled      Result = "throttled"       // too many: RetryAfter says when
	Unavailable    Result = "unavailable"     // FCM is down: RetryAfter says when, if at all
	Unreachable    Result = "unreachable"     // no connection
	Timeout        Result = "timeout"         // no answer in time; it may have been delivered
	Malformed      Result = "malformed"       // an answer that says nothing: not delivered, as far as we know
	Misconfigured  Result = "misconfigured"   // credentials, project or Apple's key
	BreakerOpen    Result = "breaker_open"    // not tried
	TooLate        Result = "too_late"        // not tried: the login is over
)

// And those that only Prompter has, before any call.
const (
	QueueFull  Result = "queue_full"      // shed
	NotReady   Result = "not_ready"       // no push configured, or the breaker is open
	NoTarget   Result = "no_target"       // the person has no device that can be told
	NoAnswer   Result = "no_device_store" // the devices cannot be looked up
	NotRetried Result = "not_retried"     // given up: the login's time, or enough tries
)

// An Outcome is what became of one message.
type Outcome struct {
	Result     Result
	RetryAfter time.Duration // when the same message may be tried again; 0: do not
	Err        error         // for the log: holds no token of a device and no credentials
}

// What is waited when FCM does not say how long.
const (
	throttledFor   = 10 * time.Second
	unavailableFor = time.Second
)

// classify sorts what the library returned for one message. It looks at the
// error itself: the library's helpers do not unwrap.
func classify(err error, token string) Outcome {
	o := Outcome{Err: redact(err, token)}
	response := errorutils.HTTPResponse(err)
	switch {
	case messaging.IsUnregistered(err):
		o.Result = Unregistered
	case messaging.IsSenderIDMismatch(err):
		o.Result = SenderMismatch
	case messaging.IsThirdPartyAuthError(err):
		o.Result = Misconfigured
	case response != nil:
		o.Result, o.RetryAfter = byStatus(response)
	default:
		o.Result = withoutResponse(err)
	}
	return o
}

func byStatus(r *http.Response) (Result, time.Duration) {
	switch status := r.StatusCode; {
	case status == http.StatusTooManyRequests:
		return Throttled, retryAfter(r, throttledFor)
	case status == http.StatusBadRequest && namesToken(r.Body):
		return BadToken, 0
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		return Misconfigured, 0 // 404 without FCM's own code is a wrong project, not an old token
	case status >= http.StatusInternalServerError:
		return Unavailable, retryAfter(r, unavailableFor)
	}
	return BadMessage, 0
}

func withoutResponse(err error) Result {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errorutils.IsDeadlineExceeded(err):
		return Timeout
	case errorutils.IsUnavailable(err), errorutils.IsUnknown(err):
		return Unreachable
	}
	return Malformed // the library could not read a good answer
}

// retryAfter reads the header (RFC 9110 section 10.2.3): seconds or a date.
func retryAfter(r *http.Response, otherwise time.Duration) time.Duration {
	header := r.Header.Get("Retry-After")
	if n, err := strconv.Atoi(header); err == nil && n > 0 && n < 1<<20 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && time.Until(at) > 0 {
		return time.Until(at)
	}
	return otherwise
}

// maxError bounds how much of a refusal is read and logged.
const maxError = 64 << 10

// namesToken tells whether a refusal says that the token is what is wrong.
func namesToken(body io.Reader) bool {
	raw, err := io.ReadAll(io.LimitReader(body, maxError))
	if err != nil {
		return false
	}
	var refusal struct {
		Error struct {
			Details []struct {
				Violations []struct{ Field string } `json:"fieldViolations"`
			}
		}
	}
	if json.Unmarshal(raw, &refusal) != nil {
		return false
	}
	for _, detail := range refusal.Error.Details {
		for _, v := range detail.Violations {
			if v.Field == "message.token" {
				return true
			}
		}
	}
	return false
}

// redact keeps the token, and what is long, out of the log.
func redact(err error, token string) error {
	text := err.Error()
	if token != "" {
		text = strings.ReplaceAll(text, token, "[token]")
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "..."
	}
	return errors.New(text)
}

// classifyToken sorts what the token end point said: a refusal is a fault of
// the credentials, all else may pass.
func classifyToken(err error) Outcome {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil || refused.Response.StatusCode >= http.StatusInternalServerError {
		return Outcome{Result: Unreachable, Err: redact(err, "")}
	}
	return Outcome{Result: Misconfigured, Err: redact(err, "")}
}

// statusOf is the HTTP status that led to err; 0: none.
func statusOf(err error) int {
	if r := errorutils.HTTPResponse(err); r != nil {
		return r.StatusCode
	}
	return 0
}
