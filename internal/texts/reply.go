package texts

import (
	"unicode/utf8"

	"vssgate/internal/login"
)

// MaxBytes is what a reply's text may be long: the value of one RADIUS
// attribute (RFC 2865 section 5).
const MaxBytes = 253

// Keys of replies that no reason or prompt names by itself.
const (
	keyUncounted   = "prompt.wrong_code_uncounted"
	keyNumberLine  = "prompt.number_line"
	keyStartAgain  = "start_again"
	keyAppendShort = "append_needed.simple"
	keyForGood     = "locked_out.for_good"
	keyNoBackend   = "no_device.no_backend"

	keyOwn = ".own" // behind a key: said to who has codes of the account's own and no phone

	keyBeforePolicy = "accept.before_policy"
)

// traceBytes is the room of " [K7QF2D]".
const traceBytes = 9

// Reply is what the user of c reads: at most MaxBytes, ending with the trace
// id in brackets. It is empty for what carries no text. A nil client gets the
// configured language.
func (t *Texts) Reply(c *login.Client, r login.Reply) string {
	switch {
	case r.Kind == login.Accept && !r.Required.IsZero(): // the one accept with a text
	case r.Kind == login.Silence, r.Kind == login.Accept, r.Kind == login.Relay:
		return ""
	}
	v := t.values(c, r)
	b := t.replies[t.o.Language]
	if c != nil {
		b = t.replies[t.lang(c.Language)]
	}
	room := MaxBytes
	if r.Trace != "" {
		room -= len(r.Trace) + len(" []")
	}
	dst := b.put(make([]byte, 0, MaxBytes+64), t.key(r), &v)
	if r.Kind == login.Ask && r.Number != "" && r.Prompt != login.PromptNumber {
		dst = b.put(append(dst, ' '), keyNumberLine, &v)
	}
	dst = cut(dst, room)
	dst = t.addSupport(dst, room, v.avoid)
	if r.Trace != "" {
		dst = append(append(append(dst, " ["...), r.Trace...), ']')
	}
	return string(dst)
}

func (t *Texts) values(c *login.Client, r login.Reply) values {
	v := t.defaults()
	v.number, v.tries, v.count, v.until = r.Number, r.Tries, r.Tries, r.Until
	if r.ValidFor > 0 {
		v.valid = r.ValidFor
	}
	if c != nil {
		v.separator = c.Separator
	}
	if r.Kind == login.Ask {
		v.avoid = len(r.Number)
	}
	v.date, v.codes = r.Required, r.Codes
	return v
}

// key is the text for a reply. A reason that has none, and whatever must not
// tell what was wrong, reads as "log in again from the start".
func (t *Texts) key(r login.Reply) string {
	switch r.Kind {
	case login.Ask:
		return promptKey(r)
	case login.NoAnswer:
		return string(login.Unavailable)
	case login.Reject:
		return t.reasonKey(r)
	case login.Accept:
		return keyBeforePolicy
	case login.BadAnswer:
		if r.Reason == login.BadMethod || r.Reason == login.Probed {
			return string(login.BadMethod)
		}
	}
	return keyStartAgain
}

func promptKey(r login.Reply) string {
	switch {
	case r.Prompt == login.PromptNumber && r.Number == "", r.Prompt == "":
		return string(login.PromptCode)
	case r.Prompt == login.PromptWrongCode && r.Codes != 0:
		return string(r.Prompt) + keyOwn
	case r.Prompt == login.PromptWrongCode && digits(r.Tries) == len(r.Number):
		return keyUncounted
	}
	return string(r.Prompt)
}

func (t *Texts) reasonKey(r login.Reply) string {
	if r.Codes != 0 && (r.Reason == login.AppendNeeded || r.Reason == login.BadCode) {
		return string(r.Reason) + keyOwn
	}
	switch r.Reason {
	case login.EmptyPassword, login.AccountLocked:
		return string(login.BadPassword)
	case login.WrongCode:
		return promptKey(login.Reply{Prompt: login.PromptWrongCode, Codes: r.Codes, Tries: r.Tries})
	case login.AppendNeeded:
		if r.Approval == login.ApprovalSimple {
			return keyAppendShort
		}
	case login.LockedOut:
		if r.Until.IsZero() {
			return keyForGood
		}
	case login.NoDevice:
		if !t.o.HasBackend {
			return keyNoBackend
		}
	}
	if t.Has(string(r.Reason)) {
		return string(r.Reason)
	}
	return keyStartAgain
}

// addSupport adds texts.support where it fits and, beside a number to match,
// holds no number of that length.
func (t *Texts) addSupport(dst []byte, room, avoid int) []byte {
	if t.o.Support == "" || len(dst)+1+len(t.o.Support) > room || hasNumber(t.o.Support, avoid) {
		return dst
	}
	return append(append(dst, ' '), t.o.Support...)
}

// hasNumber tells whether s holds a run of exactly that many digits.
func hasNumber(s string, length int) bool {
	run := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			run++
			continue
		}
		if run > 0 && run == length {
			return true
		}
		run = 0
	}
	return false
}

// cut is the last resort for values that nobody expected: it ends a text
// between two characters.
func cut(dst []byte, room int) []byte {
	if len(dst) <= room {
		return dst
	}
	for room > 0 && !utf8.RuneStart(dst[room]) {
		room--
	}
	return dst[:room]
}

// chooseURLTexts settles which wording has room for the account page's
// address: a cut address helps nobody.
func chooseURLTexts(b *book) {
	for _, reason := range []login.Reason{login.NoNumber, login.BadNumber} {
		key := string(reason)
		for _, form := range []string{key, key + ".short", key + ".no_url"} {
			if len(b.put(nil, form, &values{})) <= MaxBytes-traceBytes {
				b.texts[key] = b.texts[form]
				break
			}
		}
	}
}
