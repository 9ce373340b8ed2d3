package radius_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// number is the one that the login screen shows.
func number(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`\b\d\d\b`).FindAllString(text, -1)
	require.Len(t, found, 1, text)
	return found[0]
}

// refused wants that the phone API refused with that code.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var p *phone.Problem
	require.True(t, errors.As(err, &p), "%v", err)
	require.Equal(t, code, p.Code)
}

func TestTheNumberOnTheScreenIsTypedIntoThePhone(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	asked := nas.Ask(asks)
	l := phone.Login()
	require.Equal(t, "number", l.Approval)
	_, err := phone.Approve(t.Context(), l.ID, "")
	refused(t, err, "number_missing")
	done, err := phone.Approve(t.Context(), l.ID, number(t, asked.Text))
	require.NoError(t, err)
	require.Equal(t, "waiting_for_retry", done.Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying("ok", asked.State)).Code)
	require.Equal(t, "approval", s.Last().Factor)
	require.Equal(t, phone.ID, s.Last().Device)
	require.NotEmpty(t, s.Last().Signed, "the audit has the phone's own word")
}

func TestAWrongNumberEndsTheLogin(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	asked := nas.Ask(asks)
	code := phone.Code()
	_, err := phone.Approve(t.Context(), phone.Login().ID, site.WrongCode(number(t, asked.Text)))
	refused(t, err, "wrong_number")
	require.EqualValues(t, site.AccessReject, nas.Ask(asks.Saying(code, asked.State)).Code, "not even the code helps now")
	require.Equal(t, "wrong_number", s.Last().Reason)
}

// The owner's approval, given with the number on the owner's screen, is no good
// to a thief who logs in beside him.
func TestAnApprovalWithANumberLetsInItsScreenAlone(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	owner, thief := s.NAS(site.Asks), s.NAS(site.Asks)
	mine := owner.Ask(asks)
	his := thief.Ask(asks) // from the same station: the same login, another screen
	require.NotEqual(t, mine.State, his.State)
	require.Len(t, phone.All(), 1)
	_, err := phone.Approve(t.Context(), phone.Login().ID, number(t, mine.Text))
	require.NoError(t, err)
	stolen := thief.Packet(asks.Saying("ok", his.State))
	thief.Send(stolen)
	if a, ok := thief.Maybe(stolen, quiet); ok {
		require.NotEqualValues(t, site.AccessAccept, a.Code)
	}
	require.EqualValues(t, site.AccessAccept, owner.Ask(asks.Saying("ok", mine.State)).Code)
	require.Len(t, s.Ended(), 1)
}

// The NAS would not wait so long; the approval counts at the next try, once.
func TestALateApprovalIsCollectedOnce(t *testing.T) {
	s := site.Start(t, site.Options{Hold: "1s"})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	early := nas.Ask(asks)
	require.EqualValues(t, site.AccessReject, early.Code)
	require.Contains(t, early.Text, "Waiting time is over")
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks).Code)
	elsewhere := asks
	elsewhere.Station = "203.0.113.8"
	require.EqualValues(t, site.AccessReject, nas.Ask(elsewhere).Code, "nobody else is let in by it")
	require.Len(t, s.Accepted(), 1)
}

func TestAfterTheDeadlineNeitherCodeNorApprovalCounts(t *testing.T) {
	t.Parallel() // most of the time it waits
	s := site.Start(t, site.Options{Hold: "1s", More: "second_factor: {valid_for: 10s}\n"})
	p := s.Phone(1)
	asksAt, holdsAt := s.NAS(site.Asks), s.NAS(site.Holds)
	asked := asksAt.Ask(asks)
	holdsAt.Send(holdsAt.Packet(asks))
	require.Eventually(t, func() bool { return len(p.All()) == 2 }, site.Patience, tick)
	code, held := "", phone.Login{}
	for _, l := range p.All() {
		if l.Client == "asks" {
			code = l.Code
		} else {
			held = l
		}
	}
	require.Eventually(t, func() bool { return len(s.Ended()) == 2 }, site.Patience, tick, "both end by themselves")
	p.None()
	require.EqualValues(t, site.AccessReject, asksAt.Ask(asks.Saying(code, asked.State)).Code)
	_, err := p.Approve(t.Context(), held.ID, "")
	refused(t, err, "ended")
	for _, r := range s.Ended() {
		require.Equal(t, "expired", r.Reason)
	}
}

// While a thief's login and the owner's are open side by side, a tap says
// nothing about which of them is meant.
func TestOneTapCannotChooseBetweenTwoLogins(t *testing.T) {
	s := site.Start(t, site.Options{})
	p := s.Phone(1)
	nas := s.NAS(site.Holds)
	first := nas.Packet(asks)
	nas.Send(first)
	mine := p.Login().ID
	second := asks
	second.Station = "198.51.100.66"
	nas.Send(nas.Packet(second))
	require.Eventually(t, func() bool { return len(p.All()) == 2 }, site.Patience, tick)
	for _, l := range p.All() {
		_, err := p.Approve(t.Context(), l.ID, "")
		refused(t, err, "several_logins")
	}
	_, err := p.Deny(t.Context(), mine, false)
	require.NoError(t, err)
	require.EqualValues(t, site.AccessReject, nas.Answer(first).Code)
	require.Equal(t, "accepted", p.Yes().Verdict, "now there is but one")
}

func TestAHundredStationsOpenThreeLogins(t *testing.T) {
	s := site.Start(t, site.Options{})
	p := s.Phone(1)
	nas := s.NAS(site.Asks)
	challenged := 0
	for n := range 100 {
		r := asks
		r.Station = fmt.Sprintf("198.51.100.%d", n+1)
		if nas.Ask(r).Code == site.AccessChallenge {
			challenged++
		}
	}
	require.Equal(t, 3, challenged)
	require.Len(t, p.All(), 3)
}

func TestAPersonsPhonesSeeNobodyElsesLogins(t *testing.T) {
	s := site.Start(t, site.Options{})
	one, two := s.Phone(1), s.Phone(2)
	asked := s.NAS(site.Asks).Ask(asks)
	l := one.Login()
	two.None()
	_, err := two.Approve(t.Context(), l.ID, number(t, asked.Text))
	refused(t, err, "not_found")
	_, err = two.Deny(t.Context(), l.ID, true)
	refused(t, err, "not_found")
	late := s.Phone(1) // enrolled after the login opened
	_, err = late.Approve(t.Context(), l.ID, number(t, asked.Text))
	require.Error(t, err, "who enrolls a phone now cannot answer what was open before")
	require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks.Saying(l.Code, asked.State)).Code)
}

func TestAPasswordWithSeparatorsAndDigitsIsAPassword(t *testing.T) {
	const odd = "a,b,123456"
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{LDIF: "dn: uid=odd," + testenv.SlapdPeople +
		"\nobjectClass: inetOrgPerson\nuid: odd\ncn: x\nsn: x\nuserPassword: " + odd + "\nemployeeNumber: 7944444444\n\n"}})
	p := s.Enrol("odd", phone.Enrolment{})
	nas := s.NAS(site.Appends)
	r := site.Request{User: "odd", Password: odd, Station: "203.0.113.7"}
	require.Contains(t, nas.Ask(r).Text, "Password correct")
	require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(odd+","+p.Code(), "")).Code)
}
