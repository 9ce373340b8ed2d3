package main

import (
	"fmt"
	"strings"
	"time"

	"vssgate/internal/admin"
)

// said are events in words, by kind and what; "KIND" alone is for whatever is
// not there, with %s for it.
var said = map[string]string{
	"request password":      "a request came with a password",
	"request proof":         "a request came with a proof of the password (CHAP, MS-CHAP or EAP)",
	"request join":          "another request came and joined this login",
	"request code":          "the user typed a code",
	"request ok":            "the user pressed OK: approved meanwhile?",
	"request appended_code": "a request came with password and code in one field",
	"retransmission":        "the NAS sent the same packet again; it is still undecided",
	"reply_sent_again":      "the NAS sent the same packet again and got the same reply: the first one was lost, or late",

	"first_factor right":       "the password is right",
	"first_factor relayed":     "the first factor asks for more",
	"first_factor unreachable": "the first factor could not be asked; the log says why",
	"first_factor throttled":   "the password was not passed on: too many wrong ones lately",
	"first_factor":             "the password was refused: %s",

	"code right":    "the code is right",
	"code totp":     "the code is right: of an authenticator app",
	"code recovery": "the code is right: a recovery code, which is used up now",
	"code help":     "the code is right: of the help desk, which is used up now",
	"code wrong":    "the code is wrong",
	"code locked":   "the code was not compared: the account is locked",

	"prompt sent":        "the phones are told",
	"prompt waits":       "the phones are not told yet: another login of this account is on them",
	"prompt no_phone":    "no phone can confirm: a code of the account's own is asked for",
	"prompt not_allowed": "the phones are not told: VssID may not show notifications there; it shows the code when opened",
	"prompt not_ready":   "the phones are not told: there is nothing to push with now; VssID shows the code when opened",
	"prompt limit":       "the phones are not told: as many prompts as push_limit allows went unanswered; VssID shows the code when opened",

	"push sent":         "push: accepted by the push service",
	"push no_target":    "push: no phone has a push token",
	"push unregistered": "push: VssID is gone from that phone",
	"push":              "push: %s",

	"phone approve":      "the phone approved",
	"phone deny":         "the phone denied",
	"phone report":       "the phone reported: somebody else knows the password",
	"phone wrong_number": "the phone typed another number than was shown",
	"phone withdrawn":    "withdrawn by an administrator, or the phone was revoked",

	"held":             "held until the phone answers",
	"verdict":          "verdict: %s; it is in the audit",
	"reply accept":     "reply: accept",
	"reply relay":      "reply: the first factor's question",
	"reply superseded": "no reply: a newer request of this login came",
	"reply probed":     "no reply: the NAS tries CHAP or MS-CHAP while its login by password is open",
	"reply left":       "no reply: the NAS or application has given up",
	"reply silence":    "no reply",
	"reply bad_answer": "reply: reject without a reason",
	"reply":            "reply: %s",
	"dropped":          "not served: %s; the log says what to do",
	"refused":          "rejected, and no login: %s; the log says what to do",
	"refused shared":   "so were all others like it in that minute, of this user if one is named: there were many, and they share these six characters",
	"void":             "void: the store has forgotten this login (Redis was restarted, failed over or emptied); the user logs in again",

	"dropped pulse_lost":    "not let in after all: this node had not reached the store for too long; the application was told to try again (52)",
	"dropped upstream_lost": "not let in after all: the connection to the directory was lost; the application was told to try again (52)",
}

// inWords is an event as people read it.
func inWords(e admin.LoginEvent) string {
	text, known := said[e.Kind+" "+e.What]
	if !known {
		if text = said[e.Kind]; text == "" {
			text = e.Kind + ": %s"
		}
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, strings.ReplaceAll(e.What, ":", ": "))
		}
	}
	var more []string
	if e.Device != "" {
		more = append(more, e.Device)
	}
	if e.Count > 1 {
		more = append(more, fmt.Sprintf("%d times", e.Count))
	}
	if e.TookMS > 0 {
		took := time.Duration(e.TookMS * float64(time.Millisecond)).Round(100 * time.Microsecond).String()
		switch {
		case e.Kind == "held":
			took = "at most " + took
		case e.Count > 1:
			took = "within " + took
		}
		more = append(more, took)
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text
}
