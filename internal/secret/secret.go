// Package secret holds the type of everything that must never be printed:
// shared secrets, bind passwords, tokens.
package secret

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a secret looks like wherever it is printed.
const Redacted = "[secret]"

// Secret is a string that prints as Redacted through String, every fmt verb,
// JSON and slog. Reveal gives the value.
type Secret string

// Reveal returns the value itself. Never hand it to a log or an error.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string               { return Redacted }
func (s Secret) GoString() string             { return Redacted }
func (s Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, Redacted) }
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(Redacted) }
