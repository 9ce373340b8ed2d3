//go:build !linux

package phone

import "io"

// singleKeys does nothing here: each key is followed by Enter.
func singleKeys(io.Reader) (restore func()) { return func() {} }
