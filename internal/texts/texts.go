package texts

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/text/language"
)

// Options are what the texts say besides their words. The zero value of each
// means its default.
type Options struct {
	Language   string         // vi or en, for clients that name none; default vi
	AccountURL string         // where a missing number is declared; default https://user.baohiemxahoi.gov.vn
	Support    string         // added to a reply where it fits; default nothing
	PlainASCII bool           // replies without diacritics, for clients that cannot show them
	TimeZone   *time.Location // of times of day; default UTC
	CodeDigits int            // of a code; default 6
	MinVersion string         // oldest VssID that is asked; default 1.6.8
	ValidFor   time.Duration  // of a code, where the reply does not say; default 2 minutes
	Grace      time.Duration  // how long a late approval is kept; default 60 seconds
	ReportLock time.Duration  // how long a reported account is locked; default 15 minutes
	HasBackend bool           // VssID's own servers enrol phones, so users need no activation code

	Now func() time.Time // default time.Now; says whether "until" is today
}

// Texts renders. It is safe for concurrent use.
type Texts struct {
	o       Options
	books   map[string]*book // as they are
	replies map[string]*book // what Reply uses: as they are, or in plain ASCII
	matcher language.Matcher
}

// New compiles the texts.
func New(o Options) (*Texts, error) {
	t := &Texts{o: o.withDefaults(), books: map[string]*book{}, replies: map[string]*book{}}
	if !known(t.o.Language) {
		return nil, fmt.Errorf("language %q: want vi or en", o.Language)
	}
	clean := composed
	if o.PlainASCII {
		clean = plain
	}
	for _, lang := range languages {
		var err error
		if t.books[lang], err = compile(lang, t.o.constants(), composed); err != nil {
			return nil, err
		}
		if t.replies[lang], err = compile(lang, t.o.constants(), clean); err != nil {
			return nil, err
		}
		chooseURLTexts(t.replies[lang])
	}
	t.o.Support = clean(t.o.Support)
	t.matcher = language.NewMatcher([]language.Tag{language.Make(t.o.Language), language.Vietnamese, language.English})
	return t, nil
}

func (o Options) withDefaults() Options {
	orString(&o.Language, "vi")
	orString(&o.AccountURL, "https://user.baohiemxahoi.gov.vn")
	orString(&o.MinVersion, "1.6.8")
	orDuration(&o.ValidFor, 2*time.Minute)
	orDuration(&o.Grace, time.Minute)
	orDuration(&o.ReportLock, 15*time.Minute)
	if o.CodeDigits == 0 {
		o.CodeDigits = 6
	}
	if o.TimeZone == nil {
		o.TimeZone = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orString(s *string, d string) {
	if *s == "" {
		*s = d
	}
}

func orDuration(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// constants are the variables of the text files that never change.
func (o Options) constants() map[string]string {
	return map[string]string{
		"Digits":     strconv.Itoa(o.CodeDigits),
		"Example":    "12345678"[:o.CodeDigits],
		"MinVersion": o.MinVersion,
		"AccountURL": o.AccountURL,
	}
}

func known(lang string) bool {
	for _, l := range languages {
		if l == lang {
			return true
		}
	}
	return false
}

// Language is the best of our languages for an Accept-Language header
// (RFC 9110 section 12.5.4); the configured one when it says nothing useful.
func (t *Texts) Language(acceptLanguage string) string {
	tag, _ := language.MatchStrings(t.matcher, acceptLanguage)
	base, _ := tag.Base()
	if known(base.String()) {
		return base.String()
	}
	return t.o.Language
}

// Get renders the text under key in lang (vi, en; anything else: the
// configured language). values fills the variables that the text names:
// strings, and time.Duration for Valid, Hold and Left, time.Time for Date and
// Until, int for Tries. Valid, Grace and Separator have defaults. An unknown
// key is returned as it is.
func (t *Texts) Get(lang, key string, vals map[string]any) string {
	v := t.defaults()
	for name, value := range vals {
		v.set(name, value)
	}
	return string(t.books[t.lang(lang)].put(nil, key, &v))
}

// Has tells whether there is a text under key.
func (t *Texts) Has(key string) bool {
	_, ok := t.books[t.o.Language].texts[key]
	return ok
}

func (t *Texts) lang(lang string) string {
	if known(lang) {
		return lang
	}
	return t.o.Language
}

func (t *Texts) defaults() values {
	return values{
		valid: t.o.ValidFor, grace: t.o.Grace, reportLock: t.o.ReportLock,
		separator: ",", zone: t.o.TimeZone, now: t.o.Now(),
	}
}

// set fills one variable; what has another type than the text expects is shown
// nowhere rather than wrongly.
func (v *values) set(name string, value any) {
	switch value := value.(type) {
	case string:
		v.setString(name, value)
	case time.Duration:
		v.setDuration(name, value)
	case time.Time:
		v.until, v.date = value, value
	case int:
		v.tries, v.count = value, value
	}
}

func (v *values) setString(name, value string) {
	switch name {
	case "Number":
		v.number = value
	case "Separator":
		v.separator = value
	case "Client":
		v.client = value
	case "From":
		v.from = value
	case "Username":
		v.username = value
	case "Code":
		v.code = value
	}
}

func (v *values) setDuration(name string, value time.Duration) {
	switch name {
	case "Valid":
		v.valid = value
	case "Grace":
		v.grace = value
	case "Hold":
		v.hold = value
	case "Left":
		v.left = value
	}
}
