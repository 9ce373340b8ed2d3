package nas

import (
	"fmt"
	"strings"
	"time"
)

// Page is the part of docs/nas.md that is made from the kinds.
func Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| `nas:` | is | `mode` | `hold` |\n|---|---|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| [%s](#%[1]s) | %s | %s | %s |\n", k.Name, k.Title, k.Mode, held(Unnamed(k).Hold))
	}
	for _, k := range kinds {
		k.section(&b)
	}
	return b.String()
}

func held(hold time.Duration) string {
	if hold == 0 {
		return "-"
	}
	return short(hold)
}

func (k Kind) section(b *strings.Builder) {
	r := k.Recipe(Unnamed(k))
	fmt.Fprintf(b, "\n## %s\n\n%s. Password: %s. Challenge: %s. Waits: %s.\n", k.Name, r.Title, r.Password, r.Challenge, r.Waits)
	for _, s := range r.Steps {
		fmt.Fprintf(b, "\n%s%s:\n\n```text\n%s\n```\n", escaped(s.Where), confirm(s.Confirm), s.Lines)
	}
	fmt.Fprintf(b, "\nHere:\n\n```yaml\n%s```\n", r.YAML)
	for i, n := range r.Notes {
		if i == 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "- %s%s\n", escaped(n.Text), confirm(n.Confirm))
	}
}

// escaped is text in which < is no tag.
func escaped(text string) string { return strings.ReplaceAll(text, "<", "&lt;") }
