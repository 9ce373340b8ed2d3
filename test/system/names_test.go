package system_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// entry is one more person in the directory.
func entry(uid, password, number string) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("dn:: %s\nobjectClass: inetOrgPerson\nuid:: %s\ncn: x\nsn: x\nuserPassword:: %s\nemployeeNumber: %s\n\n",
		b64([]byte("uid="+uid+","+testenv.SlapdPeople)), b64([]byte(uid)), b64([]byte(password)), number)
}

// However a name is written, it is the same account, with the same phone and
// the same counters, or nobody.
func TestAnotherSpellingIsTheSameAccountOrNobody(t *testing.T) {
	vietnamese := norm.NFC.String("nguyễn.hương")
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{LDIF: entry(vietnamese, "mật khẩu", "7911111111")}})
	one, two := s.Phone(1), s.Enrol(vietnamese, phone.Enrolment{})
	nas := s.NAS(site.Asks)
	login := func(n int, p *site.Phone, name, password string) (let bool) {
		r := site.Request{User: name, Password: password, Station: fmt.Sprintf("203.0.113.%d", n)}
		asked := nas.Ask(r)
		if asked.Code == site.AccessReject {
			require.Contains(t, asked.Text, "Wrong user name or password")
			return false
		}
		require.EqualValues(t, site.AccessChallenge, asked.Code)
		require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(p.Code(), asked.State)).Code)
		return true
	}
	for i, c := range []struct {
		phone     *site.Phone
		password  string
		spellings []string
		sure      int // how many of them must get in
	}{
		{one, password, []string{user, "USER0001", "User0001", " user0001", "user0001 ", "user0001.", "user0001@example.vn", `EXAMPLE\user0001`, "user0001\u200b", "ｕser0001", "user 0001"}, 3},
		{two, "mật khẩu", []string{vietnamese, norm.NFD.String(vietnamese), "NGUYỄN.HƯƠNG", "nguyen.huong"}, 3},
	} {
		account := ""
		for j, name := range c.spellings {
			let := login(10*i+10+j, c.phone, name, c.password)
			if j < c.sure {
				require.True(t, let, "%q", name)
			}
			if !let {
				continue
			}
			if account == "" {
				account = s.Last().Account
			}
			require.Equal(t, account, s.Last().Account, "%q is a second identity", name)
			require.Equal(t, c.spellings[0], s.Last().Username, "the directory's spelling, not what was typed")
		}
	}
}

func TestNamesThatAreFiltersFindNobody(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone, nas := s.Phone(1), s.NAS(site.Asks)
	for _, name := range []string{
		"*", "user*", "user000?", `\2a`, `user0001)(uid=*`, `*)(uid=user0001`, `user0001)(|(uid=*))`, `user0001\00`, `\75ser0001`,
		"(uid=user0001)", "uid=user0001," + testenv.SlapdPeople, "user0001,cn=x", "user0001+cn=x", "user0001#", "\u202euser0001",
		"user0001\n", "user0001\x1b[2J", strings.Repeat("u", 253),
	} {
		answer := nas.Ask(site.Request{User: name, Password: password, Station: "203.0.113.7"})
		require.EqualValues(t, site.AccessReject, answer.Code, "%q", name)
		require.Contains(t, answer.Text, "Wrong user name or password", "%q", name)
	}
	for name, r := range map[string]site.Request{
		"a NUL in the name":                 {User: "user0001\x00", Password: password},
		"a NUL inside the name":             {User: "user0001\x00x", Password: password},
		"a NUL inside the password":         {User: user, Password: password + "\x00,123456"},
		"a password of NULs":                {User: user, Password: strings.Repeat("\x00", 16)},
		"an empty password":                 {User: user, Password: ""},
		"nothing before the appended code":  {User: user, Password: ",123456"},
		"144 bytes of password":             {User: user, Password: strings.Repeat("p", 144)},
		"a password that is no UTF-8":       {User: user, Password: "password\xff\xfe"},
		"a state and an empty name":         {User: "", Password: "x", State: "state"},
		"a state that nobody gave, of 253":  {User: user, Password: "123456", State: strings.Repeat("s", 253)},
		"a name in bytes that are no UTF-8": {User: "user0001\xff", Password: password},
	} {
		require.EqualValues(t, site.AccessReject, nas.Ask(r).Code, name)
	}
	phone.None()
	for _, line := range strings.Split(s.Output(), "\n") {
		require.NotContains(t, line, "\x1b", "what was typed cannot drive a terminal")
	}
	require.Empty(t, s.Accepted())
	s.Verify()
}

func TestLongAndForeignPasswordsReachTheDirectoryAsTheyAre(t *testing.T) {
	var ldif strings.Builder
	passwords := []string{
		strings.Repeat("0123456789abcdef", 8),
		strings.Repeat("ẩ", 42) + "ab", // 128 bytes
		"žluťoučký 🔑",
		"with,commas,123456,in it",
		"trailing space ",
	}
	for i, p := range passwords {
		require.LessOrEqual(t, len(p), 128)
		ldif.WriteString(entry(fmt.Sprintf("long%d", i), p, fmt.Sprintf("792222222%d", i)))
	}
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{LDIF: ldif.String()}})
	nas := s.NAS(site.Asks)
	for i, p := range passwords {
		name := fmt.Sprintf("long%d", i)
		phone := s.Enrol(name, phone.Enrolment{})
		r := site.Request{User: name, Password: p, Station: fmt.Sprintf("203.0.113.%d", i+1)}
		asked := nas.Ask(r)
		require.EqualValues(t, site.AccessChallenge, asked.Code, "%q: %s", p, asked.Text)
		require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(phone.Code(), asked.State)).Code)
	}
}

// A hash that reads only so much of what it is given (bcrypt: 72 bytes; over user
// name and password it took the place of both) makes one of two. Nothing here
// does: neither joins, remembers, recognises nor refuses for the other.
func TestNamesAndPasswordsAlikeAtTheirBeginningAreTwo(t *testing.T) {
	for _, alike := range []int{52, 72} {
		t.Run(fmt.Sprint(alike), func(t *testing.T) {
			names := [2]string{strings.Repeat("n", alike) + "-one", strings.Repeat("n", alike) + "-two"}
			passwords := [2]string{strings.Repeat("p", alike) + "-one", strings.Repeat("p", alike) + "-two"}
			s := site.Start(t, site.Options{
				Directory: testenv.SlapdOptions{LDIF: entry(names[0], passwords[0], "7922222221") + entry(names[1], passwords[1], "7922222222")},
				Clients:   `    - {name: remembers, addresses: [127.0.0.4], secret: "{{SECRET}}", mode: challenge, remember: 1h}`,
				More:      patient,
			})
			nas := s.NAS("127.0.0.4")
			phones := [2]*site.Phone{s.Enrol(names[0], phone.Enrolment{}), s.Enrol(names[1], phone.Enrolment{})}
			ask := func(name, password int) site.Answer {
				return nas.Ask(site.Request{User: names[name], Password: passwords[password], Station: "203.0.113.50"})
			}
			mixed := func() {
				for _, i := range []int{0, 1} {
					answer := ask(i, 1-i)
					require.EqualValues(t, site.AccessReject, answer.Code)
					require.Contains(t, answer.Text, "Wrong user name or password")
				}
			}
			confirmed := func(i int) {
				asked := ask(i, i)
				require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
				mixed() // beside the open login
				r := site.Request{User: names[i], Station: "203.0.113.50"}
				require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(phones[i].Code(), asked.State)).Code)
				require.EqualValues(t, site.AccessAccept, ask(i, i).Code)
				require.Equal(t, "remembered", s.Last().Factor)
			}
			confirmed(0)
			phones[1].None()
			confirmed(1)
			mixed() // beside what is remembered

			nas = s.NAS(site.Appends)
			require.Contains(t, ask(0, 0).Text, "Password correct")
			typed := func(password int) site.Answer {
				return nas.Ask(site.Request{User: names[0], Password: passwords[password] + "," + phones[0].Code(), Station: "203.0.113.50"})
			}
			require.EqualValues(t, site.AccessReject, typed(1).Code)
			require.EqualValues(t, site.AccessAccept, typed(0).Code)
		})
	}
}

func TestWhatIsNoUTF8WithoutASignatureIsTakenForAWrongSecret(t *testing.T) {
	s := site.Start(t, site.Options{})
	nas := s.NAS(site.Asks)
	nas.Send(nas.Packet(site.Request{User: user, Password: "password\xff\xfe", Unsigned: true}))
	nas.Silent(quiet)
	require.Zero(t, s.Metric("vssgate_upstream_seconds_count"), "the directory was not asked")
}

// A login that is sent in pieces, or in a shape of its own, takes nothing down.
func TestHostileDatagramsTakeNothingDown(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone, nas := s.Phone(1), s.NAS(site.Asks)
	good := nas.Packet(asks)
	for n := range good {
		nas.Send(good[:n])
	}
	for at := range good {
		for _, bit := range []byte{0x01, 0x80} {
			bad := append([]byte{}, good...)
			bad[at] ^= bit
			nas.Send(bad)
		}
	}
	nas.Send(append(append([]byte{}, good...), make([]byte, 5000)...))
	answered := map[byte]int{}
	for {
		raw := nas.Any(quiet)
		if raw == nil {
			break
		}
		answered[raw[0]]++
	}
	require.Zero(t, answered[site.AccessAccept])
	require.LessOrEqual(t, answered[site.AccessChallenge], 1, "padding is ignored: that was the good one")
	require.True(t, s.Running())
	again := nas.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, again.Code)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), again.State)).Code)
	require.Less(t, strings.Count(s.Output(), "\n"), 1000, "the log is not the attacker's")
}
