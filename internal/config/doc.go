// Package config reads vssgate.yaml, strictly: unknown keys, duplicate keys,
// wrong types and contradictions are all told at once, each with its line and
// column and the way out.
//
//	c, err := config.Load("/etc/vssgate/vssgate.yaml")
//	// err prints FILE:LINE:COLUMN: message, a line each; c.Warnings are no mistakes
//
// Map: config.go (the values, their defaults and why), decode.go (YAML to
// values, with positions), check.go (what must fit together), later.go (keys
// whose feature is not there yet), init.go (vssgate init).
package config
