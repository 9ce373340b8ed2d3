package demo

import "os"

// program is how to call this program again.
func program() string {
	if len(os.Args) > 0 && os.Args[0] != "" {
		return os.Args[0]
	}
	return "vssgate"
}
