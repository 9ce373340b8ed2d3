package push

import (
	"strconv"
	"strings"
	"time"

	"firebase.google.com/go/v4/messaging"

	"vssgate/internal/login"
)

// A Target is one installation of VssID that can be told.
type Target struct {
	Device   string    // its id, for the log
	Platform string    // ios, android, web
	Token    string    // FCM's name for it
	Since    time.Time // when it came in
}

// Kind is what a message says.
type Kind string

// The kinds: what stands in `type` of a message's data.
const (
	Login  Kind = "login"        // a login waits
	Closed Kind = "login.closed" // it has ended: take the notification away
	Notice Kind = "notice"       // something has happened that the person should know
)

// A Message is what a device is told. Nothing in it is personal.
type Message struct {
	Kind    Kind
	Login   string           // the attempt's id; "" in a notice
	Expires time.Time        // its deadline, by the store's clock; of a notice: until when it is of use
	Until   time.Time        // the same instant by this node's clock
	Notice  login.NoticeWord // what has happened
}

// closedFor is how long FCM keeps a Closed for a phone that is off: no longer
// than a notification is looked at.
const closedFor = time.Minute

// Alerts are what iOS shows when the app has no text of its own under the keys.
type Alerts struct {
	Login   Alert
	Notices map[login.NoticeWord]Alert
}

// Alert is what iOS shows when the app has no text of its own under the keys.
type Alert struct{ Title, Body string }

// build makes the one message for the one device.
//
// Android and browsers get data only: a notification made by FCM counts as
// collapsible there and is throttled, and the app shows its own. iOS would
// throttle data, so a login is an alert, translated by the app's own keys.
func build(t Target, m Message, alerts Alerts) *messaging.Message {
	out := &messaging.Message{Token: t.Token, Data: data(m)}
	ttl := lifetime(m)
	switch t.Platform {
	case "ios":
		out.APNS = apns(m, alerts)
	case "web":
		out.Webpush = &messaging.WebpushConfig{Headers: map[string]string{"TTL": seconds(ttl), "Urgency": priority(m)}}
	default:
		out.Android = &messaging.AndroidConfig{Priority: priority(m), TTL: &ttl}
	}
	return out
}

func data(m Message) map[string]string {
	if m.Kind == Notice {
		return map[string]string{"type": string(m.Kind), "notice": string(m.Notice)}
	}
	d := map[string]string{"type": string(m.Kind), "login_id": m.Login}
	if m.Kind == Login {
		d["expires"] = m.Expires.UTC().Format(time.RFC3339)
	}
	return d
}

// lifetime is what is left of the login, in whole seconds. The default of FCM
// would be four weeks.
func lifetime(m Message) time.Duration {
	if m.Kind == Closed {
		return closedFor
	}
	return max(0, time.Until(m.Until)).Truncate(time.Second)
}

// priority, which browsers call urgency, is high only for what shows something: a phone on which high
// priority stays invisible is demoted by FCM.
func priority(m Message) string {
	if m.Kind != Closed {
		return "high"
	}
	return "normal"
}

func apns(m Message, alerts Alerts) *messaging.APNSConfig {
	headers := map[string]string{"apns-expiration": strconv.FormatInt(m.Expires.Unix(), 10)}
	if m.Kind == Closed {
		headers["apns-expiration"] = strconv.FormatInt(m.Expires.Add(closedFor).Unix(), 10)
		headers["apns-push-type"], headers["apns-priority"] = "background", "5"
		return &messaging.APNSConfig{Headers: headers, Payload: &messaging.APNSPayload{Aps: &messaging.Aps{ContentAvailable: true}}}
	}
	headers["apns-push-type"], headers["apns-priority"] = "alert", "10"
	if m.Kind == Notice {
		return &messaging.APNSConfig{Headers: headers, Payload: &messaging.APNSPayload{Aps: noticed(m.Notice, alerts.Notices[m.Notice])}}
	}
	headers["apns-collapse-id"] = m.Login // sent twice, it is shown once
	return &messaging.APNSConfig{Headers: headers, Payload: &messaging.APNSPayload{Aps: &messaging.Aps{
		Alert: &messaging.ApsAlert{
			Title: alerts.Login.Title, Body: alerts.Login.Body,
			TitleLocKey: "VSSGATE_TITLE", LocKey: "VSSGATE_BODY",
		},
		Category:   "VSSGATE_LOGIN",
		Sound:      "default",
		CustomData: map[string]any{"interruption-level": "time-sensitive"},
	}}}
}

// noticed shows a notice: VSSGATE_NEW_DEVICE and the like are the keys of its
// text.
func noticed(word login.NoticeWord, alert Alert) *messaging.Aps {
	return &messaging.Aps{Sound: "default", Alert: &messaging.ApsAlert{
		Title: alert.Title, Body: alert.Body,
		TitleLocKey: "VSSGATE_NOTICE_TITLE", LocKey: "VSSGATE_" + strings.ToUpper(string(word)),
	}}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
