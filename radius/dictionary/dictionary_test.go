package dictionary

import (
	"bufio"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/dictionary"
	"layeh.com/radius/rfc2865"
)

// theirs is what FreeRADIUS calls attributes: the names that administrators
// know, and that radclient prints.
func theirs(t *testing.T) map[string]number {
	t.Helper()
	paths, err := filepath.Glob("/usr/share/freeradius/dictionary.*")
	require.NoError(t, err)
	require.NotEmpty(t, paths, "FreeRADIUS's dictionaries are missing: apt-get install freeradius-utils")
	found := map[string]number{}
	for _, path := range paths {
		f, err := os.Open(path)
		require.NoError(t, err)
		vendor, vendors := uint64(0), map[string]uint64{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			switch {
			case len(words) < 2:
			case words[0] == "VENDOR":
				vendors[words[1]], _ = strconv.ParseUint(words[2], 10, 32)
			case words[0] == "BEGIN-VENDOR":
				vendor = vendors[words[1]]
			case words[0] == "END-VENDOR":
				vendor = 0
			case words[0] == "ATTRIBUTE":
				if n, err := strconv.ParseUint(words[2], 0, 8); err == nil {
					found[words[1]] = number{uint32(vendor), byte(n)}
				}
			}
		}
		require.NoError(t, f.Close())
	}
	return found
}

func TestNamesAndNumbersAreThoseOfFreeRADIUS(t *testing.T) {
	known := theirs(t)
	for _, a := range all().byName {
		require.Equal(t, number{a.Vendor, a.Type}, known[a.Name], a.Name)
	}
	require.Greater(t, len(all().byName), 200)
}

func TestEveryFileIsWhatThePackageCanDo(t *testing.T) {
	for _, a := range all().byName {
		require.Same(t, a, ByNumber(a.Vendor, a.Type), "%s shares its number", a.Name)
		switch a.kind {
		case dictionary.AttributeString, dictionary.AttributeOctets, dictionary.AttributeInteger,
			dictionary.AttributeIPAddr, dictionary.AttributeIPv6Addr, dictionary.AttributeIPv6Prefix:
		default:
			require.Fail(t, "unknown type", "%s is %v", a.Name, a.kind)
		}
	}
	paths, err := filepath.Glob("*.dict")
	require.NoError(t, err)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(content), "format=", "vendors with another form of attributes are not encoded")
	}
}

func TestEncode(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"Filter-Id", "admins", "0b 61646d696e73"},
		{"filter-ID", "Quản trị", "0b 5175e1baa36e207472e1bb8b"},
		{"Filter-Id", strings.Repeat("x", 253), "0b " + strings.Repeat("78", 253)},
		{"Class", "OU=staff;", "19 4f553d73746166663b"},
		{"Class", "0x00ff", "19 00ff"},
		{"Session-Timeout", "3600", "1b 00000e10"},
		{"Session-Timeout", "4294967295", "1b ffffffff"},
		{"Service-Type", "Administrative-User", "06 00000006"},
		{"Service-Type", "administrative-user", "06 00000006"},
		{"Service-Type", "6", "06 00000006"},
		{"Framed-IP-Address", "192.0.2.7", "08 c0000207"},
		{"Framed-IPv6-Address", "2001:db8::7", "a8 20010db8000000000000000000000007"},
		{"Framed-IPv6-Prefix", "2001:db8:1::/64", "61 004020010db800010000"},
		{"Framed-Interface-Id", "0x0000000000000001", "60 0000000000000001"},
		{"Tunnel-Type", "VLAN", "40 0000000d"},
		{"Tunnel-Type:1", "VLAN", "40 0100000d"},
		{"Tunnel-Medium-Type:31", "IEEE-802", "41 1f000006"},
		{"Tunnel-Private-Group-Id", "20", "51 3230"},
		{"Tunnel-Private-Group-Id:1", "20", "51 013230"},
		{"Fortinet-Group-Name", "vpn-admins", "1a 00003044 01 0c 76706e2d61646d696e73"},
		{"Cisco-AVPair", "shell:priv-lvl=15", "1a 00000009 01 13 7368656c6c3a707269762d6c766c3d3135"},
		{"PaloAlto-User-Group", "vpn", "1a 00006375 05 05 76706e"},
		{"Juniper-Local-User-Name", "ops", "1a 00000a4c 01 05 6f7073"},
		{"Citrix-User-Groups", "vpn", "1a 00000042 10 05 76706e"},
		{"CP-Gaia-User-Role", "adminRole", "1a 00000a3c e5 0b 61646d696e526f6c65"},
		{"CP-Gaia-SuperUser-Access", "1", "1a 00000a3c e6 06 00000001"},
		{"MS-Primary-DNS-Server", "192.0.2.53", "1a 00000137 1c 06 c0000235"},
		{"Mikrotik-Group", "full", "1a 00003a8c 03 06 66756c6c"},
		{"Aruba-User-Role", "staff", "1a 000039e7 01 07 7374616666"},
		{"Attr-26.12356.1", "vpn-admins", "1a 00003044 01 0c 76706e2d61646d696e73"},
		{"Attr-26.99999.200", "0x0102", "1a 0001869f c8 04 0102"},
		{"Attr-27", "60", "1b 0000003c"},
		{"Attr-119", "x", "77 78"},
	} {
		t.Run(c.name+"="+c.text[:min(len(c.text), 20)], func(t *testing.T) {
			f, err := Reply(c.name)
			require.NoError(t, err)
			avp, err := f.Encode(c.text)
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(c.want, " ", ""), hex.EncodeToString(append([]byte{avp.Type}, avp.Value...)))
		})
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"Filter-Id", "", "want a value, or take it out"},
		{"Filter-Id", "a\x00b", "want text in UTF-8, without NUL"},
		{"Filter-Id", "\xff", "want text in UTF-8, without NUL"},
		{"Filter-Id", strings.Repeat("x", 254), "254 bytes; at most 253 fit into this attribute"},
		{"Cisco-AVPair", strings.Repeat("x", 248), "248 bytes; at most 247 fit into this attribute"},
		{"Tunnel-Private-Group-Id:1", strings.Repeat("x", 253), "254 bytes; at most 253 fit into this attribute"},
		{"Class", "0x0", "want pairs of hexadecimal digits behind 0x"},
		{"Class", "0x", "want a value, or take it out"},
		{"Framed-Interface-Id", "0x01", "1 bytes; want 8, in hexadecimal behind 0x"},
		{"Session-Timeout", "1h", "want a whole number of 0 to 4294967295"},
		{"Session-Timeout", "-1", "want a whole number of 0 to 4294967295"},
		{"Session-Timeout", "4294967296", "want a whole number of 0 to 4294967295"},
		{"Termination-Action", "Reboot", "want Default, RADIUS-Request, or a number"},
		{"Tunnel-Preference", "16777216", "want a whole number of 0 to 16777215: the first byte is the tag's"},
		{"Framed-IP-Address", "2001:db8::1", "want an IPv4 address, like 192.0.2.1"},
		{"Framed-IP-Address", "192.0.2", "want an IPv4 address, like 192.0.2.1"},
		{"Framed-IPv6-Address", "192.0.2.1", `want an IPv6 address, like "2001:db8::1"`},
		{"Framed-IPv6-Address", "fe80::1%eth0", `want an IPv6 address, like "2001:db8::1"`},
		{"Framed-IPv6-Prefix", "2001:db8::1/64", `want an IPv6 network, like "2001:db8:1::/64"`},
		{"Framed-IPv6-Prefix", "192.0.2.0/24", `want an IPv6 network, like "2001:db8:1::/64"`},
	} {
		f, err := Reply(c.name)
		require.NoError(t, err, c.name)
		_, err = f.Encode(c.text)
		require.EqualError(t, err, c.want, c.name)
	}
}

func TestWhatNoReplyMayHave(t *testing.T) {
	for name, want := range map[string]string{
		"State": ours, "Proxy-State": ours, "Message-Authenticator": ours, "EAP-Message": ours, "Attr-24": ours, "Attr-80": ours,
		"User-Name": named, "User-Password": password, "CHAP-Password": password, "MS-CHAP2-Response": password,
		"MS-MPPE-Send-Key": keys, "MS-MPPE-Recv-Key": keys, "Attr-26.311.16": keys,
		"Tunnel-Password": secret, "Aruba-MPSK-Passphrase": secret,
		"Calling-Station-Id": request, "Acct-Session-Id": request, "Prompt": rejects,
	} {
		_, err := Reply(name)
		require.EqualError(t, err, "cannot be given: "+want, name)
	}
	for _, name := range []string{"", "Filter", "Attr-0", "Attr-26", "Attr-241", "Attr-26.0.1", "Attr-26.9", "Attr-26.9.256", "Attr-26.16777216.1", "Attr-x"} {
		_, err := Reply(name)
		require.ErrorIs(t, err, ErrUnknown, name)
	}
	for _, name := range []string{"Filter-Id:1", "Tunnel-Type:0", "Tunnel-Type:32", "Tunnel-Type:", "Tunnel-Type:x"} {
		_, err := Reply(name)
		require.ErrorContains(t, err, "has a tag that it cannot have", name)
	}
}

func TestNamesAreThoseThatMayBeGiven(t *testing.T) {
	require.Contains(t, Names(), "Filter-Id")
	for _, name := range Names() {
		_, err := Reply(name)
		require.NoError(t, err, name)
	}
	require.NotContains(t, Names(), "State")
}

// What is encoded fits into a packet, and is read back as what it was made of.
func FuzzEncode(f *testing.F) {
	for i, text := range []string{"admins", "0x00ff", "3600", "VLAN", "192.0.2.1", "2001:db8::/64", strings.Repeat("ả", 100)} {
		f.Add(uint(i), byte(i), text)
	}
	f.Fuzz(func(t *testing.T, which uint, tag byte, text string) {
		name := Names()[which%uint(len(Names()))]
		a := Lookup(name)
		if a.tagged && tag > 0 && tag <= lastTag {
			name += ":" + strconv.Itoa(int(tag))
		}
		field, err := Reply(name)
		require.NoError(t, err)
		avp, err := field.Encode(text)
		if err != nil {
			require.NotContains(t, err.Error(), "%!")
			return
		}
		require.LessOrEqual(t, len(avp.Value), longest)
		require.NotEmpty(t, avp.Value)
		p := layeh.Packet{Attributes: layeh.Attributes{{Type: layeh.Type(avp.Type), Attribute: avp.Value}}}
		b, err := p.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, avp.Size(), len(b)-20)
		value := avp.Value
		if a.Vendor != 0 {
			require.Equal(t, byte(rfc2865.VendorSpecific_Type), avp.Type)
			vendor, inner, err := layeh.VendorSpecific(avp.Value)
			require.NoError(t, err)
			require.Equal(t, a.Vendor, vendor)
			require.Equal(t, []byte{a.Type, byte(len(inner))}, []byte(inner[:2]))
			value = inner[2:]
		}
		if a.kind == dictionary.AttributeString && !a.tagged {
			require.Equal(t, text, string(value))
		}
	})
}

func TestShown(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"Filter-Id", "Quản trị", `Filter-Id="Quản trị"`},
		{"Class", "OU=staff;", `Class="OU=staff;"`},
		{"Class", "0x00ff", `Class=[2 bytes]`},
		{"Session-Timeout", "3600", "Session-Timeout=3600"},
		{"Service-Type", "6", "Service-Type=Administrative-User"},
		{"Framed-IP-Address", "192.0.2.7", "Framed-IP-Address=192.0.2.7"},
		{"Framed-IPv6-Address", "2001:db8::7", "Framed-IPv6-Address=2001:db8::7"},
		{"Framed-IPv6-Prefix", "2001:db8::/64", "Framed-IPv6-Prefix=[10 bytes]"},
		{"Tunnel-Type:1", "VLAN", "Tunnel-Type=1:VLAN"},
		{"Tunnel-Type", "VLAN", "Tunnel-Type=VLAN"},
		{"Tunnel-Private-Group-Id:1", "20", `Tunnel-Private-Group-Id=1:"20"`},
		{"Tunnel-Private-Group-Id", "20", `Tunnel-Private-Group-Id="20"`},
		{"Fortinet-Group-Name", "vpn", `Fortinet-Group-Name="vpn"`},
		{"Attr-26.99999.1", "vpn", "Attr-26.99999.1=[3 bytes]"},
		{"Attr-119", "vpn", "Attr-119=[3 bytes]"},
	} {
		f, err := Reply(c.name)
		require.NoError(t, err)
		avp, err := f.Encode(c.text)
		require.NoError(t, err)
		require.Equal(t, c.want, avp.String())
	}
	for _, c := range []struct {
		avp  AVP
		want string
	}{
		{AVP{24, []byte("abc")}, "State=[3 bytes]"},
		{AVP{2, []byte("secret")}, "User-Password=[6 bytes]"},
		{AVP{3, []byte("secret")}, "CHAP-Password=[6 bytes]"},
		{AVP{80, []byte("0123456789abcdef")}, "Message-Authenticator=[16 bytes]"},
		{AVP{69, []byte("secret")}, "Tunnel-Password=[6 bytes]"},
		{AVP{26, []byte("\x00\x00\x01\x37\x10\x08secret")}, "MS-MPPE-Send-Key=[6 bytes]"},
		{AVP{26, []byte("\x00\x00\x01\x37\x19\x08secret")}, "MS-CHAP2-Response=[6 bytes]"},
		{AVP{26, []byte("\x00\x00\x00\x09")}, "Attr-26=[4 bytes]"},
		{AVP{27, []byte("\x00\x00\x01")}, "Session-Timeout=[3 bytes]"},
		{AVP{81, []byte{1}}, `Tunnel-Private-Group-Id="\x01"`},
		{AVP{1, []byte("an.nv\n")}, `User-Name="an.nv\n"`},
	} {
		require.Equal(t, c.want, c.avp.String())
	}
}

// Whatever is in a packet can be shown, on one line.
func FuzzString(f *testing.F) {
	f.Add(byte(26), []byte("\x00\x00\x30\x44\x01\x05vpn"))
	f.Add(byte(64), []byte("\x01\x00\x00\x0d"))
	f.Add(byte(81), []byte("\x01x"))
	f.Fuzz(func(t *testing.T, kind byte, value []byte) {
		before := string(value)
		require.Regexp(t, `^[A-Za-z0-9.-]+=[^\n]+$`, AVP{kind, value}.String())
		require.Equal(t, before, string(value))
	})
}
