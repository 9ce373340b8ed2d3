package radius

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsNoPersonsLogin(t *testing.T) {
	auth := authOf(1)
	const station = "00-1B-63-84-45-E6"
	callCheck := attr{6, []byte{0, 0, 0, 10}}
	for name, c := range map[string]struct {
		user  string
		attrs []attr
		want  string // "": a login
	}{
		"an access list":                           {"#ACSACL#-IP-vpn-5f3a", []attr{hidden("", auth)}, rejectedACL},
		"an access list, no password":              {"#ACSACL#-IP-vpn-5f3a", nil, rejectedACL},
		"a name that only has it inside":           {"an#ACSACL#", []attr{hidden("secret", auth)}, ""},
		"digits alone":                             {"001b638445e6", []attr{text(31, station), hidden("001b638445e6", auth)}, rejectedMAC},
		"as the station is written":                {station, []attr{text(31, station), hidden(station, auth)}, rejectedMAC},
		"Cisco's dots":                             {"001b.6384.45e6", []attr{text(31, "00:1b:63:84:45:e6"), hidden("001B638445E6", auth)}, rejectedMAC},
		"Comware's two halves":                     {"001b63-8445e6", []attr{text(31, station), hidden("001b63-8445e6", auth)}, rejectedMAC},
		"a password of its own, Call-Check":        {"001b638445e6", []attr{text(31, station), hidden("a common one", auth), callCheck}, rejectedMAC},
		"no password":                              {"001b638445e6", []attr{text(31, station)}, rejectedMAC},
		"an empty password":                        {"001b638445e6", []attr{text(31, station), hidden("", auth)}, rejectedMAC},
		"CHAP":                                     {"001b638445e6", []attr{text(31, station), text(3, "seventeen bytes..")}, rejectedMAC},
		"EAP":                                      {"001b638445e6", []attr{text(31, station), {79, []byte{2, 9, 0, 5, 1}}}, rejectedMAC},
		"a password of its own":                    {"001b638445e6", []attr{text(31, station), hidden("somebody's", auth)}, ""},
		"another station":                          {"001b638445e6", []attr{text(31, "00-1B-63-84-45-E7"), hidden("001b638445e6", auth)}, ""},
		"no station":                               {"001b638445e6", []attr{hidden("001b638445e6", auth)}, ""},
		"a person at a station":                    {"an.nv", []attr{text(31, station), hidden("001b638445e6", auth)}, ""},
		"a person whose NAS says Call-Check":       {"an.nv", []attr{text(31, station), hidden("secret", auth), callCheck}, ""},
		"an address that has twelve digits":        {"192.168.100.200", []attr{text(31, "192.168.100.200")}, rejectedNone},
		"a name that is nearly one":                {"001b.6384.45eg", []attr{text(31, "001b.6384.45eg"), hidden("001b.6384.45eg", auth)}, ""},
		"no hardware, however zero":                {"000000000000", []attr{text(31, "vpn"), hidden("000000000000", auth)}, ""},
		"thirteen digits":                          {"001b638445e67", []attr{text(31, "001b638445e67"), hidden("001b638445e67", auth)}, ""},
		"a code that answers a challenge, no name": {"001b638445e6", []attr{text(31, station), hidden("001b638445e6", auth), text(24, "state")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, drop := readingOf(t, signed(1, 1, auth, 0, append([]attr{text(1, c.user)}, c.attrs...)...))
			require.Empty(t, drop)
			require.Equal(t, c.want, r.refused)
			require.Equal(t, c.want == "", r.request != nil)
		})
	}
}
