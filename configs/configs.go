// Package configs holds the sample configuration: every key that this version
// accepts, with its default and its reason.
package configs

import _ "embed"

// Sample is what `vssgate init` writes.
//
//go:embed vssgate.yaml
var Sample []byte
