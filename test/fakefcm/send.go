package fakefcm

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds a request: a message has at most a few kilobytes.
const maxBody = 64 << 10

// send is projects.messages.send.
func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	if !s.checkBearer(r) {
		s.note("message refused: no bearer of this server")
		Unauthenticated().answer(w, r, nil)
		return
	}
	if project := r.PathValue("project"); project != s.ProjectID {
		s.note("message refused: project " + project)
		WrongProject().answer(w, r, nil)
		return
	}
	raw, v := readMessage(r)
	if v != nil {
		s.note("message refused: " + v.Error())
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid value at '"+v.field+"': "+v.why,
			fcmError("INVALID_ARGUMENT"), badRequest(*v))
		return
	}
	s.deliver(w, r, raw)
}

func readMessage(r *http.Request) ([]byte, *violation) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, bad("Content-Type", "must be application/json")
	}
	if r.URL.RawQuery != "" {
		return nil, bad("query", "must be empty")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(raw) > maxBody {
		return nil, bad("body", "cannot be read, or is too large")
	}
	return raw, check(raw)
}

// check says what is wrong with the body of a request, or nil.
func check(raw []byte) *violation {
	v, err := decode(raw)
	if err != nil {
		return bad("body", "%v", err)
	}
	if v := request.check("", v); v != nil {
		return v
	}
	if _, ok := v.(map[string]any)["message"]; !ok {
		return bad("message", "missing")
	}
	return nil
}

// deliver answers as the script says and records what was accepted.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, raw []byte) {
	m, err := newMessage(raw)
	if err != nil { // check has let it pass
		panic(err)
	}
	fault := s.fault(m.Token)
	m.Name = "projects/" + s.ProjectID + "/messages/" + strings.ToLower(rand.Text())
	if fault.answer != nil || fault.twice {
		m.Fault = fault.name
	}
	if fault.accept && !m.ValidateOnly {
		s.accept(m, fault)
	}
	ok, _ := json.Marshal(map[string]string{"name": m.Name})
	if fault.answer != nil {
		fault.answer(w, r, ok)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Write(ok)
}

// A Message is one that was accepted.
type Message struct {
	Name         string            // what FCM called it
	At           time.Time         // when it was delivered
	Token        string            // the device
	Data         map[string]string // what the app gets
	Priority     string            // Android's
	TTL          string            // Android's
	Collapse     string            // Android's collapse key
	Notification bool              // something visible that the app did not make, on Android
	APNS         map[string]string // the headers for Apple
	Alert        map[string]any    // what iOS shows
	Aps          map[string]any    // the whole aps dictionary
	Webpush      map[string]string // the headers for browsers
	ValidateOnly bool
	Fault        string // what it met, unless it was nothing but late
	Raw          []byte // the body as it came
}

func newMessage(raw []byte) (m Message, err error) {
	var body struct {
		ValidateOnly bool `json:"validate_only"`
		Message      struct {
			Token        string
			Data         map[string]string
			Notification map[string]any
			Android      struct {
				Priority, TTL string
				Collapse      string `json:"collapse_key"`
				Notification  map[string]any
			}
			APNS struct {
				Headers map[string]string
				Payload struct{ Aps map[string]any }
			}
			Webpush struct{ Headers map[string]string }
		}
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return m, errors.Join(errors.New("a message that was checked does not parse"), err)
	}
	b := body.Message
	alert, _ := b.APNS.Payload.Aps["alert"].(map[string]any)
	return Message{
		Token: b.Token, Data: b.Data, Priority: b.Android.Priority, TTL: b.Android.TTL, Collapse: b.Android.Collapse,
		Notification: b.Notification != nil || b.Android.Notification != nil, APNS: b.APNS.Headers, Alert: alert,
		Aps: b.APNS.Payload.Aps, Webpush: b.Webpush.Headers, ValidateOnly: body.ValidateOnly, Raw: raw,
	}, nil
}
