package texts

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"vssgate/internal/login"
)

// values are what the variables of a text stand for.
type values struct {
	count      int // chooses between one and other
	number     string
	tries      int
	valid      time.Duration
	grace      time.Duration
	reportLock time.Duration
	hold       time.Duration
	left       time.Duration
	until      time.Time
	date       time.Time
	separator  string
	client     string
	from       string
	username   string
	code       string
	codes      login.FactorSet // of the account's own, that can confirm

	now  time.Time
	zone *time.Location

	// avoid is a length: no other number of so many digits may stand in the
	// text, because one of that length is to be typed on the phone. 0: none.
	avoid int
}

const (
	clockForm = "15:04"
	dateForm  = "02/01/2006"
)

func (b *book) fill(dst []byte, what variable, v *values) []byte {
	switch what {
	case varNumber:
		return append(dst, v.number...)
	case varTries:
		return strconv.AppendInt(dst, int64(v.tries), 10)
	case varCount:
		return strconv.AppendInt(dst, int64(v.count), 10)
	case varValid:
		return b.duration(dst, v.valid, v.avoid)
	case varGrace:
		return b.duration(dst, v.grace, v.avoid)
	case varReportLock:
		return b.duration(dst, v.reportLock, v.avoid)
	case varHold:
		return b.duration(dst, v.hold, v.avoid)
	case varLeft:
		return b.left(dst, v.left)
	case varUntil:
		return b.until(dst, v)
	case varClock:
		return v.until.In(v.zone).AppendFormat(dst, clockForm)
	case varDate:
		return v.date.In(v.zone).AppendFormat(dst, dateForm)
	case varHow:
		return b.put(dst, howKey(v.separator), v)
	case varCodes:
		return b.codes(dst, v.codes)
	case varJoined:
		return b.put(dst, joinedKey(v.separator), v)
	}
	return b.fillString(dst, what, v)
}

func (b *book) fillString(dst []byte, what variable, v *values) []byte {
	switch what {
	case varSeparator:
		return append(dst, b.clean(v.separator)...)
	case varClient:
		return append(dst, b.clean(v.client)...)
	case varFrom:
		return append(dst, b.clean(v.from)...)
	case varUsername:
		return append(dst, b.clean(v.username)...)
	case varCode:
		half := len(v.code) / 2
		return append(append(append(dst, v.code[:half]...), ' '), v.code[half:]...)
	}
	return dst
}

// codes names codes of an account's own; all there are where none is said.
func (b *book) codes(dst []byte, which login.FactorSet) []byte {
	names := []struct {
		kind login.FactorSet
		key  string
	}{{login.AllowTOTP, "codes.totp"}, {login.AllowHelp, "codes.help"}, {login.AllowRecovery, "codes.recovery"}}
	first := true
	for _, n := range names {
		if which != 0 && which&n.kind == 0 {
			continue
		}
		if !first {
			dst = b.put(dst, "codes.or", &values{})
		}
		dst, first = b.put(dst, n.key, &values{}), false
	}
	return dst
}

func howKey(separator string) string {
	switch separator {
	case ",":
		return "append.how.comma"
	case "":
		return "append.how.none"
	}
	return "append.how.symbol"
}

func joinedKey(separator string) string {
	if separator == "" {
		return "append.joined.none"
	}
	return "append.joined.symbol"
}

// duration says whole minutes from two on, and seconds otherwise. Where a
// number of avoid digits would mislead it rounds down to what can be said
// without one.
func (b *book) duration(dst []byte, d time.Duration, avoid int) []byte {
	seconds := int(d / time.Second)
	minutes := seconds / 60
	key, n := "duration.seconds", seconds
	if minutes >= 2 && seconds%60 == 0 {
		key, n = "duration.minutes", minutes
	}
	if digits(n) == avoid {
		key, n = "duration.minutes", minutes
		switch {
		case minutes == 0:
			key = "duration.under_a_minute"
		case minutes >= 10:
			key = "duration.ten_minutes"
		}
	}
	return b.putText(dst, b.texts[key], n, &values{count: n})
}

// left says minutes and seconds, for a countdown.
func (b *book) left(dst []byte, d time.Duration) []byte {
	seconds := max(0, int(d/time.Second))
	minutes := seconds / 60
	seconds %= 60
	if minutes > 0 {
		dst = b.putText(dst, b.texts["left.minutes"], minutes, &values{count: minutes})
		if seconds == 0 {
			return dst
		}
		dst = append(dst, ' ')
	}
	return b.putText(dst, b.texts["left.seconds"], seconds, &values{count: seconds})
}

// until says the time of day, and the date when it is not today.
func (b *book) until(dst []byte, v *values) []byte {
	until, now := v.until.In(v.zone), v.now.In(v.zone)
	if until.Year() == now.Year() && until.YearDay() == now.YearDay() {
		return until.AppendFormat(dst, clockForm)
	}
	return b.put(dst, "clock.other_day", &values{until: v.until, date: v.until, zone: v.zone})
}

func digits(n int) (count int) {
	for count = 1; n >= 10; n /= 10 {
		count++
	}
	return count
}

// composed brings s to NFC.
func composed(s string) string { return norm.NFC.String(s) }

// plain strips diacritics and whatever else is not ASCII. The Vietnamese d
// with stroke has no decomposition, so it is named.
func plain(s string) string {
	if isASCII(s) {
		return s
	}
	var out strings.Builder
	for _, r := range norm.NFD.String(s) {
		switch {
		case r < unicode.MaxASCII:
			out.WriteRune(r)
		case r == 'đ':
			out.WriteByte('d')
		case r == 'Đ':
			out.WriteByte('D')
		case unicode.Is(unicode.Mn, r):
		default:
			out.WriteByte('?')
		}
	}
	return out.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}
