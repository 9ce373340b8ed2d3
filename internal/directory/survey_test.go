package directory

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNamesOfASchemaAndOfAFilterAreRead(t *testing.T) {
	known := attributeNames([]string{
		"( 2.5.18.1 NAME 'createTimestamp' DESC 'NAME ''x''' EQUALITY generalizedTimeMatch )",
		"( 0.9.2342.19200300.100.1.1 NAME ( 'uid' 'userId' ) SUP name )", "( 1.2.3 DESC 'nameless' )", "rubbish",
	})
	require.Equal(t, map[string]bool{"createtimestamp": true, "uid": true, "userid": true}, known)
	require.Equal(t, []string{"objectClass", "uid", "mail", "memberOf", "sAMAccountName"},
		filterAttributes("(&(objectClass=person)(|(uid={username})( mail=*))(memberOf:1.2.840.113556.1.4.1941:=cn=x)(!(sAMAccountName>=a)))"))
}

// What a schema says is read without harm, whatever it is.
func FuzzAttributeNames(f *testing.F) {
	f.Add("( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )")
	f.Fuzz(func(t *testing.T, line string) {
		for name := range attributeNames([]string{line}) {
			if name != strings.ToLower(name) || strings.ContainsAny(name, " \t\n") {
				t.Fatalf("%q is no name to compare with", name)
			}
		}
		filterAttributes(line)
	})
}
