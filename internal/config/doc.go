// Package config reads vssgate.yaml, strictly: unknown keys, keys given twice,
// wrong types, missing files and contradictions are all told at once, each with
// its line and column and the way out.
//
//	c, err := config.Load("/etc/vssgate/vssgate.yaml")
//	// err prints FILE:LINE:COLUMN: message, a line each; c.Warnings are no mistakes
//
//	vssgate.yaml -> syntax tree -> decoder -> Config with defaults -> check -> Config
//	                                  |                                 |
//	                               Problems  <--------------------- Problems
//
// A Config that comes out needs no further check: durations are bounded, paths
// are absolute, every client names its first factor, its language, its hold and
// its way of approval, and what the parts check when they are made has been
// checked. No message quotes a secret.
//
// Map: config.go (the values, their defaults and why), load.go (from a file to a
// Config or Problems), yaml.go (from bytes to a syntax tree), decode.go,
// scalar.go and reply.go (the syntax tree into values, with their places), keys.go (names that are unknown, and what was meant), later.go
// (names whose feature is not there yet), check.go and check_*.go (what must hold
// of a value and between values), files.go (files that must be there), init.go
// (vssgate init).
package config
