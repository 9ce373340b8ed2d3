package config

// AllKeys are all keys that are accepted.
var AllKeys = allKeys

// Written are the keys that stand in a file, without list positions.
func Written(path string, src []byte) map[string]bool {
	d := newDecoder(path)
	d.parse(src, Default())
	keys := map[string]bool{}
	for path := range d.places {
		keys[withoutPositions(path)] = true
	}
	return keys
}
