package audit

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"vssgate/internal/login"
)

// timeForm is RFC 3339 with milliseconds, always in UTC.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// loginLine is a login as it is written; the order of the fields is that of
// the line.
type loginLine struct {
	Kind     string `json:"kind"`
	Time     string `json:"time"`
	Attempt  string `json:"attempt"`
	Trace    string `json:"trace"`
	FrontEnd string `json:"front_end"`
	Client   string `json:"client"`
	NAS      string `json:"nas"`
	From     string `json:"from"`
	Account  string `json:"account"`
	Username string `json:"username"`
	Verdict  string `json:"verdict"`
	Reason   string `json:"reason"`
	Factor   string `json:"factor"`
	WouldBe  string `json:"would_be,omitempty"` // observed: no_device and the like, or asked
	Device   string `json:"device"`
	Presence string `json:"presence"`
	Signed   string `json:"signed,omitempty"`
	Pushes   int    `json:"pushes"`
	Requests int    `json:"requests"`
	TookMS   int64  `json:"took_ms"`
}

func lineOf(r login.AuditRecord) loginLine {
	verdict := "rejected"
	if r.Accepted {
		verdict = "accepted"
	}
	return loginLine{
		Kind: "login", Time: r.Time.UTC().Format(timeForm), Attempt: r.Attempt.String(), Trace: r.Attempt.Trace(),
		FrontEnd: string(r.FrontEnd), Client: r.Client, NAS: r.NAS, From: r.From, Account: r.Account, Username: r.Username,
		Verdict: verdict, Reason: string(r.Reason), Factor: string(r.Factor), WouldBe: string(r.WouldBe), Device: r.Device, Presence: r.Presence,
		Signed: r.Signed, Pushes: r.Pushes, Requests: r.Requests, TookMS: r.Took.Milliseconds(),
	}
}

// An Admin is something that an administrator changed or had revealed.
type Admin struct {
	Time   time.Time // zero: now
	By     string    // who: the caller's uid, or the program itself
	Action string
	Target string
	Why    string
}

type adminLine struct {
	Kind   string `json:"kind"`
	Time   string `json:"time"`
	By     string `json:"by"`
	Action string `json:"action"`
	Target string `json:"target"`
	Why    string `json:"why"`
}

func (a Admin) line(now time.Time) adminLine {
	if a.Time.IsZero() {
		a.Time = now
	}
	return adminLine{Kind: "admin", Time: a.Time.UTC().Format(timeForm), By: a.By, Action: a.Action, Target: a.Target, Why: a.Why}
}

// The two last fields of a line are written by hand, because they are made
// from the bytes before them.
const (
	prevField = `,"prev":"`
	hashField = `","hash":"`
	lineEnd   = "\"}\n"
)

const hashBytes = 32

// firstPrev stands in the first line of a file.
var firstPrev = hex.EncodeToString(make([]byte, hashBytes))

// body is a line without its two last fields: an object that is still open.
func body(line any) ([]byte, error) {
	raw, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	return raw[:len(raw)-1], nil
}
