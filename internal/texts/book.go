package texts

import (
	"embed"
	"fmt"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed vi.json en.json
var files embed.FS

var languages = []string{"vi", "en"}

// A variable is a place in a text that is filled when it is rendered.
type variable uint8

const (
	literal variable = iota // no place: the piece is its own text
	varNumber
	varTries
	varCount
	varValid
	varGrace
	varReportLock
	varHold
	varLeft
	varUntil
	varClock
	varDate
	varHow
	varJoined
	varSeparator
	varClient
	varFrom
	varUsername
	varCode
	varCodes
)

// variables are their names in the text files.
var variables = map[string]variable{
	"Number": varNumber, "Tries": varTries, "Count": varCount,
	"Valid": varValid, "Grace": varGrace, "ReportLock": varReportLock, "Hold": varHold, "Left": varLeft,
	"Until": varUntil, "Clock": varClock, "Date": varDate,
	"How": varHow, "Joined": varJoined, "Separator": varSeparator,
	"Client": varClient, "From": varFrom, "Username": varUsername, "Code": varCode, "Codes": varCodes,
}

// A book is every text of one language, compiled.
type book struct {
	texts map[string]text
	clean func(string) string // how foreign strings become fit for this book
}

// A text has a form for one of what it counts and a form for all else: more
// the two languages do not need (CLDR: en one and other, vi other).
type text struct{ one, other []piece }

type piece struct {
	what variable
	text string // literal
}

// marker encloses the name of a variable while go-i18n renders the constants.
const marker = "\x00"

// compile lets go-i18n fill in the constants and leave the variables marked.
func compile(lang string, constants map[string]string, clean func(string) string) (*book, error) {
	bundle := i18n.NewBundle(language.English)
	raw, err := files.ReadFile(lang + ".json")
	if err != nil {
		return nil, err
	}
	file, err := bundle.ParseMessageFileBytes(raw, lang+".json")
	if err != nil {
		return nil, fmt.Errorf("texts %s: %w", lang, err)
	}
	data := map[string]string{}
	for name := range variables {
		data[name] = marker + name + marker
	}
	for name, value := range constants {
		data[name] = value
	}
	b := &book{texts: map[string]text{}, clean: clean}
	localizer := i18n.NewLocalizer(bundle, lang)
	for _, m := range file.Messages {
		if b.texts[m.ID], err = compileText(localizer, m, data, clean); err != nil {
			return nil, fmt.Errorf("text %s of %s: %w", m.ID, lang, err)
		}
	}
	return b, nil
}

func compileText(l *i18n.Localizer, m *i18n.Message, data map[string]string, clean func(string) string) (t text, err error) {
	config := i18n.LocalizeConfig{MessageID: m.ID, TemplateData: data}
	if t.other, err = localize(l, config, clean); err != nil || m.One == "" {
		t.one = t.other
		return t, err
	}
	config.PluralCount = 1
	t.one, err = localize(l, config, clean)
	return t, err
}

func localize(l *i18n.Localizer, config i18n.LocalizeConfig, clean func(string) string) ([]piece, error) {
	s, err := l.Localize(&config)
	if err != nil {
		return nil, err
	}
	return split(s, clean)
}

// split cuts a text at its markers.
func split(s string, clean func(string) string) (pieces []piece, err error) {
	if strings.Contains(s, "<no value>") {
		return nil, fmt.Errorf("unknown variable: %q", s)
	}
	for i, part := range strings.Split(s, marker) {
		switch {
		case part == "":
		case i%2 == 0:
			pieces = append(pieces, piece{text: clean(part)})
		default:
			pieces = append(pieces, piece{what: variables[part]})
		}
	}
	return pieces, nil
}

// put appends the text under key; an unknown key is its own text, so that it
// is seen.
func (b *book) put(dst []byte, key string, v *values) []byte {
	t, ok := b.texts[key]
	if !ok {
		return append(dst, key...)
	}
	return b.putText(dst, t, v.count, v)
}

func (b *book) putText(dst []byte, t text, count int, v *values) []byte {
	pieces := t.other
	if count == 1 {
		pieces = t.one
	}
	for i := range pieces {
		if pieces[i].what == literal {
			dst = append(dst, pieces[i].text...)
		} else {
			dst = b.fill(dst, pieces[i].what, v)
		}
	}
	return dst
}
