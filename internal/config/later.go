package config

// later are keys of features that this version does not have: unknown, hence
// an error, but one that does not look like a typing error. List positions are
// left out of the path.
var later = map[string]bool{
	"alerts": true,
}
