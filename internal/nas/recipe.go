package nas

import (
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
)

// A Client is what a recipe needs to know of a client in the configuration.
type Client struct {
	Name       string
	Servers    []string // addresses of ours that the NAS can ask
	Port       string
	SecretFile string // where its secret is; "": in the configuration itself
	Mode       string
	Hold       time.Duration
	Addresses  []string
	Approval   string
}

// A Recipe is what to do for one kind of NAS.
type Recipe struct {
	Kind      string   `json:"kind"`
	Title     string   `json:"title"`
	Client    string   `json:"client,omitempty"`
	Mode      string   `json:"mode"`
	HoldMS    int64    `json:"hold_ms"`
	WaitMS    int64    `json:"wait_ms"` // how long the NAS must wait in all
	Password  string   `json:"password"`
	Challenge string   `json:"challenge"`
	Waits     string   `json:"waits"`  // from the factory
	Secret    string   `json:"secret"` // where the secret is that SECRET stands for
	Steps     []Filled `json:"steps"`
	YAML      string   `json:"yaml"` // a client of radius.clients
	Notes     []Told   `json:"notes"`
	Warnings  []string `json:"warnings,omitempty"`
}

// Filled is a Step with its lines filled in; Told is a Note.
type (
	Filled struct {
		Where   string `json:"where"`
		Lines   string `json:"lines"`
		Confirm bool   `json:"confirm"` // on your version
	}
	Told struct {
		Text    string `json:"text"`
		Confirm bool   `json:"confirm"`
	}
)

// Unnamed stands in for a client when none is named: VSSGATE is our address,
// the rest an example.
func Unnamed(k Kind) Client {
	c := Client{
		Name: "my-nas", Servers: []string{"VSSGATE"}, Port: "1812", SecretFile: "my-nas.secret", Mode: k.Mode,
		Hold: k.HoldIn(k.Mode, usualHold(k.Mode)), Addresses: []string{"192.0.2.10"},
	}
	if k.Mode != "challenge" {
		c.Approval = "simple"
	}
	return c
}

func usualHold(mode string) time.Duration {
	switch mode {
	case "challenge":
		return 5 * time.Second
	case "hold":
		return 55 * time.Second
	}
	return 0
}

// secret says where the secret is.
func (c Client) secret() string {
	if c.SecretFile == "" {
		return "secret of the client " + c.Name + " in the configuration"
	}
	return c.SecretFile
}

// reserve is what an answer may take besides hold: the directory, and the way.
const reserve = 5 * time.Second

// Wait is how long a NAS must wait for an answer, in all.
func (c Client) Wait() time.Duration {
	if c.Mode == "hold" {
		return c.Hold + reserve
	}
	return max(c.Hold+reserve, 2*reserve)
}

// Recipe fills in what to do for a client.
func (k Kind) Recipe(c Client) Recipe {
	r := Recipe{
		Kind: k.Name, Title: k.Title, Client: c.Name, Mode: c.Mode, HoldMS: c.Hold.Milliseconds(), WaitMS: c.Wait().Milliseconds(),
		Password: k.Password, Challenge: k.Challenge, Waits: k.Waits, Secret: c.secret(), YAML: k.yaml(c),
	}
	values := map[string]any{
		"Servers": c.Servers, "Port": c.Port, "Secret": "SECRET", "Wait": int((c.Wait() + time.Second - 1) / time.Second),
	}
	for _, s := range k.Steps {
		r.Steps = append(r.Steps, Filled{s.Where, fill(s.Lines, values), s.Confirm})
	}
	for _, n := range k.Notes {
		r.Notes = append(r.Notes, Told(n))
	}
	if k.LongestHold > 0 && c.Hold > time.Duration(k.LongestHold) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("hold: %s is longer than this NAS ever waits: write hold: %s", short(c.Hold), short(time.Duration(k.LongestHold))))
	}
	return r
}

func fill(lines string, values map[string]any) string {
	var b strings.Builder
	if err := template.Must(template.New("").Funcs(functions).Parse(lines)).Execute(&b, values); err != nil {
		panic(err) // a test fills in every kind
	}
	return strings.TrimRight(b.String(), "\n ")
}

// yaml is the client as it is written in vssgate.yaml.
func (k Kind) yaml(c Client) string {
	var b strings.Builder
	fmt.Fprintf(&b, "radius:\n  clients:\n    - name: %s\n      addresses: [%s]\n", c.Name, strings.Join(c.Addresses, ", "))
	if c.SecretFile == "" {
		fmt.Fprintln(&b, "      # secret: as it is")
	} else {
		fmt.Fprintf(&b, "      secret_file: %s\n", c.SecretFile)
	}
	fmt.Fprintf(&b, "      nas: %s\n", k.Name)
	if c.Mode != k.Mode {
		fmt.Fprintf(&b, "      mode: %s\n", c.Mode)
	}
	if c.Hold != k.HoldIn(c.Mode, usualHold(c.Mode)) {
		fmt.Fprintf(&b, "      hold: %s\n", short(c.Hold))
	}
	if c.Mode != "challenge" {
		fmt.Fprintf(&b, "      approval: %s   # approve or deny; off: codes only\n", c.Approval)
	}
	return b.String()
}

// Print writes a recipe for a terminal.
func (r Recipe) Print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", r.Title)
	fmt.Fprintf(w, "  password    %s\n  challenge   %s\n  waits       %s\n\n", r.Password, r.Challenge, r.Waits)
	fmt.Fprintf(w, "On the NAS. With mode %s and hold %s it must wait %s for an answer, in all.\nSECRET stands for what is in %s.\n",
		r.Mode, short(ms(r.HoldMS)), short(ms(r.WaitMS)), r.Secret)
	for _, s := range r.Steps {
		fmt.Fprintf(w, "\n  %s%s\n%s\n", s.Where, confirm(s.Confirm), indent(s.Lines))
	}
	fmt.Fprintf(w, "\nIn vssgate.yaml\n\n%s\n", indent(r.YAML))
	if len(r.Notes) > 0 {
		fmt.Fprintln(w, "\nGood to know")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  - %s%s\n", n.Text, confirm(n.Confirm))
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "\nWarning: %s\n", warning)
	}
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func confirm(is bool) string {
	if is {
		return " (confirm on your version)"
	}
	return ""
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
