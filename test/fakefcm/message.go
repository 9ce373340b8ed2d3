package fakefcm

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// maxPayload is the size of a message's payload, data and APNs alike.
const maxPayload = 4096

// maxTTL is FCM's longest and default time to live, four weeks.
const maxTTL = 28 * 24 * 3600

var (
	lifetime = regexp.MustCompile(`^([0-9]{1,10})(\.[0-9]{1,9})?s$`)
	uuid     = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	label    = regexp.MustCompile(`^[a-zA-Z0-9-_.~%]{1,50}$`)
	topic    = regexp.MustCompile(`^[a-zA-Z0-9-_.~%]+$`)
	// bundle is the name of an app: com.example.app
	bundle = regexp.MustCompile(`^[A-Za-z0-9.-]{1,255}$`)
)

// request is the body of messages:send.
var request = object{"validate_only": boolean, "message": all(message.check, oneTarget, payloadSize)}

var message = object{
	"token":     text,
	"topic":     matching(topic, "a topic's name"),
	"condition": text,
	"data":      data,
	"notification": object{
		"title": text, "body": text, "image": text,
	}.check,
	"android":     android.check,
	"apns":        all(apns.check, apnsTogether),
	"webpush":     webpush.check,
	"fcm_options": object{"analytics_label": matching(label, "a label")}.check,
}

// data may hold strings only, even empty ones, and no reserved names.
var data = mapOf(freeKey, func(path string, v any) *violation {
	if _, ok := v.(string); !ok {
		return bad(path, "must be a string")
	}
	return nil
})

// freeKey refuses the names that FCM keeps for itself.
func freeKey(path, name string) *violation {
	switch {
	case name == "":
		return bad(path, "must have a name")
	case name == "from", name == "message_type", strings.HasPrefix(name, "google."), strings.HasPrefix(name, "gcm."):
		return bad(path, "reserved name")
	}
	return nil
}

var android = object{
	"collapse_key":            text,
	"priority":                oneOf("normal", "high", "NORMAL", "HIGH"),
	"ttl":                     ttl,
	"restricted_package_name": matching(bundle, "a package's name"),
	"data":                    data,
	"notification": object{
		"title": text, "body": text, "icon": text, "color": text, "sound": text, "tag": text, "click_action": text,
		"body_loc_key": text, "body_loc_args": listOf(text), "title_loc_key": text, "title_loc_args": listOf(text),
		"channel_id": text, "ticker": text, "sticky": boolean, "event_time": text, "local_only": boolean,
		"notification_priority": oneOf("PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"),
		"default_sound":         boolean, "default_vibrate_timings": boolean, "default_light_settings": boolean,
		"vibrate_timings": listOf(ttl), "visibility": oneOf("PRIVATE", "PUBLIC", "SECRET"),
		"notification_count": natural, "image": text,
	}.check,
	"fcm_options":    object{"analytics_label": matching(label, "a label")}.check,
	"direct_boot_ok": boolean,
}

func ttl(path string, v any) *violation {
	s, _ := v.(string)
	m := lifetime.FindStringSubmatch(s)
	if m == nil {
		return bad(path, "must be seconds with an s behind them")
	}
	if n, err := strconv.Atoi(m[1]); err != nil || n > maxTTL {
		return bad(path, "longer than four weeks")
	}
	return nil
}

var apns = object{
	"headers":             apnsHeaders.check,
	"payload":             apnsPayload,
	"fcm_options":         object{"analytics_label": matching(label, "a label"), "image": text}.check,
	"live_activity_token": text,
}

var apnsHeaders = object{
	"apns-id":         matching(uuid, "a UUID"),
	"apns-expiration": matching(decimal, "seconds since 1970 as a string"),
	"apns-priority":   oneOf("10", "5", "1"),
	"apns-topic":      matching(bundle, "a bundle's name"),
	"apns-push-type":  oneOf("alert", "background"),
	"apns-collapse-id": func(path string, v any) *violation {
		if s, ok := v.(string); !ok || s == "" || len(s) > 64 {
			return bad(path, "must be 1 to 64 bytes")
		}
		return nil
	},
}

// apnsPayload has aps and free fields beside it.
func apnsPayload(path string, v any) *violation {
	fields, ok := v.(map[string]any)
	if !ok {
		return bad(path, "must be an object")
	}
	if _, ok := fields["aps"]; !ok {
		return bad(path+".aps", "missing")
	}
	if raw, err := json.Marshal(v); err != nil || len(raw) > maxPayload {
		return bad(path, "larger than %d bytes", maxPayload)
	}
	return mapOf(freeKey, func(at string, v any) *violation {
		if at == path+".aps" {
			return aps.check(at, v)
		}
		return nil
	})(path, v)
}

var aps = object{
	"alert": func(path string, v any) *violation {
		if _, plain := v.(string); plain {
			return text(path, v)
		}
		return object{
			"title": text, "subtitle": text, "body": text, "launch-image": text,
			"title-loc-key": text, "title-loc-args": listOf(text), "subtitle-loc-key": text, "subtitle-loc-args": listOf(text),
			"loc-key": text, "loc-args": listOf(text), "action-loc-key": text,
		}.check(path, v)
	},
	"badge":              natural,
	"sound":              text,
	"category":           text,
	"thread-id":          text,
	"content-available":  one,
	"mutable-content":    one,
	"interruption-level": oneOf("passive", "active", "time-sensitive", "critical"),
	"relevance-score":    number,
	"target-content-id":  text,
}

// apnsTogether is what Apple asks of headers and payload together: a
// background push is silent and of priority 5 or 1, an alert shows something.
func apnsTogether(path string, v any) *violation {
	config, _ := v.(map[string]any)
	headers, _ := config["headers"].(map[string]any)
	payload, _ := config["payload"].(map[string]any)
	content, _ := payload["aps"].(map[string]any)
	visible := content["alert"] != nil || content["badge"] != nil || content["sound"] != nil
	switch headers["apns-push-type"] {
	case nil:
		return bad(path+".headers.apns-push-type", "missing")
	case "alert":
		if !visible {
			return bad(path+".payload.aps", "an alert must show or sound something")
		}
	case "background":
		if visible || content["content-available"] == nil {
			return bad(path+".payload.aps", "a background push is content-available and nothing visible")
		}
		if headers["apns-priority"] == "10" {
			return bad(path+".headers.apns-priority", "a background push must not have priority 10")
		}
	}
	return nil
}

var webpush = object{
	"headers": object{
		"TTL":     matching(decimal, "seconds as a string"),
		"Urgency": oneOf("very-low", "low", "normal", "high"),
		"Topic":   matching(regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`), "at most 32 base64url characters"),
	}.check,
	"data": data,
	"notification": object{
		"title": text, "body": text, "icon": text, "image": text, "badge": text, "tag": text, "lang": text,
		"dir": oneOf("auto", "ltr", "rtl"), "requireInteraction": boolean, "renotify": boolean, "silent": boolean,
		"timestamp": number, "data": func(string, any) *violation { return nil },
		"actions": listOf(object{"action": text, "title": text, "icon": text}.check),
		"vibrate": listOf(natural),
	}.check,
	"fcm_options": object{"link": text, "analytics_label": matching(label, "a label")}.check,
}

// oneTarget wants a token, a topic or a condition, and no two of them.
func oneTarget(path string, v any) *violation {
	fields, _ := v.(map[string]any)
	targets := 0
	for _, name := range []string{"token", "topic", "condition"} {
		if _, ok := fields[name]; ok {
			targets++
		}
	}
	if targets != 1 {
		return bad(path, "exactly one of token, topic and condition, not %d", targets)
	}
	return nil
}

// payloadSize counts what reaches a phone: names and values of data and
// notification.
func payloadSize(path string, v any) *violation {
	fields, _ := v.(map[string]any)
	config, _ := fields["android"].(map[string]any)
	size := 0
	for _, part := range []any{fields["data"], fields["notification"], config["data"], config["notification"]} {
		values, _ := part.(map[string]any)
		for name, value := range values {
			s, _ := value.(string)
			size += len(name) + len(s)
		}
	}
	if size > maxPayload {
		return bad(path, "payload of %d bytes, at most %d", size, maxPayload)
	}
	return nil
}
