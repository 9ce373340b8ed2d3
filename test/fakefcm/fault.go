package fakefcm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Fault is what becomes of one message instead of an ordinary answer. A
// message that breaks a rule is refused for that, fault or not.
type Fault struct {
	name string

	// accept tells that the message is delivered all the same.
	accept bool

	// late is how long after the answer it is delivered; twice delivers again.
	late  time.Duration
	twice bool

	// answer writes the answer; nil: the ordinary one.
	answer func(w http.ResponseWriter, r *http.Request, ok []byte)
}

func (f Fault) String() string { return f.name }

// TooMany is 429 QUOTA_EXCEEDED; retryAfter, when not empty, is the header.
func TooMany(retryAfter string) Fault {
	return refusal(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded.", retryAfter, fcmError("QUOTA_EXCEEDED"))
}

// Unavailable is 503; retryAfter, when not empty, is the header.
func Unavailable(retryAfter string) Fault {
	return refusal(http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable.", retryAfter, fcmError("UNAVAILABLE"))
}

// Internal is 500 with FCM's own error.
func Internal() Fault {
	return refusal(http.StatusInternalServerError, "INTERNAL", "Internal error encountered.", "", fcmError("INTERNAL"))
}

// Unregistered is what FCM says of a token whose app is gone.
func Unregistered() Fault {
	return refusal(http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.", "", fcmError("UNREGISTERED"))
}

// SenderIDMismatch is what FCM says of a token of another project.
func SenderIDMismatch() Fault {
	return refusal(http.StatusForbidden, "PERMISSION_DENIED", "SenderId mismatch", "", fcmError("SENDER_ID_MISMATCH"))
}

// InvalidToken is a refusal that names the token.
func InvalidToken() Fault {
	return refusal(http.StatusBadRequest, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", "",
		fcmError("INVALID_ARGUMENT"), badRequest(violation{"message.token", "Invalid registration token"}))
}

// InvalidMessage is a refusal that names something else.
func InvalidMessage() Fault {
	return refusal(http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.", "",
		fcmError("INVALID_ARGUMENT"), badRequest(violation{"message.android.ttl", "Invalid ttl"}))
}

// ThirdPartyAuth is what FCM says when Apple does not accept the project's key.
func ThirdPartyAuth() Fault {
	return refusal(http.StatusUnauthorized, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", "", fcmError("THIRD_PARTY_AUTH_ERROR"))
}

// Unauthenticated is what Google says of a bearer that it does not know.
func Unauthenticated() Fault {
	return refusal(http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "")
}

// PermissionDenied is what Google says of an account without the right.
func PermissionDenied() Fault {
	return refusal(http.StatusForbidden, "PERMISSION_DENIED",
		"Permission 'cloudmessaging.messages.create' denied on resource", "")
}

// WrongProject is 404 without FCM's own error: no such project.
func WrongProject() Fault {
	return refusal(http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.", "")
}

// BadGateway is a page from something in between.
func BadGateway() Fault {
	return Fault{name: "502 html", answer: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<!DOCTYPE html><html><title>Error 502 (Server Error)!!1</title></html>")
	}}
}

// Reset closes the connection in the middle of nothing.
func Reset() Fault {
	return Fault{name: "reset", answer: func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }}
}

// SlowHead delivers at once and answers after d.
func SlowHead(d time.Duration) Fault {
	return Fault{name: "slow head", accept: true, answer: func(w http.ResponseWriter, r *http.Request, ok []byte) {
		pause(r, d)
		w.Write(ok)
	}}
}

// SlowBody delivers at once, answers half and the other half after d.
func SlowBody(d time.Duration) Fault {
	return Fault{name: "slow body", accept: true, answer: func(w http.ResponseWriter, r *http.Request, ok []byte) {
		w.Write(ok[:len(ok)/2])
		w.(http.Flusher).Flush()
		pause(r, d)
		w.Write(ok[len(ok)/2:])
	}}
}

func pause(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// Empty is 200 with {}: nothing was delivered.
func Empty() Fault { return body("200 {}", "{}") }

// Garbage is 200 with what is not JSON.
func Garbage() Fault { return body("garbage", "\x00\xffnot json") }

func body(name, content string) Fault {
	return Fault{name: name, answer: func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, content) }}
}

// Duplicate delivers twice.
func Duplicate() Fault { return Fault{name: "duplicate", accept: true, twice: true} }

// Late answers at once and delivers after d.
func Late(d time.Duration) Fault { return Fault{name: "late", accept: true, late: d} }

// OK is no fault: a place in a script.
func OK() Fault { return Fault{name: "ok", accept: true} }

// detail is one entry of a refusal's details.
type detail map[string]any

func fcmError(code string) detail {
	return detail{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
}

func badRequest(v violation) detail {
	return detail{"@type": "type.googleapis.com/google.rpc.BadRequest",
		"fieldViolations": []detail{{"field": v.field, "description": v.why}}}
}

func refusal(status int, code, message, retryAfter string, details ...detail) Fault {
	return Fault{name: fmt.Sprint(status, " ", code), answer: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		refuse(w, status, code, message, details...)
	}}
}

func refuse(w http.ResponseWriter, status int, code, message string, details ...detail) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	e := detail{"code": status, "message": message, "status": code}
	if len(details) > 0 {
		e["details"] = details
	}
	json.NewEncoder(w).Encode(detail{"error": e})
}
