package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/config"
)

func TestMistakesAreToldAllAtOnceWithTheirPlaces(t *testing.T) {
	dir := folder(t)
	for _, c := range mistakes {
		t.Run(c.name, func(t *testing.T) {
			loaded, all := parse(dir, c.src)
			require.Nil(t, loaded)
			var told config.Problems
			for _, p := range all {
				if !p.Warning {
					told = append(told, p)
				}
			}
			require.Equal(t, c.want, said(dir, told))
		})
	}
}

var mistakes = []struct {
	name, src string
	want      []string // LINE:COLUMN: message
}{
	{"a key that is misspelt", general + "languag: vi\n", []string{"3:1: languag is unknown; did you mean language?"}},
	{"a key in the wrong form", general + "timeZone: Asia/Ho_Chi_Minh\n", []string{"3:1: timeZone is unknown; did you mean time_zone?"}},
	{"a key in the wrong place", general + "lockout: {after: 3}\n", []string{"3:1: lockout is unknown; did you mean second_factor.lockout?"}},
	{"a key unlike any other", general + "vssid:\n  banana: 1\n", []string{"4:3: vssid.banana is unknown; known here: listen, public_url, tls, min_version, platforms, max_devices, backend_tokens"}},
	{"a key of many places", general + "hold: 5s\n", []string{"3:1: hold is unknown; did you mean radius.clients.hold or ldap.clients.hold?"}},
	{"a misspelt key is not missing too", general + "radius:\n  clients:\n    - name: vpn\n      addresses: [192.0.2.10]\n      secert: sixteen-letters-\n", []string{"7:7: radius.clients[0].secert is unknown; did you mean secret?"}},
	{"what is remembered", general + `radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, remember: 25h}]}
ldap: {require_tls: false, clients: [{name: a, addresses: [10.1.2.3], remember: -1s}]}
`, []string{
		"3:93: radius.clients[0].remember: 25h; want a duration up to 24h, or 0s: never",
		"4:81: ldap.clients[0].remember: want a duration with its unit, like 30s, 2m or 1h30m",
	}},
	{"a NAS that is observed without reason or end", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, observe: {until: 2999-01-31}}
    - {name: b, addresses: [192.0.2.2], secret: sixteen-letters-, observe: {why: moving over}}
    - {name: c, addresses: [192.0.2.3], secret: sixteen-letters-, observe: {until: 31/01/2027, why: moving over}}
`, []string{
		"5:76: radius.clients[0].observe.why is missing: why this client may let in on the password alone, and who allowed it",
		"6:76: radius.clients[1].observe.until is missing; write until when nobody is asked, like 2027-01-31",
		`7:84: radius.clients[2].observe.until: "31/01/2027"; want a day like 2027-01-31, or a time like 2027-01-31T18:00:00+07:00`,
	}},
	{"upstream servers", `secret_key_file: secret.key
first_factors:
  - {name: local, file: users.yaml}
  - {name: none, radius: {}}
  - name: nps
    radius:
      servers:
        - {address: 10.0.0.5, secret: sixteen-letters-}
        - {address: "10.0.0.6:1812", secret: short}
        - {address: "10.0.0.6:1812"}
        - {address: "10.0.0.7:2083", tls: {ca_file: server.key, cert_file: server.crt}}
        - {address: "10.0.0.8:2083", tls: {ca_file: ""}}
        - {address: "10.0.0.9:2083", tls: {}}
      identify_with: elsewhere
      pass_attributes: [Class, Filter-Ids, none]
      timeout: 1h
  - {name: twice, radius: {servers: [{address: "10.0.0.5:1812", secret: sixteen-letters-}], identify_with: nps, pass_attributes: nothing}}
ldap: {require_tls: false, clients: [{name: a, addresses: [10.1.2.3], first_factor: nps}]}
`, []string{
		"4:26: first_factors[1].radius.servers: want the servers in order, like [{address: 10.0.0.5:1812, secret_file: upstream.secret}]",
		"4:26: first_factors[1].radius.identify_with is missing: name the ldap directory, or the file, that says who users are; a RADIUS server tells no id, groups or number",
		`8:21: first_factors[2].radius.servers[0].address: "10.0.0.5"; want HOST:PORT, like "10.0.0.5:1812" or "[2001:db8::5]:1812"`,
		"9:46: first_factors[2].radius.servers[1].secret: 5 characters can be guessed from one packet; want at least 16, made at random",
		"10:11: first_factors[2].radius.servers[2].secret is missing; give it, or secret_file",
		"10:21: first_factors[2].radius.servers[2].address: 10.0.0.6:1812 stands here a second time; take it out",
		"11:43: first_factors[2].radius.servers[3].tls.key_file is missing; cert_file and key_file belong together, give both or neither",
		"11:53: first_factors[2].radius.servers[3].tls.ca_file: DIR/server.key: no certificate in it; want PEM, beginning with -----BEGIN CERTIFICATE-----",
		"12:11: first_factors[2].radius.servers[4].secret is missing; give it, or secret_file",
		`14:22: first_factors[2].radius.identify_with: there is no first factor "elsewhere"; see first_factors`,
		`15:32: first_factors[2].radius.pass_attributes[1]: there is no attribute "Filter-Ids"; want all, none, or names like [Class, Filter-Id, Cisco-AVPair]; did you mean Filter-Id?`,
		"15:44: first_factors[2].radius.pass_attributes[2]: none stands alone or not at all",
		"16:16: first_factors[2].radius.timeout: 1h; want 100ms to 1m",
		`17:108: first_factors[3].radius.identify_with: "nps" is RADIUS servers too; name an ldap directory or a file`,
		`17:130: first_factors[3].radius.pass_attributes: there is no attribute "nothing"; want all, none, or names like [Class, Filter-Id, Cisco-AVPair]; a vendor's attribute that has no name here is written by its numbers, like Attr-26.12356.1`,
		`18:85: ldap.clients[0].first_factor: "nps" is radius servers; applications need an ldap directory behind them, name one`,
	}},
	{"attributes of replies", general + `radius:
  clients:
    - name: vpn
      addresses: [192.0.2.10]
      secret: sixteen-letters-
      reply:
        - attributes:
            Filter-Idd: admins
            Fortinet-Group: vpn
            Banana-Split: vpn
            State: "0x00"
            Tunnel-Password: x
            Filter-Id:1: x
            Session-Timeout: 1h
            Idle-Timeout: 010
            Class: 12
            Framed-IP-Address: [192.0.2.1, "2001:db8::1", 192.0.2]
            Cisco-AVPair: ""
            Service-Type: Root
            Login-IP-Host: {a: b}
        - group: cn=
          attributes: {Filter-Id: [a, yes, 3, true]}
        - {group: "", attributes: {}}
        - group: all
`, []string{
		"10:13: radius.clients[0].reply[0].attributes.Filter-Idd is unknown; did you mean Filter-Id?",
		"11:13: radius.clients[0].reply[0].attributes.Fortinet-Group is unknown; did you mean Fortinet-Group-Name?",
		"12:13: radius.clients[0].reply[0].attributes.Banana-Split is unknown; a vendor's attribute that has no name here is written by its numbers, like Attr-26.12356.1",
		"13:13: radius.clients[0].reply[0].attributes.State cannot be given: vssgate makes it itself; take it out",
		"14:13: radius.clients[0].reply[0].attributes.Tunnel-Password cannot be given: it is sent encrypted, and would stand readable in the configuration; take it out",
		"15:13: radius.clients[0].reply[0].attributes.Filter-Id:1 has a tag that it cannot have; only Tunnel attributes have one, of 1 to 31; take it out",
		"16:30: radius.clients[0].reply[0].attributes.Session-Timeout: want a whole number of 0 to 4294967295",
		"17:27: radius.clients[0].reply[0].attributes.Idle-Timeout: want a whole number, like 3",
		"18:20: radius.clients[0].reply[0].attributes.Class: want text; put it in quotes",
		`19:44: radius.clients[0].reply[0].attributes.Framed-IP-Address[1]: want an IPv4 address, like 192.0.2.1`,
		`19:59: radius.clients[0].reply[0].attributes.Framed-IP-Address[2]: want an IPv4 address, like 192.0.2.1`,
		"20:27: radius.clients[0].reply[0].attributes.Cisco-AVPair: want a value, or take it out",
		"21:27: radius.clients[0].reply[0].attributes.Service-Type: want Login-User, Framed-User, Callback-Login-User, Callback-Framed-User, Outbound-User, Administrative-User, NAS-Prompt-User, Authenticate-Only, Callback-NAS-Prompt, Call-Check, Callback-Administrative, or a number",
		"22:28: radius.clients[0].reply[0].attributes.Login-IP-Host: want text; if it has a colon in it, put it in quotes",
		`23:18: radius.clients[0].reply[1].group: "cn=" is no group; want its DN, or its name like vpn-admins; left out, everybody is meant`,
		"24:44: radius.clients[0].reply[1].attributes.Filter-Id[2]: want text; put it in quotes",
		"24:47: radius.clients[0].reply[1].attributes.Filter-Id[3]: want text; put it in quotes",
		`25:19: radius.clients[0].reply[2].group: "" is no group; want its DN, or its name like vpn-admins; left out, everybody is meant`,
		"25:35: radius.clients[0].reply[2].attributes: want names and values, like {Filter-Id: admins}",
		"26:11: radius.clients[0].reply[3].attributes is missing; want names and values, like {Filter-Id: admins}",
	}},
	{"groups that nobody reads", strings.Replace(general, "base_dns", "attributes: {groups: \"\"}, base_dns", 1) +
		"radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, reply: [{group: a, attributes: {Class: a}}, {attributes: {Class: b}}]}]}\n", []string{
		"3:99: radius.clients[0].reply[0].group: nobody is in it: the first factor dir has no attributes.groups to read groups from"}},
	{"groups that nobody reads, behind servers", strings.Replace(strings.Replace(general, "base_dns", "attributes: {groups: \"\"}, base_dns", 1), "]}}]", "]}}, {name: nps, radius: {servers: [{address: \"10.0.0.5:1812\", secret: sixteen-letters-}], identify_with: dir}}]", 1) +
		"radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, first_factor: nps, approval: simple, reply: [{group: a, attributes: {Class: a}}]}]}\n", []string{
		"3:136: radius.clients[0].reply[0].group: nobody is in it: the first factor nps has no attributes.groups to read groups from"}},
	{"more attributes than an answer has room for", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, reply: [{attributes: {Filter-Id: [" +
		strings.Repeat("\""+strings.Repeat("x", 251)+"\",", 12) + "]}}]}]}\n", []string{
		"3:90: radius.clients[0].reply: 3036 bytes of attributes; at most 3000 fit into an answer, should all of them match"}},
	{"a key that stands twice", general + "language: vi\nplain_ascii: true\nlanguage: en\n", []string{"5:1: language stands here a second time, the first is in line 3; keep one"}},
	{"a key that stands twice in braces", general + "log: {level: info, level: warn}\n", []string{"3:20: log.level stands here a second time, the first is in line 3; keep one"}},
	{"a section that stands twice", general + "log:\n  level: info\nlog:\n  format: json\n", []string{"5:1: log stands here a second time, the first is in line 3; keep one"}},
	{"a merge key", general + "<<: {language: vi}\n", []string{"3:1: the file: only plain keys are used here; write the key out"}},
	{"policies", general + `second_factor:
  factors: [approve, sms]
  policies:
    - {require: never}
    - {require: from}
    - {require: sometimes, date: 2027-03-01, until: 2027-03-01}
    - {match: {group: "cn=,=", under: x, client: [hq-vpn, nobody], network: 10.0.0.0/33}}
    - {match: {who: me}, require: never, until: soon, why: "asked"}
`, []string{
		`4:22: second_factor.factors[1]: "sms"; want approve, code, totp, recovery or help`,
		"6:7: second_factor.policies[0].why is missing: why these may log in on the password alone, and who allowed it",
		"6:7: second_factor.policies[0].until is missing; write until when the second factor is not needed, like 2027-01-31",
		"7:7: second_factor.policies[1].date is missing; write from when on the second factor is needed, like 2027-03-01",
		`8:17: second_factor.policies[2].require: "sometimes"; want always, from, if_device or never`,
		"8:34: second_factor.policies[2].date: goes with require: from only",
		"8:53: second_factor.policies[2].until: goes with require: never only",
		`9:23: second_factor.policies[3].match.group: "cn=,=" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		`9:39: second_factor.policies[3].match.under: "x" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		`9:51: second_factor.policies[3].match.client[0]: no client is called "hq-vpn"`,
		`9:59: second_factor.policies[3].match.client[1]: no client is called "nobody"`,
		`9:77: second_factor.policies[3].match.network: "10.0.0.0/33" is no network; want one like 10.0.0.0/8 or 2001:db8::/32`,
		"10:16: second_factor.policies[4].match.who is unknown; known here: group, under, client, network",
		`10:49: second_factor.policies[4].until: "soon"; want a day like 2027-01-31, or a time like 2027-01-31T18:00:00+07:00`,
	}},
	{"audit files kept for an hour", general + "audit: {keep: 1h}\n", []string{"3:15: audit.keep: 1h; want 24h to 876000h"}},
	{"syslog nowhere", general + "audit: {syslog: {tls: true}}\n", []string{"3:17: audit.syslog.address is missing: where do the records go? want HOST:6514"}},
	{"syslog without a port", general + "audit: {syslog: {address: 10.0.0.9}}\n", []string{`3:27: audit.syslog.address: "10.0.0.9": want HOST:PORT`}},
	{"syslog over something else", general + "audit: {syslog: {address: \"http://10.0.0.9:514\"}}\n", []string{`3:27: audit.syslog.address: "http://10.0.0.9:514": want HOST:PORT, udp://HOST:PORT or tcp://HOST:PORT`}},
	{"TLS over UDP", general + "audit: {syslog: {address: \"udp://10.0.0.9:514\", tls: true}}\n", []string{"3:27: audit.syslog.address: TLS runs over TCP; take udp:// out"}},
	{"an anchor and an alias", general + "log: &x {level: info}\naudit: *x\n", []string{
		"3:6: log: anchors, aliases and tags are not used here; write the value out, in quotes if it begins with &, * or !",
		"4:8: audit: anchors, aliases and tags are not used here; write the value out, in quotes if it begins with &, * or !",
	}},
	{"a tag", general + "language: !!str vi\n", []string{"3:11: language: anchors, aliases and tags are not used here; write the value out, in quotes if it begins with &, * or !"}},
	{"a key with a tag", general + "!!str language: vi\n", []string{"3:1: the file: only plain keys are used here; write the key out"}},
	{"no is a word", general + "plain_ascii: no\n", []string{"3:14: plain_ascii: want true or false"}},
	{"off is a word", general + "ldap: {require_tls: off}\n", []string{"3:21: ldap.require_tls: want true or false"}},
	{"yes is a word, not a language", general + "language: yes\n", []string{`3:11: language: "yes"; want vi or en`}},
	{"a switch for a text", general + "language: true\n", []string{"3:11: language: want text; put it in quotes"}},
	{"a number for a text", general + "vssid: {min_version: 1.6}\n", []string{"3:22: vssid.min_version: want text; put it in quotes"}},
	{"a text for a number", general + "second_factor:\n  code_digits: six\n", []string{"4:16: second_factor.code_digits: want a whole number, like 3"}},
	{"a quoted number", general + "second_factor: {code_digits: \"6\"}\n", []string{"3:30: second_factor.code_digits: want a whole number, like 3"}},
	{"numbers that others read otherwise", general + "second_factor: {code_digits: 06, wrong_codes: 0x3, number_digits: 1_0}\n", []string{
		"3:30: second_factor.code_digits: want a whole number, like 3",
		"3:47: second_factor.wrong_codes: want a whole number, like 3",
		"3:67: second_factor.number_digits: want a whole number, like 3",
	}},
	{"a number beyond all", general + "radius: {max_held: 99999999999}\n", []string{"3:20: radius.max_held: want a whole number, like 3"}},
	{"a text for a list", general + "vssid: {platforms: ios}\n", []string{"3:20: vssid.platforms: want a list, like [a, b]"}},
	{"a list for a text", general + "language: [vi]\n", []string{"3:11: language: want text"}},
	{"a list for a section", general + "log: [info]\n", []string{"3:6: log: want keys and values, like {level: ...}"}},
	{"a text for a section", general + "log: info\n", []string{"3:6: log: want keys and values, like {level: ...}"}},
	{"a key without a value", general + "language:\nlog: {level: }\n", []string{
		"3:10: language has no value; leave it out to get its default",
		"4:13: log.level has no value; leave it out to get its default",
	}},
	{"a section that is switched on by nothing", general + "store:\n  redis:\n", []string{"4:10: store.redis has no value; write {} for its defaults, or leave it out"}},
	{"a duration without a unit", general + "second_factor: {valid_for: 120, grace: 1 minute}\n", []string{
		"3:28: second_factor.valid_for: want a duration with its unit, like 30s, 2m or 1h30m",
		"3:40: second_factor.grace: want a duration with its unit, like 30s, 2m or 1h30m",
	}},
	{"a negative duration", general + "second_factor: {grace: -1s}\n", []string{"3:24: second_factor.grace: want a duration with its unit, like 30s, 2m or 1h30m"}},
	{"Message-Authenticator and previous secrets", general + "radius:\n  clients:\n" +
		"    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, require_message_authenticator: maybe, message_authenticator_in_replies: no}\n" +
		"    - {name: b, addresses: [192.0.2.2], secret: sixteen-letters-, previous_until: 2099-12-31}\n" +
		"    - {name: c, addresses: [192.0.2.3], secret: sixteen-letters-, previous_secret: sixteen-letters-, previous_until: 2099-12-31}\n" +
		"    - {name: d, addresses: [192.0.2.4], secret: sixteen-letters-, previous_secret: another-of-sixteen, previous_until: tomorrow}\n", []string{
		`5:98: radius.clients[0].require_message_authenticator: "maybe"; want auto, yes or no`,
		"5:139: radius.clients[0].message_authenticator_in_replies: want true or false",
		"6:7: radius.clients[1].previous_secret is missing; give it, or previous_secret_file, or take previous_until out",
		"7:84: radius.clients[2].previous_secret is the same as secret; write the new one there",
		`8:120: radius.clients[3].previous_until: "tomorrow"; want a day like 2027-01-31, or a time like 2027-01-31T18:00:00+07:00`,
	}},
	{"accounting", general + "radius:\n  listen: [\"127.0.0.1:1812\"]\n  accounting:\n    listen: [\"127.0.0.1:1812\", 1813]\n    forward:\n      - {address: billing, secret: sixteen-letters-}\n      - {address: \"billing:0\"}\n", []string{
		`6:14: radius.accounting.listen[0]: "127.0.0.1:1812" is radius.listen already; accounting has a port of its own, 1813 as a rule`,
		`6:32: radius.accounting.listen[1]: want text; put it in quotes`,
		`8:19: radius.accounting.forward[0].address: "billing"; want HOST:PORT, like 10.0.0.6:1813`,
		`9:9: radius.accounting.forward[1].secret is missing; give it, or secret_file`,
		`9:19: radius.accounting.forward[1].address: "billing:0"; want HOST:PORT, like 10.0.0.6:1813`,
	}},
	{"accounting without a listener", general + "radius: {accounting: {file: acct.jsonl}, clients: [{name: vpn, addresses: [192.0.2.1], secret: sixteen-letters-}]}\n", []string{"3:22: radius.accounting.listen: want at least one ADDRESS:PORT, like \"127.0.0.1:1813\", here or in radius.tls.listen"}},
	{"a kind of NAS that is none", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, nas: fortigat}]}\n", []string{
		`3:88: radius.clients[0].nas: "fortigat" is no kind of NAS; want checkpoint, cisco-asa, fortigate, freeradius-proxy, generic, ivanti, juniper, mikrotik, netscaler, ocserv, openvpn, opnsense, paloalto, pam-radius, pfsense, postgresql, strongswan, unifi or windows-rras`,
	}},
	{"the general part", general + "language: fr\ntime_zone: Hanoi\ndata_dir: \"\"\ntexts: {account_url: no}\nlog: {level: loud, format: xml}\n", []string{
		`3:11: language: "fr"; want vi or en`,
		`4:12: time_zone: "Hanoi" is no time zone; want one like Asia/Ho_Chi_Minh`,
		"5:11: data_dir: want a folder, like /var/lib/vssgate",
		"6:22: texts.account_url: want a URL like https://HOST",
		`7:14: log.level: "loud"; want debug, info, warn or error`,
		`7:28: log.format: "xml"; want text or json`,
	}},
	{"the key file is missing", "secret_key_file: none\nfirst_factors: [{name: local, file: users.yaml}]\n", []string{"1:18: secret_key_file: stat DIR/none: no such file or directory; vssgate init DIR makes one"}},
	{"the key file is torn", "secret_key_file: torn.key\nfirst_factors: [{name: local, file: users.yaml}]\n", []string{"1:18: secret_key_file: DIR/torn.key: line 1: want 32 bytes in base64 (44 characters); make one with: head -c 32 /dev/urandom | base64"}},
	{"the key file is a folder", "secret_key_file: folder\nfirst_factors: [{name: local, file: users.yaml}]\n", []string{"1:18: secret_key_file: read DIR/folder: no plain file; vssgate init DIR makes one"}},
	{"no key file is named", "secret_key_file: \"\"\nfirst_factors: [{name: local, file: users.yaml}]\n", []string{"1:18: secret_key_file: want the file of the installation's keys; vssgate init DIR makes one"}},
	{"no first factor", "secret_key_file: secret.key\n", []string{"1:1: first_factors: want at least one: an ldap directory, radius servers, or a file of users"}},
	{"first factors", `secret_key_file: secret.key
first_factors:
  - {}
  - {name: a, file: users.yaml, ldap: {}}
  - name: a
    file: nobody.yaml
  - {name: b, file: bad-users}
  - name: c
    ldap:
  - name: d
    ldap: {kind: AD, urls: [ldaps://dc1], base_dns: ["dc=vn"], bind_dn: "cn=s,dc=vn", bind_password: x, nested_groups: true, attributes: {groups: ""}}
`, []string{
		"3:5: first_factors[0].name is missing; clients choose a first factor by its name",
		"3:5: first_factors[0]: want exactly one of ldap, radius and file",
		"4:5: first_factors[1]: want exactly one of ldap, radius and file",
		`5:11: first_factors[2].name: another first factor is called "a" too; choose another name`,
		"6:11: first_factors[2].file: stat DIR/nobody.yaml: no such file or directory",
		"7:21: first_factors[3].file: users file DIR/bad-users: line 1: password_hash is no argon2id hash ($argon2id$v=19$m=...,t=...,p=...$salt$hash); line 2: password_hash is no argon2id hash ($argon2id$v=19$m=...,t=...,p=...$salt$hash)",
		"9:10: first_factors[4].ldap has no value; write {} for its defaults, or leave it out",
		`11:18: first_factors[5].ldap.kind: "AD"; want openldap or ad`,
		"11:120: first_factors[5].ldap.nested_groups: no groups are asked for; write attributes.groups, or false here",
	}},
	{"a directory", `secret_key_file: secret.key
first_factors:
  - name: dir
    ldap:
      kind: novell
      urls: [ldap://dc1.example.vn, "ldaps://", http://dc1, "ldaps://an:password@dc1", "ldaps://dc1/dc=vn"]
      ca_file: users.yaml
      bind_dn: vssgate
      bind_password_file: nas.secret
      base_dns: [people, ""]
      user_filter: (uid=*)
      attributes: {id: "", username: ""}
      timeout: 5m
`, []string{
		`5:13: first_factors[0].ldap.kind: "novell"; want openldap or ad`,
		"6:14: first_factors[0].ldap.urls[0]: ldap://dc1.example.vn would take passwords unencrypted; use ldaps:// or start_tls: true",
		"6:37: first_factors[0].ldap.urls[1]: want ldaps://HOST or ldap://HOST, with a port if need be",
		"6:49: first_factors[0].ldap.urls[2]: want ldaps://HOST or ldap://HOST, with a port if need be",
		"6:61: first_factors[0].ldap.urls[3]: want ldaps://HOST or ldap://HOST, with a port if need be",
		"6:88: first_factors[0].ldap.urls[4]: want ldaps://HOST or ldap://HOST, with a port if need be",
		"7:16: first_factors[0].ldap.ca_file: DIR/users.yaml: no certificate in it; want PEM, beginning with -----BEGIN CERTIFICATE-----",
		`8:16: first_factors[0].ldap.bind_dn: "vssgate" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		`10:18: first_factors[0].ldap.base_dns[0]: "people" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		`10:26: first_factors[0].ldap.base_dns[1]: "" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		"11:20: first_factors[0].ldap.user_filter: want {username} in it, like (uid={username})",
		"12:24: first_factors[0].ldap.attributes.id: want an attribute that never changes, like entryUUID",
		"12:38: first_factors[0].ldap.attributes.username: want the attribute of the user's name, like uid",
		"13:16: first_factors[0].ldap.timeout: 5m; want 100ms to 1m",
	}},
	{"a directory with nothing in it", "secret_key_file: secret.key\nfirst_factors:\n  - name: dir\n    ldap: {}\n", []string{
		"4:11: first_factors[0].ldap.urls: want the servers in order, like [ldaps://dc1.example.vn]",
		`4:11: first_factors[0].ldap.base_dns: want where users are, like ["ou=people,dc=example,dc=vn"]`,
	}},
	{"a filter that is none", "secret_key_file: secret.key\nfirst_factors:\n  - name: dir\n    ldap:\n      urls: [ldaps://dc1]\n      base_dns: [\"dc=vn\"]\n      bind_dn: cn=s,dc=vn\n      bind_password_file: nas.secret\n      user_filter: (uid={username}\n", []string{`9:20: first_factors[0].ldap.user_filter is no filter: LDAP Result Code 201 "Filter Compile Error": ldap: unexpected end of filter`}},
	{"start_tls where there is TLS", "secret_key_file: secret.key\nfirst_factors:\n  - name: dir\n    ldap: {urls: [ldap://dc1, ldaps://dc2], start_tls: true, base_dns: [\"dc=vn\"]}\n", []string{"4:31: first_factors[0].ldap.urls[1]: start_tls is for ldap:// URLs; ldaps://dc2 has TLS from the beginning"}},
	{"a service account without password, a password without account", `secret_key_file: secret.key
first_factors:
  - {name: a, ldap: {urls: [ldaps://dc1], base_dns: ["dc=vn"], bind_dn: "cn=s,dc=vn"}}
  - {name: b, ldap: {urls: [ldaps://dc1], base_dns: ["dc=vn"], bind_password: x}}
`, []string{
		"3:21: first_factors[0].ldap.bind_password is missing; give it, or bind_password_file",
		"4:21: first_factors[1].ldap.bind_dn is missing: whose password is bind_password?",
	}},
	{"throttle", general + "throttle: {per_account: 0, per_source: -1, within: 0s}\n", []string{
		"3:25: throttle.per_account: 0; want at least 1",
		"3:40: throttle.per_source: -1; want at least 1",
		"3:52: throttle.within: 0s; want 1s to 24h",
	}},
	{"second factor below", general + "second_factor: {valid_for: 0s, code_digits: 5, wrong_codes: 0, lockout: {after: 0, for: 0s, stop_after: 0}, approval: maybe, number_digits: 1, push_limit: {count: 0, within: 0s}}\n", []string{
		"3:28: second_factor.valid_for: 0s; want 1s to 10m",
		"3:45: second_factor.code_digits: 5; want 6 to 8",
		"3:61: second_factor.wrong_codes: 0; want at least 1",
		"3:81: second_factor.lockout.after: 0; want at least 1",
		"3:89: second_factor.lockout.for: 0s; want 1s to 24h",
		"3:105: second_factor.lockout.stop_after: 0; want at least 1",
		`3:119: second_factor.approval: "maybe"; want number, simple or off`,
		"3:141: second_factor.number_digits: 1; want 2 to 6",
		"3:164: second_factor.push_limit.count: 0; want at least 1",
		"3:175: second_factor.push_limit.within: 0s; want 1s to 24h",
	}},
	{"second factor above", general + "second_factor: {valid_for: 10m1s, code_digits: 9, wrong_codes: 11, lockout: {after: 101, for: 25h, stop_after: 100}, number_digits: 7, push_limit: {count: 1001, within: 25h}, grace: 11m}\n", []string{
		"3:28: second_factor.valid_for: 10m1s; want 1s to 10m",
		"3:48: second_factor.code_digits: 9; want 6 to 8",
		"3:95: second_factor.lockout.for: 25h; want 1s to 24h",
		"3:112: second_factor.lockout.stop_after: 100; want at least 101",
		"3:133: second_factor.number_digits: 7; want 2 to 6",
		"3:170: second_factor.push_limit.within: 25h; want 1s to 24h",
		"3:183: second_factor.grace: 11m; want 0s to 10m",
	}},
	{"redis", general + "store:\n  redis:\n    addresses: [\"10.0.0.1\", \":6379\"]\n    master_name: m\n    cluster: true\n    tls: {ca_file: none, cert_file: server.crt}\n", []string{
		`5:17: store.redis.addresses[0]: want HOST:PORT, like "127.0.0.1:6379"`,
		`5:29: store.redis.addresses[1]: want HOST:PORT, like "127.0.0.1:6379"`,
		"7:14: store.redis.cluster: cluster and master_name (Sentinel) exclude each other; take one out",
		"8:10: store.redis.tls.key_file is missing; cert_file and key_file belong together, give both or neither",
		"8:20: store.redis.tls.ca_file: stat DIR/none: no such file or directory",
	}},
	{"listeners at one address", general + nas + `vssid: {listen: "127.0.0.1:9290", public_url: https://otp.example.vn}
ldap:
  listen: ["127.0.0.1:9290"]
  require_tls: false
  clients: [{name: gitlab, addresses: [10.1.2.3]}]
metrics: {listen: "127.0.0.1:9290"}
`, []string{
		`6:12: ldap.listen[0]: "127.0.0.1:9290" is vssid.listen already; choose another port`,
		`9:19: metrics.listen: "127.0.0.1:9290" is vssid.listen already; choose another port`,
	}},
	{"a group that is not there", general + nas + "admin: {group: no-such-group}\n", []string{
		`4:16: admin.group: this machine has no group "no-such-group"; make it with groupadd, or take it out`,
	}},
	{"a line of lists in lists", strings.Repeat("- ", 100_000), []string{"1:1: more than 200 brackets are open here, or dashes in a row; is it a configuration?"}},
	{"redis nowhere", general + "store: {redis: {addresses: [], password: x, password_file: nas.secret}}\n", []string{
		"3:28: store.redis.addresses: want at least one HOST:PORT",
		"3:45: store.redis.password and store.redis.password_file are both given; take one out",
	}},
	{"redis in several places", general + "store: {redis: {addresses: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}}\n", []string{"3:28: store.redis.addresses: several addresses need master_name (then they are Sentinels) or cluster: true"}},
	{"the phone API", general + "vssid:\n  listen: otp.example.vn:443\n  public_url: http://otp.example.vn\n  tls: {cert_file: server.crt, key_file: other.key}\n  min_version: v2\n  platforms: [ios, windows]\n  max_devices: 0\n", []string{
		`4:11: vssid.listen: "otp.example.vn:443"; the address must be numeric, like "127.0.0.1:443"; ":443" listens everywhere`,
		"5:15: vssid.public_url: http://otp.example.vn would take phones' requests unencrypted; use https://",
		"6:20: vssid.tls.cert_file: DIR/server.crt with DIR/other.key: private key does not match public key",
		`7:16: vssid.min_version: "v2"; want numbers between dots, like 1.6.8`,
		`8:20: vssid.platforms[1]: "windows"; want ios, android or web`,
		"9:16: vssid.max_devices: 0; want 1 to 100",
	}},
	{"servers of VssID's", general + `vssid:
  backend_tokens:
    - {token_files: [], may: [everything], addresses: [10.0.0.1]}
    - {name: a, token_files: [nas.secret, none.token], may: [show], addresses: [10.0.0.1]}
    - {name: a, token_files: [none.token], may: [show], addresses: [10.0.0.1]}
`, []string{
		"5:7: vssid.backend_tokens[0].name is missing; it stands in the audit",
		"5:21: vssid.backend_tokens[0].token_files: want the file of its token, like [vssid.token], and perhaps one for the next",
		`5:31: vssid.backend_tokens[0].may[0]: "everything"; want devices, show or answer`,
		"6:31: vssid.backend_tokens[1].token_files[0]: DIR/nas.secret: want at least 32 characters made at random; openssl rand -base64 33 makes them",
		`7:14: vssid.backend_tokens[2].name: another backend is called "a" too; choose another name`,
		"7:31: vssid.backend_tokens[2].token_files[0]: stat DIR/none.token: no such file or directory",
	}},
	{"a phone API that nobody knows", general + "vssid: {listen: \"0.0.0.0:8080\", platforms: []}\n", []string{
		"3:8: vssid.public_url is missing: how phones reach the phone API, like https://otp.example.vn",
		"3:44: vssid.platforms: want at least one of ios, android and web",
	}},
	{"public URLs", general + "vssid: {public_url: \"https://an:password@otp.example.vn\"}\n", []string{"3:21: vssid.public_url: a user name or password does not belong in this URL; take it out"}},
	{"public URL with a query", general + "vssid: {public_url: \"https://otp.example.vn?x=1\"}\n", []string{"3:21: vssid.public_url: https://otp.example.vn?x=1; want https://HOST, with a path if need be, and nothing behind it"}},
	{"public URL that is none", general + "vssid: {public_url: otp.example.vn}\n", []string{"3:21: vssid.public_url: want a URL like https://HOST"}},
	{"half a certificate", general + "vssid: {tls: {key_file: server.key}}\n", []string{"3:14: vssid.tls.cert_file is missing; cert_file and key_file belong together, give both or neither"}},
	{"push", general + "push: {fcm: {credentials_file: user.json, endpoint: \"http://fcm.googleapis.com/v1\", proxy: \"an:password\"}}\n", []string{
		"3:32: push.fcm.credentials_file: DIR/user.json is not the JSON key file of a Google service account",
		"3:53: push.fcm.endpoint: http://fcm.googleapis.com/v1; want https://HOST/v1 (http:// on this machine only)",
		"3:92: push.fcm.proxy: want a URL like http://proxy.example.vn:3128",
	}},
	{"push without credentials", general + "push: {fcm: {endpoint: \"https://fcm.googleapis.com\"}}\n", []string{
		"3:13: push.fcm.credentials_file is missing: the key file of the service account that may send messages",
		"3:24: push.fcm.endpoint: https://fcm.googleapis.com; want https://HOST/v1 (http:// on this machine only)",
	}},
	{"both ways to push", general + "push: {fcm: {credentials_file: fcm.json}, webhook: {url: \"http://push.example.vn/?key=47114711\", token_file: none.token, ca_file: fcm.json}}\n", []string{
		"3:52: push.webhook: stands beside push.fcm: phones would be told twice; give one of them",
		"3:58: push.webhook.url: would take push tokens unencrypted; use https://",
		"3:110: push.webhook.token_file: no such file or directory; want the path of a file that holds the secret",
		"3:131: push.webhook.ca_file: DIR/fcm.json: no certificate in it; want PEM, beginning with -----BEGIN CERTIFICATE-----",
	}},
	{"a webhook that is nowhere", general + "push: {webhook: {token: x}}\n", []string{
		"3:17: push.webhook.url is missing: where VssID's own push service takes messages, like https://push.example.vn/vssgate",
	}},
	{"push without a project", general + "push: {fcm: {credentials_file: homeless.json}}\n", []string{"3:13: push.fcm.project_id is missing, here and in DIR/homeless.json"}},
	{"listening", general + "radius: {listen: [\"127.0.0.1\", \"vpn.example.vn:1812\", \"[::1]:1812\", \"[::1]:1812\", \"127.0.0.1:70000\", \":radius\"]}\nmetrics: {listen: \"\"}\n", []string{
		`3:19: radius.listen[0]: "127.0.0.1"; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
		`3:32: radius.listen[1]: "vpn.example.vn:1812"; the address must be numeric, like "127.0.0.1:1812"; ":1812" listens everywhere`,
		`3:69: radius.listen[3]: "[::1]:1812" stands here a second time; take it out`,
		`3:83: radius.listen[4]: "127.0.0.1:70000"; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
		`3:102: radius.listen[5]: ":radius"; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
		`4:19: metrics.listen: ""; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
	}},
	{"the admin socket", general + "admin: {socket: /run/a-path-that-is-longer-than-the-address-of-a-unix-socket-can-be/because-there-are-107-bytes-for-it/admin.sock}\n", []string{"3:17: admin.socket: /run/a-path-that-is-longer-than-the-address-of-a-unix-socket-can-be/because-there-are-107-bytes-for-it/admin.sock has 113 bytes; a socket's path has at most 107, choose a shorter one"}},
	{"no admin socket", general + "admin: {socket: \"\"}\n", []string{"3:17: admin.socket: want a path, like /run/vssgate/admin.sock"}},
	{"nothing of a NAS", general + "radius: {clients: [{}]}\n", []string{
		"3:20: radius.clients[0].secret is missing; give it, or secret_file",
		"3:20: radius.clients[0].name is missing; it stands in the audit and on the phones",
		"3:20: radius.clients[0].addresses: want where it asks from, like [192.0.2.10]",
	}},
	{"a NAS", general + `radius:
  max_held: 0
  clients:
    - name: vpn
      addresses: [192.0.2.300, 192.0.2.10/24, 10]
      secret: short
      first_factor: nps
      mode: wait
      hold: 3
      then: accept
      separator: "0"
      join: ip
      approval: yes
      language: vn
`, []string{
		"4:13: radius.max_held: 0; want 1 to 10000000",
		`7:19: radius.clients[0].addresses[0]: "192.0.2.300" is no address; want an address like 192.0.2.10, 192.0.2.0/24 or "2001:db8::/64"`,
		"7:32: radius.clients[0].addresses[1]: 192.0.2.10/24 is one address in a network; write 192.0.2.0/24 for all of it, or 192.0.2.10 for this one",
		`7:47: radius.clients[0].addresses[2]: want an address like 192.0.2.10, 192.0.2.0/24 or "2001:db8::/64"`,
		"8:15: radius.clients[0].secret: 5 characters can be guessed from one packet; want at least 16, made at random",
		`9:21: radius.clients[0].first_factor: there is no first factor "nps"; see first_factors`,
		`10:13: radius.clients[0].mode: "wait"; want challenge, hold or append`,
		"11:13: radius.clients[0].hold: want a duration with its unit, like 30s, 2m or 1h30m",
		`12:13: radius.clients[0].then: "accept"; want reject or challenge`,
		`13:18: radius.clients[0].separator: "0"; want a sign that is no digit, like ",", or "" for the last digits`,
		`14:13: radius.clients[0].join: "ip"; want strict or user`,
		`15:17: radius.clients[0].approval: "yes"; want number, simple or off`,
		`16:17: radius.clients[0].language: "vn"; want vi or en`,
	}},
	{"two clients with one network", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.0/24, 192.0.2.10], secret: sixteen-letters-}
    - {name: b, addresses: ["::ffff:192.0.2.10", 198.51.100.1], secret: sixteen-letters-}
    - {name: a, addresses: ["198.51.100.1/32", 198.51.100.1], secret: sixteen-letters-}
`, []string{
		"6:29: radius.clients[1].addresses[0]: both a and b have 192.0.2.10/32; take it out of one",
		`7:14: radius.clients[2].name: another client is called "a" too; choose another name`,
		"7:29: radius.clients[2].addresses[0]: both b and a have 198.51.100.1/32; take it out of one",
		"7:48: radius.clients[2].addresses[1]: 198.51.100.1/32 stands here a second time; take it out",
	}},
	{"secrets of a NAS", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, secret_file: nas.secret}
    - {name: b, addresses: [192.0.2.2], secret_file: nas.secret, secret: sixteen-letters-}
    - {name: c, addresses: [192.0.2.3], secret_file: none}
    - {name: d, addresses: [192.0.2.4], secret_file: empty.secret}
    - {name: e, addresses: [192.0.2.5], secret_file: short.secret}
    - {name: f, addresses: [192.0.2.6], secret: 1234567890123456}
    - {name: g, addresses: [192.0.2.7], secret: *sixteen-letters-}
`, []string{
		"5:67: radius.clients[0].secret and radius.clients[0].secret_file are both given; take one out",
		"6:66: radius.clients[1].secret and radius.clients[1].secret_file are both given; take one out",
		"7:54: radius.clients[2].secret_file: no such file or directory; want the path of a file that holds the secret",
		"8:54: radius.clients[3].secret_file: the file is empty; write the secret into it",
		"9:54: radius.clients[4].secret: 5 characters can be guessed from one packet; want at least 16, made at random",
		"10:49: radius.clients[5].secret: want text; put it in quotes",
		"11:49: radius.clients[6].secret: anchors, aliases and tags are not used here; write the value out, in quotes if it begins with &, * or !",
	}},
	{"modes that cannot show a number", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, mode: hold}
    - {name: b, addresses: [192.0.2.2], secret: sixteen-letters-, mode: append, approval: number}
    - {name: c, addresses: [192.0.2.3], secret: sixteen-letters-, mode: hold, hold: 0s, approval: off}
`, []string{
		"5:7: radius.clients[0].approval: mode hold cannot show a number to match; say here: simple (approve or deny) or off (codes only)",
		"6:91: radius.clients[1].approval: mode append cannot show a number to match; say simple (approve or deny) or off (codes only)",
		"7:85: radius.clients[2].hold: 0s would answer before anybody can approve; want a duration like 55s",
	}},
	{"modes that let in without a number say so themselves", general + "second_factor: {approval: simple}\nradius:\n  clients:\n    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, mode: hold}\n", []string{"6:7: radius.clients[0].approval: mode hold cannot show a number to match; say here: simple (approve or deny) or off (codes only)"}},
	{"RADIUS over TLS", general + `radius:
  tls: {listen: ["127.0.0.1:2083", "127.0.0.1"], cert_file: server.crt, key_file: other.key, ca_file: server.key}
  clients:
    - {name: a, certificate_names: ["*.example.vn", nas.example.vn, "CN=nas", "2001:db8::1", ""]}
    - {name: b, certificate_names: [NAS.example.vn.]}
    - {name: c, certificate_names: [nas.example.vn], addresses: [192.0.2.1]}
    - {name: d, certificate_names: []}
    - {name: e, certificate_names: [e], secret: short}
`, []string{
		`4:36: radius.tls.listen[1]: "127.0.0.1"; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
		"4:61: radius.tls.cert_file: DIR/server.crt with DIR/other.key: private key does not match public key",
		"4:103: radius.tls.ca_file: DIR/server.key: no certificate in it; want PEM, beginning with -----BEGIN CERTIFICATE-----",
		`6:37: radius.clients[0].certificate_names[0]: "*.example.vn"; want a DNS name or an address as it stands in the certificate, like nas.example.vn; wildcards are not understood`,
		`6:69: radius.clients[0].certificate_names[2]: "CN=nas"; want a DNS name or an address as it stands in the certificate, like nas.example.vn; wildcards are not understood`,
		`6:94: radius.clients[0].certificate_names[4]: ""; want a DNS name or an address as it stands in the certificate, like nas.example.vn; wildcards are not understood`,
		"7:37: radius.clients[1].certificate_names[0]: both a and b have NAS.example.vn. and may come from anywhere; give one of them addresses, or another name",
		"9:7: radius.clients[3].secret is missing; give it, or secret_file",
		"9:7: radius.clients[3].addresses: want where d asks from, like [192.0.2.10]",
		"10:49: radius.clients[4].secret: 5 characters can be guessed from one packet; want at least 16, made at random",
	}},
	{"RADIUS over TLS with half of what it needs", general + "radius:\n  tls: {listen: [\"127.0.0.1:2083\"]}\n", []string{"4:17: radius.tls.listen needs a certificate: give radius.tls.cert_file and key_file"}},
	{"RADIUS over TLS that would take anybody's certificate", general + "radius:\n  tls: {listen: [\"127.0.0.1:2083\"], cert_file: server.crt, key_file: none.key}\n", []string{
		"4:8: radius.tls.ca_file is missing: who issues the certificates by which clients are known",
		"4:70: radius.tls.key_file: stat DIR/none.key: no such file or directory",
	}},
	{"certificate names without TLS", general + "radius: {clients: [{name: a, certificate_names: [a]}]}\n", []string{"3:49: radius.clients[0].certificate_names: certificates are shown over TLS only; give radius.tls.listen, or take this out"}},
	{"RADIUS over TLS where something else listens", general + "radius:\n  tls: {listen: [\"127.0.0.1:8080\"], cert_file: server.crt, key_file: server.key, ca_file: ca.pem}\n  clients: [{name: a, certificate_names: [a]}]\n", []string{`4:18: radius.tls.listen[0]: "127.0.0.1:8080" is vssid.listen already; choose another port`}},
	{"nothing to listen on", general + "radius: {listen: [], clients: [{name: a, addresses: [192.0.2.1], secret: sixteen-letters-}]}\n", []string{
		`3:18: radius.listen: want at least one ADDRESS:PORT, like "127.0.0.1:1812"`,
	}},
	{"an LDAP listener without a certificate", general + "ldap:\n  clients:\n    - {name: gitlab, addresses: [10.1.2.3]}\n", []string{"4:3: ldap.require_tls: passwords are taken over TLS only, and there is no certificate; give ldap.tls.cert_file and key_file, or write require_tls: false"}},
	{"an LDAPS listener without a certificate", general + "ldap:\n  tls: {listen: [\"127.0.0.1:6360\"]}\n  clients:\n    - {name: gitlab, addresses: [10.1.2.3]}\n", []string{"4:17: ldap.tls.listen needs a certificate: give ldap.tls.cert_file and key_file"}},
	{"LDAP", general + `ldap:
  listen: [127.0.0.1]
  tls: {cert_file: server.key, key_file: server.key}
  upstream: {start_tls: true}
  max_connections: 0
  exempt_binds:
    - {dn: "cn=gitlab,ou=services,dc=vn", why: "reads users"}
    - {dn: "CN=gitlab, OU=services, DC=vn", from: [10.1.2.3]}
    - {dn: gitlab, from: [10.1.2.3], why: x}
  clients:
    - {name: gitlab, addresses: [10.1.2.3], mode: challenge, approval: simple}
    - {name: wiki, addresses: [10.1.2.3], approval: number, hold: 0s}
`, []string{
		`4:12: ldap.listen[0]: "127.0.0.1"; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`,
		"5:20: ldap.tls.cert_file: DIR/server.key with DIR/server.key: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
		"6:13: ldap.upstream.urls is missing; without it the first factor's servers are used, with their own start_tls and ca_file",
		"7:20: ldap.max_connections: 0; want 1 to 1000000",
		"10:7: ldap.exempt_binds[1].why is missing: who allowed this account to bind without a second factor, and for what",
		"10:12: ldap.exempt_binds[1].dn: CN=gitlab, OU=services, DC=vn is exempt already; take one out",
		`11:12: ldap.exempt_binds[2].dn: "gitlab" is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn`,
		`13:51: ldap.clients[0].mode: "challenge"; want hold or append`,
		"14:32: ldap.clients[1].addresses[0]: both gitlab and wiki have 10.1.2.3/32; take it out of one",
		"14:53: ldap.clients[1].approval: mode hold cannot show a number to match; say simple (approve or deny) or off (codes only)",
		"14:67: ldap.clients[1].hold: 0s would answer before anybody can approve; want a duration like 55s",
	}},
	{"LDAP nowhere, in front of a file", "secret_key_file: secret.key\nfirst_factors: [{name: local, file: users.yaml}]\nldap:\n  listen: []\n  upstream: {urls: [ldap://10.0.0.1]}\n  clients: [{name: gitlab, addresses: [10.1.2.3]}]\n", []string{
		`4:11: ldap.listen: want at least one ADDRESS:PORT, like "127.0.0.1:3389", here or in ldap.tls.listen`,
		"5:21: ldap.upstream.urls[0]: ldap://10.0.0.1 would take passwords unencrypted; use ldaps:// or start_tls: true",
		`6:13: ldap.clients[0].first_factor: "local" is a file; applications need an ldap directory behind them, name one`,
	}},
	{"a list that is none hides nothing else", general + "radius: {clients: none}\nldap: {clients: [x], exempt_binds: [1]}\nlanguage: fr\n", []string{
		"3:19: radius.clients: want a list, like [a, b]",
		"4:7: ldap.require_tls: passwords are taken over TLS only, and there is no certificate; give ldap.tls.cert_file and key_file, or write require_tls: false",
		"4:18: ldap.clients[0]: want keys and values, like {name: ...}",
		"4:37: ldap.exempt_binds[0]: want keys and values, like {dn: ...}",
		`5:11: language: "fr"; want vi or en`,
	}},
	{"a torn quote", general + "language: \"vi\n", []string{"3:11: not valid YAML: could not find end character of double-quoted text; is the closing quote missing?"}},
	{"tabs", general + "log:\n\tlevel: info\n", []string{"4:1: not valid YAML: found character 'TAB' that cannot start any token; indent with spaces; a value that begins with a special character needs quotes"}},
	{"a value with a colon", general + "texts: {}\nlanguage: a: b\n", []string{`4:11: not valid YAML: mapping value is not allowed in this context; is the line indented like its neighbours? A value with a colon in it needs quotes`}},
	{"a missing space", general + "language:vi\n", []string{"3:1: not valid YAML: non-map value is specified; is a colon missing, or the space after it?"}},
	{"a special sign", general + "radius: {clients: [{secret: @secret-value-here}]}\n", []string{"3:29: not valid YAML: '@' is a reserved character; put the value in quotes"}},
	{"two documents", general + "---\nlanguage: vi\n", []string{"4:1: a second document begins here; a configuration is one document"}},
	{"a control character", general + "language: v\x00i\n", []string{"3:12: a control character (0x00) stands here; take it out"}},
	{"no UTF-8", general + "log: {}\ntexts: {support: \"Hà N\xf4i\"}\n", []string{"4:23: the file is not UTF-8 here; save it as UTF-8"}},
	{"columns count characters", general + "texts: {support: \"Hỗ trợ: gọi số\", suport: x}\n", []string{"3:36: texts.suport is unknown; did you mean support?"}},
	{"no keys at all", "just words\n", []string{"1:1: the file: want keys and values, like {language: ...}"}},
	{"a list at the top", "- language: vi\n", []string{"1:1: the file: want keys and values, like {language: ...}"}},
	{"a URL within braces and brackets", "secret_key_file: secret.key\nfirst_factors: [{name: dir, ldap: {urls: [ldap://127.0.0.1:3890], base_dns: [\"dc=vn\"]}}]\n", []string{
		"2:43: first_factors[0].ldap.urls[0]: want text; if it has a colon in it, put it in quotes",
	}},
	{"a file name that would play with the terminal", "secret_key_file: \"a\\n\\e[2Jb\"\nfirst_factors: [{name: local, file: users.yaml}]\n", []string{
		"1:18: secret_key_file: stat DIR/a\ufffd\ufffd[2Jb: no such file or directory; vssgate init DIR makes one",
	}},
	{"domains", "secret_key_file: secret.key\nfirst_factors:\n  - name: dir\n    ldap: {urls: [ldaps://dc1], base_dns: [\"dc=vn\"], domains: vss.vn}\n  - name: other\n    ldap: {urls: [ldaps://dc1], base_dns: [\"dc=vn\"], domains: {VSS: vss.vn, VSS: bhxh.vn, X: 1}}\n", []string{
		"4:63: first_factors[0].ldap.domains: want names and what they stand for, like {VSS: vss.vn}",
		"6:77: first_factors[1].ldap.domains.VSS stands here a second time, the first is in line 6; keep one",
		"6:94: first_factors[1].ldap.domains.X: want text; put it in quotes",
	}},
}
