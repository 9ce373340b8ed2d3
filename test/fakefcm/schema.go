package fakefcm

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A violation is what is wrong with a message, and where.
type violation struct{ field, why string }

func (v violation) Error() string { return v.field + ": " + v.why }

// A rule checks one JSON value at a path.
type rule func(path string, v any) *violation

func bad(path, format string, args ...any) *violation {
	return &violation{field: path, why: fmt.Sprintf(format, args...)}
}

// object allows exactly the named fields.
type object map[string]rule

func (o object) check(path string, v any) *violation {
	fields, ok := v.(map[string]any)
	if !ok {
		return bad(path, "must be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := strings.TrimPrefix(path+"."+name, ".")
		r, known := o[name]
		if !known {
			return bad(at, "unknown field")
		}
		if v := r(at, fields[name]); v != nil {
			return v
		}
	}
	return nil
}

func text(path string, v any) *violation {
	s, ok := v.(string)
	if !ok {
		return bad(path, "must be a string")
	}
	if s == "" {
		return bad(path, "must not be empty")
	}
	return nil
}

func boolean(path string, v any) *violation {
	if _, ok := v.(bool); !ok {
		return bad(path, "must be true or false")
	}
	return nil
}

func number(path string, v any) *violation {
	if _, ok := v.(json.Number); !ok {
		return bad(path, "must be a number")
	}
	return nil
}

func natural(path string, v any) *violation {
	n, ok := v.(json.Number)
	if !ok || !decimal.MatchString(n.String()) {
		return bad(path, "must be a whole number")
	}
	return nil
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// one is the one value that a flag of APNs has.
func one(path string, v any) *violation {
	if n, ok := v.(json.Number); !ok || n.String() != "1" {
		return bad(path, "must be 1")
	}
	return nil
}

func oneOf(allowed ...string) rule {
	return func(path string, v any) *violation {
		if s, ok := v.(string); !ok || !slices.Contains(allowed, s) {
			return bad(path, "must be one of %s", strings.Join(allowed, ", "))
		}
		return nil
	}
}

func matching(form *regexp.Regexp, what string) rule {
	return func(path string, v any) *violation {
		if s, ok := v.(string); !ok || !form.MatchString(s) {
			return bad(path, "must be %s", what)
		}
		return nil
	}
}

func listOf(each rule) rule {
	return func(path string, v any) *violation {
		list, ok := v.([]any)
		if !ok {
			return bad(path, "must be a list")
		}
		for i, v := range list {
			if v := each(fmt.Sprintf("%s[%d]", path, i), v); v != nil {
				return v
			}
		}
		return nil
	}
}

// mapOf checks the name and the value of each field of a free-form object.
func mapOf(name func(path, name string) *violation, value rule) rule {
	return func(path string, v any) *violation {
		fields, ok := v.(map[string]any)
		if !ok {
			return bad(path, "must be an object")
		}
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			at := path + "." + key
			if v := name(at, key); v != nil {
				return v
			}
			if v := value(at, fields[key]); v != nil {
				return v
			}
		}
		return nil
	}
}

// all applies one rule after the other.
func all(rules ...rule) rule {
	return func(path string, v any) *violation {
		for _, r := range rules {
			if v := r(path, v); v != nil {
				return v
			}
		}
		return nil
	}
}
