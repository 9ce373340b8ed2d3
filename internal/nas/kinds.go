package nas

import (
	"cmp"
	"embed"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"
)

// A Kind is what is known of one make of NAS: presets for a client of that
// kind, and what to type on the NAS. It is data: kinds/NAME.yaml.
type Kind struct {
	Name  string `yaml:"-"`
	Title string `yaml:"title"`

	// Presets. What a client writes itself wins. None chooses an approval: where
	// no number can be shown, simple or off is for the administrator to say.
	Mode        string `yaml:"mode"`         // challenge, hold or append
	Hold        span   `yaml:"hold"`         // in mode hold; 0: the usual one
	LongestHold span   `yaml:"longest_hold"` // it never waits longer; 0: it can be made to
	Then        string `yaml:"then"`         // in mode hold; "": the usual one, Separator and Join alike
	Separator   string `yaml:"separator"`
	Join        string `yaml:"join"`
	BareReplies bool   `yaml:"bare_replies"` // it drops replies with Message-Authenticator

	// What it cannot do.
	Unsigned   bool `yaml:"unsigned"`    // it sends no Message-Authenticator
	MSCHAPOnly bool `yaml:"mschap_only"` // only an upstream RADIUS server can check its passwords

	Password  string `yaml:"password"`  // which protocols it speaks, and which to set
	Challenge string `yaml:"challenge"` // whether it shows one
	Waits     string `yaml:"waits"`     // how long, as it comes from the factory
	Steps     []Step `yaml:"steps"`
	Notes     []Note `yaml:"notes"`
}

// A Step is what to type at one place.
type Step struct {
	Where   string `yaml:"where"`
	Lines   string `yaml:"lines"`   // a template of Values
	Confirm bool   `yaml:"confirm"` // general knowledge: not seen to work
}

// A Note is what else is good to know.
type Note struct {
	Text    string `yaml:"text"`
	Confirm bool   `yaml:"confirm"`
}

// span is a duration as people write it.
type span time.Duration

func (s *span) UnmarshalYAML(b []byte) error {
	d, err := time.ParseDuration(strings.TrimSpace(string(b)))
	*s = span(d)
	return err
}

//go:embed kinds/*.yaml
var files embed.FS

var kinds = load()

// load reads all kinds. A file that cannot be read is our own broken promise.
func load() (all []Kind) {
	entries, err := files.ReadDir("kinds")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		raw, err := files.ReadFile(path.Join("kinds", e.Name()))
		if err != nil {
			panic(err)
		}
		k := Kind{Name: strings.TrimSuffix(e.Name(), ".yaml")}
		if err := yaml.UnmarshalWithOptions(raw, &k, yaml.Strict()); err != nil {
			panic(fmt.Sprintf("%s: %v", e.Name(), err))
		}
		for _, s := range k.Steps {
			template.Must(template.New(e.Name()).Funcs(functions).Parse(s.Lines))
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Kind) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Kinds are all that are known, by name.
func Kinds() []Kind { return kinds }

// Names are those of Kinds.
func Names() (all []string) {
	for _, k := range kinds {
		all = append(all, k.Name)
	}
	return all
}

// Find is the kind of that name.
func Find(name string) (k Kind, ok bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// HoldIn is the preset of hold in that mode, where usual is what is usual.
func (k Kind) HoldIn(mode string, usual time.Duration) time.Duration {
	if mode == "hold" && k.Hold > 0 {
		usual = time.Duration(k.Hold)
	}
	if k.LongestHold > 0 {
		usual = min(usual, time.Duration(k.LongestHold))
	}
	return usual
}

// ThenIn is the preset of then in that mode; "": the usual one.
func (k Kind) ThenIn(mode string) string {
	if mode != "hold" {
		return ""
	}
	return k.Then
}

// functions are what templates compute with.
var functions = template.FuncMap{
	"per":     func(seconds, tries int) int { return (seconds + tries - 1) / tries },
	"atLeast": func(a, b int) int { return max(a, b) },
	"atMost":  func(a, b int) int { return min(a, b) },
	"at":      net.JoinHostPort,
	"join":    strings.Join,
}
