package enrol

import (
	"strconv"
	"strings"
)

// parseVersion reads numbers between dots: "1.6.8".
func parseVersion(s string) (parts []uint64, ok bool) {
	for part := range strings.SplitSeq(s, ".") {
		if strings.HasPrefix(part, "+") {
			return nil, false
		}
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, false
		}
		parts = append(parts, n)
	}
	return parts, true
}

// older tells whether version is below least. What cannot be read is old; a
// number that is missing is 0.
func older(version, least string) bool {
	v, ok := parseVersion(version)
	if !ok {
		return true
	}
	l, _ := parseVersion(least)
	for i := range max(len(v), len(l)) {
		if a, b := at(v, i), at(l, i); a != b {
			return a < b
		}
	}
	return false
}

func at(parts []uint64, i int) uint64 {
	if i < len(parts) {
		return parts[i]
	}
	return 0
}
