package main

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	start  = time.Date(2026, 3, 24, 8, 0, 0, 0, time.UTC)
	secret = bytes.Repeat([]byte{7}, 32)
)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// good is a run in which nothing was broken: a login by code (1), one by an
// approval with a number (2), one that was held and approved (3), one that was
// denied (4), one that the store lost (5), a wrong password (6), and a bind that was
// approved while a thief's waited beside it (7).
func good() *run {
	r := &run{key: []byte(base64.StdEncoding.EncodeToString(secret) + "\n"), raw: []byte("POST /v1 {...}"), chains: map[string][]byte{}}
	must := json.Unmarshal([]byte(`{"valid_for_ms": 15000, "grace_ms": 5000, "slack_ms": 1000, "separator": ",",
		"clients": {"asks": {"approval": "number"}, "holds": {"approval": "simple"}, "binds": {"approval": "simple"}}, "interim": ["still open"],
		"users": [{"name": "an", "password": "right-1", "number": "7900000001"}, {"name": "binh", "password": "right-2", "number": "7900000002"}]}`), &r.world)
	if must != nil {
		panic(must)
	}
	r.visits = []visit{{Visit: 1, Kind: "code", Must: "in", In: true, Tries: 1, TookMS: 3000}, {Visit: 6, Kind: "wrong password", Must: "out"}}

	r.ask(1, 0, "q1", "asks", "an", "s1", "right-1", "", challenge, "Enter the code [AAAAAA]", "state-1")
	r.seen(1, "l1", "an", "asks", "s1", "111111")
	r.ask(1, 3, "q2", "asks", "an", "s1", "111111", "state-1", accept, "", "")
	r.book("n1", 3, "l1", "AAAAAA", "an", "asks", "s1", "accepted", "accepted", "code", "")
	r.sent(1, 3.5, "q2b", "asks", "an", "s1", "111111", "state-1") // the reply was lost
	r.heard(1, 3.6, "q2b", accept, "", "")

	r.ask(2, 10, "q3", "asks", "binh", "s2", "right-2", "", challenge, "Type 42 on the phone [BBBBBB]", "state-2")
	r.seen(11, "l2", "binh", "asks", "s2", "222222")
	r.answered(12, "l2", "phone-binh", "approve", "42", "waiting_for_retry")
	r.ask(2, 13, "q4", "asks", "binh", "s2", "ok", "state-2", accept, "", "")
	r.book("n2", 13, "l2", "BBBBBB", "binh", "asks", "s2", "accepted", "accepted", "approval", "phone-binh")

	r.sent(3, 20, "q5", "holds", "an", "s3", "right-1", "")
	r.seen(21, "l3", "an", "holds", "s3", "333333")
	r.answered(22, "l3", "phone-an", "approve", "", "accepted")
	r.heard(3, 22.5, "q5", accept, "", "")
	r.book("n1", 22.4, "l3", "CCCCCC", "an", "holds", "s3", "accepted", "accepted", "approval", "phone-an")

	r.sent(4, 30, "q6", "holds", "binh", "s4", "right-2", "")
	r.seen(31, "l4", "binh", "holds", "s4", "444444")
	r.answered(32, "l4", "phone-binh", "deny", "", "rejected")
	r.heard(4, 32.5, "q6", reject, "Denied. [DDDDDD]", "")
	r.book("n2", 32.4, "l4", "DDDDDD", "binh", "holds", "s4", "rejected", "denied", "", "phone-binh")

	r.ask(5, 50, "q7", "asks", "an", "s5", "right-1", "", challenge, "Enter the code [EEEEEE]", "state-5")
	r.seen(51, "l5", "an", "asks", "s5", "555555")
	r.faults = []faultLine{{At: at(52), Until: at(54), What: "redis killed", Loses: true}}

	r.ask(6, 80, "q8", "asks", "an", "s6", "wrong", "", reject, "Wrong user name or password. [FFFFFF]", "")
	r.book("n1", 80, "l6", "FFFFFF", "an", "asks", "s6", "rejected", "bad_password", "", "")

	r.bind(7, 100, "b1", "binh", "right-2")
	r.seen(101.5, "m1", "binh", "binds", "app", "777777")
	r.bind(72, 102, "b2", "binh", "right-2")
	r.seen(103.2, "m2", "binh", "binds", "app", "888888")
	r.answered(103, "m1", "phone-binh", "approve", "", "accepted")
	r.result(7, 103.5, "b1", bindSuccess, "")
	r.book("n1", 103.4, "m1", "HHHHHH", "binh", "binds", "app", "accepted", "accepted", "approval", "phone-binh")
	r.result(72, 107, "b2", bindInvalidCredentials, "still open [JJJJJJ]")
	r.book("n1", 116, "m2", "JJJJJJ", "binh", "binds", "app", "rejected", "expired", "", "")

	r.audit = append(r.audit, auditLine{Node: "n1", Kind: "admin", Time: at(120)})
	return r
}

func (r *run) bind(visit int, t float64, name, user, typed string) {
	r.nas = append(r.nas, nasLine{At: at(t), What: "bind", Visit: visit, Request: name, Server: "n1", Client: "binds", User: user, Station: "app", Typed: typed})
}

func (r *run) result(visit int, t float64, name string, code int, text string) {
	r.nas = append(r.nas, nasLine{At: at(t), What: "result", Visit: visit, Request: name, Code: code, Text: text})
}

func (r *run) sent(visit int, t float64, name, client, user, station, typed, state string) {
	r.nas = append(r.nas, nasLine{At: at(t), What: "sent", Visit: visit, Request: name, Client: client, User: user, Station: station, Typed: typed, State: state})
}

func (r *run) heard(visit int, t float64, name string, code int, text, state string) {
	r.nas = append(r.nas, nasLine{At: at(t), What: "heard", Visit: visit, Request: name, Code: code, Text: text, State: state})
}

func (r *run) ask(visit int, t float64, name, client, user, station, typed, state string, code int, text, next string) {
	r.sent(visit, t, name, client, user, station, typed, state)
	r.heard(visit, t+0.1, name, code, text, next)
}

// seen: the login began a second before, a phone was told and looked.
func (r *run) seen(t float64, login, user, client, from, code string) {
	r.phones = append(r.phones, phoneLine{At: at(t), What: "shown", Device: "phone-" + user, User: user, Login: login, Code: code, Client: client, From: from,
		Created: at(t - 1), Expires: at(t + 14)})
	r.pushes = append(r.pushes, pushLine{At: at(t - 0.9), Node: "n1", Token: "token-" + user, Type: "login", Login: login, Expires: "2026", Collapse: login, Raw: `{"login_id":"` + login + `"}`})
}

func (r *run) answered(t float64, login, device, answer, number, verdict string) {
	r.phones = append(r.phones, phoneLine{At: at(t), Until: at(t + 0.2), What: "answered", Device: device, Login: login, Answer: answer, Number: number, Verdict: verdict})
}

func (r *run) book(node string, t float64, attempt, trace, user, client, from, verdict, reason, factor, device string) {
	r.audit = append(r.audit, auditLine{Node: node, Kind: "login", Time: at(t), Attempt: attempt, Trace: trace, Client: client, From: from, Username: user,
		Verdict: verdict, Reason: reason, Factor: factor, Device: device})
}

// chain writes the audit of each node as vssgate does.
func (r *run) chain() {
	key, err := hkdf.Key(sha256.New, secret, nil, "vssgate audit", 32)
	if err != nil {
		panic(err)
	}
	prev := map[string]string{}
	for _, a := range r.audit {
		if prev[a.Node] == "" {
			prev[a.Node] = strings.Repeat("0", 64)
		}
		raw, _ := json.Marshal(a)
		line := append(raw[:len(raw)-1], (`,"prev":"` + prev[a.Node])...)
		h := hmac.New(sha256.New, key)
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(line))))
		h.Write(line)
		prev[a.Node] = hex.EncodeToString(h.Sum(nil))
		r.chains[a.Node] = append(r.chains[a.Node], append(line, (`","hash":"`+prev[a.Node]+"\"}\n")...)...)
	}
}

func broken(r *run) (rules []string) {
	if len(r.chains) == 0 {
		r.chain()
	}
	c := newChecker(r)
	c.check()
	for _, v := range c.violations {
		rules = append(rules, v.rule+": "+v.what)
	}
	return rules
}

func TestARunInWhichNothingWasBroken(t *testing.T) {
	require.Empty(t, broken(good()))
}

// record finds the audit record of a login.
func (r *run) record(login string) *auditLine {
	for i := range r.audit {
		if r.audit[i].Attempt == login {
			return &r.audit[i]
		}
	}
	panic(login)
}

func (r *run) packet(name, what string) *nasLine {
	for i := range r.nas {
		if r.nas[i].Request == name && r.nas[i].What == what {
			return &r.nas[i]
		}
	}
	panic(name)
}

func (r *run) phone(login, what string) *phoneLine {
	for i := range r.phones {
		if r.phones[i].Login == login && r.phones[i].What == what {
			return &r.phones[i]
		}
	}
	panic(login)
}

// without takes out what a phone did to a login.
func (r *run) without(login, what string) {
	kept := r.phones[:0]
	for _, p := range r.phones {
		if p.Login != login || p.What != what {
			kept = append(kept, p)
		}
	}
	r.phones = kept
}

// robbed has the thief's bind let in by the owner's approval, and the owner's end
// in that way.
func (r *run) robbed(end string, t float64) {
	r.packet("b1", "result").At = at(t)
	r.packet("b1", "result").What = end
	thief := r.packet("b2", "result")
	thief.At, thief.Code, thief.Text = at(103.5), bindSuccess, ""
}

func TestWhatEachRuleCatches(t *testing.T) {
	for _, tc := range []struct {
		name, rule, says string
		harm             func(r *run)
	}{
		{"a wrong password lets in", "password", "wrong password", func(r *run) { r.packet("q5", "sent").Typed = "wrong" }},
		{"a challenge after a wrong password lets in", "password", "wrong password", func(r *run) { r.packet("q1", "sent").Typed = "wrong" }},
		{"somebody unknown is let in", "password", "nobody knows", func(r *run) {
			r.ask(9, 60, "q9", "holds", "chi", "s9", "x", "", accept, "", "")
		}},
		{"a State that nobody was given lets in", "password", "nobody was given", func(r *run) { r.packet("q2", "sent").State, r.packet("q2b", "sent").State = "other", "other" }},
		{"the State of another user lets in", "password", "the State of an", func(r *run) {
			r.ask(9, 4, "q9", "asks", "binh", "s1", "111111", "state-1", accept, "", "")
			r.book("n1", 4, "l9", "AAAAAA", "binh", "asks", "s1", "accepted", "accepted", "code", "")
		}},
		{"an accept without an audit record", "record", "no audit record", func(r *run) { r.record("l3").Attempt, r.record("l3").From = "l3", "elsewhere" }},
		{"an accept whose record says rejected", "record", "no audit record", func(r *run) { r.record("l1").Verdict = "rejected" }},
		{"a reject without an audit record", "record", "no audit record", func(r *run) { r.packet("q8", "heard").Text = "Wrong user name or password. [ZZZZZZ]" }},
		{"let in by something that nobody configured", "factor", "remembered", func(r *run) { r.record("l1").Factor = "remembered" }},
		{"another code than that of the login", "factor", "no phone was shown", func(r *run) {
			r.packet("q2", "sent").Typed, r.packet("q2b", "sent").Typed = "999999", "999999"
		}},
		{"an approval that nobody gave", "factor", "no phone said so", func(r *run) { r.without("l3", "answered") }},
		{"a denial counts as an approval", "factor", "no phone said so", func(r *run) { r.phone("l3", "answered").Answer = "deny"; r.phone("l3", "answered").Verdict = "" }},
		{"an approval that was refused", "factor", "refused", func(r *run) { r.phone("l3", "answered").Verdict = "refused" }},
		{"an approval by a phone that the record does not name", "factor", "another phone", func(r *run) { r.record("l3").Device = "phone-x" }},
		{"an approval after the accept", "factor", "after the accept", func(r *run) { r.phone("l3", "answered").At = at(23) }},
		{"the number of another challenge", "factor", "number", func(r *run) { r.phone("l2", "answered").Number = "43" }},
		{"an approval older than the grace", "factor", "grace", func(r *run) {
			r.phone("l2", "shown").Created, r.phone("l2", "shown").At, r.phone("l2", "answered").At, r.phone("l2", "answered").Until = at(0), at(1), at(2), at(2.2)
		}},
		{"an approval after the deadline", "factor", "after its deadline", func(r *run) { r.phone("l3", "shown").Expires = at(20.5) }},
		{"a code after its deadline, by the store's clock", "deadline", "its deadline was", func(r *run) { r.phone("l1", "shown").Expires = at(3) }},
		{"a code typed after its deadline", "deadline", "typed at", func(r *run) { r.phone("l1", "shown").Expires = at(1.5); r.record("l1").Time = at(2.5) }},
		{"a code of a login that began later", "deadline", "before it began", func(r *run) { r.phone("l1", "shown").Created = at(5); r.phone("l1", "shown").Expires = at(20) }},
		{"another place than the phone showed", "place", "which the phone showed", func(r *run) { r.phone("l3", "shown").From = "s9" }},
		{"a bind with a wrong password", "password", "wrong password", func(r *run) { r.packet("b1", "bind").Typed = "wrong" }},
		{"a bind that nobody approved", "factor", "no phone said so", func(r *run) { r.without("m1", "answered") }},
		{"a bind without an audit record", "record", "no audit record", func(r *run) { r.record("m1").Verdict = "rejected" }},
		{"a bind that is refused without an audit record", "record", "no audit record", func(r *run) {
			r.packet("b2", "result").Text = "Denied. [ZZZZZZ]"
		}},
		{"a thief's bind is let in while the owner's waits", "shared", "in which bind b1", func(r *run) { r.robbed("left", 106) }},
		{"a thief's bind is let in instead of the owner's", "shared", "in which bind b1", func(r *run) { r.robbed("broke", 102.9) }},
		{"a thief's bind is let in while another node is down", "shared", "in which bind b1", func(r *run) {
			r.robbed("left", 106)
			r.faults = append(r.faults, faultLine{At: at(102), Until: at(103), Node: "n2"})
		}},
		{"both binds are let in by one approval", "once", "let in requests b1 and b2", func(r *run) { r.packet("b2", "result").Code = bindSuccess; r.packet("b2", "result").At = at(103.6) }},
		{"a bind is prompted for anew though nobody waited", "prompt", "while login m1 was open", func(r *run) {
			r.packet("b1", "result").At, r.packet("b1", "result").What = at(100.6), "left"
		}},
		{"one login lets in two requests", "once", "let in requests", func(r *run) {
			r.ask(9, 3.8, "q9", "asks", "an", "s1", "111111", "state-9", accept, "", "")
		}},
		{"a lost reply is given again too late", "once", "let in requests", func(r *run) {
			r.ask(1, 16, "q9", "asks", "an", "s1", "111111", "state-1", accept, "", "")
			r.book("n3", 16, "l1", "AAAAAA", "an", "asks", "s1", "accepted", "accepted", "code", "")
		}},
		{"two phones let one login in", "once", "by 2 phones", func(r *run) { r.answered(22.1, "l3", "phone-2", "approve", "", "accepted") }},
		{"a verdict that turned", "final", "ended as", func(r *run) {
			r.book("n3", 40, "l4", "DDDDDD", "binh", "holds", "s4", "accepted", "accepted", "approval", "phone-binh")
		}},
		{"a login denied on the phone lets in", "final", "the phone that said deny", func(r *run) { r.record("l4").Verdict, r.record("l4").Reason = "accepted", "accepted" }},
		{"one packet is accepted and rejected", "final", "was answered with 2 and with 3", func(r *run) { r.heard(3, 23, "q5", reject, "Denied. [CCCCCC]", "") }},
		{"a login without an end", "ended", "no audit record says how", func(r *run) { r.faults = nil }},
		{"a login without an end, that only FCM saw", "ended", "no audit record says how", func(r *run) { r.faults = nil; r.without("l5", "shown") }},
		{"a phone rings twice", "prompt", "rang a phone twice", func(r *run) { r.pushes = append(r.pushes, r.pushes[0]) }},
		{"two nodes ring a phone", "prompt", "by n1 and by n2", func(r *run) {
			again := r.pushes[0]
			again.Node, again.At = "n2", at(20)
			r.pushes = append(r.pushes, again)
		}},
		{"two notifications for one login", "prompt", "two ways", func(r *run) { r.pushes[0].Collapse = "x" }},
		{"a retry opens a second login", "prompt", "while login l3 was open", func(r *run) {
			r.seen(22, "l7", "an", "holds", "s3", "777777")
			r.book("n2", 37, "l7", "GGGGGG", "an", "holds", "s3", "rejected", "expired", "", "")
		}},
		{"a revoked phone is shown a login", "revoked", "was shown", func(r *run) {
			r.phones = append(r.phones, phoneLine{At: at(5), Until: at(6), What: "revoked", Device: "phone-binh"})
		}},
		{"a revoked phone's answer counts", "revoked", "answered login", func(r *run) {
			r.phones = append(r.phones, phoneLine{At: at(21.2), Until: at(21.5), What: "revoked", Device: "phone-an"})
		}},
		{"who has to stay outside comes in", "out", "was let in", func(r *run) { r.visits[0].Must = "out" }},
		{"an answer to nothing", "answer", "never sent", func(r *run) { r.heard(9, 9, "q99", accept, "", "") }},
		{"FCM is sent a number", "personal", "the number of an", func(r *run) { r.raw = []byte("x 7900000001 x") }},
		{"FCM is sent a name", "personal", "the name of binh", func(r *run) { r.raw = []byte(`{"user": "binh"}`) }},
		{"FCM is sent a code", "personal", "the code of login l1", func(r *run) { r.pushes[0].Raw = `{"code":"111111"}` }},
		{"a changed audit line", "chain", "was changed", func(r *run) {
			r.chain()
			r.chains["n1"] = bytes.Replace(r.chains["n1"], []byte("denied"), []byte("accept"), 1)
			r.chains["n1"] = bytes.Replace(r.chains["n1"], []byte("bad_password"), []byte("bad_passw0rd"), 1)
		}},
		{"a missing audit line", "chain", "does not follow", func(r *run) {
			r.chain()
			_, r.chains["n1"], _ = bytes.Cut(r.chains["n1"], []byte("\n"))
		}},
		{"another key", "chain", "another key", func(r *run) { r.key = []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32))) }},
		{"a torn audit line", "chain", "is no record", func(r *run) {
			r.chain()
			r.chains["n2"] = append(r.chains["n2"], `{"kind":"lo`...)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := good()
			tc.harm(r)
			found := broken(r)
			for _, f := range found {
				if strings.HasPrefix(f, tc.rule+": ") && strings.Contains(f, tc.says) {
					return
				}
			}
			require.Fail(t, "not caught", "found: %q", found)
		})
	}
}

func TestWhatIsNoViolation(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *run)
	}{
		{"a record told by two nodes, because the first died", func(r *run) { again := *r.record("l3"); again.Node = "n3"; r.audit = append(r.audit, again) }},
		{"FCM delivers twice", func(r *run) { again := r.pushes[0]; again.Fault = "duplicate"; r.pushes = append(r.pushes, again) }},
		{"a node that heard nothing of FCM sends again", func(r *run) { again := r.pushes[0]; again.At = at(3.2); r.pushes = append(r.pushes, again) }},
		{"the store's clock stood 20 s ahead", func(r *run) {
			r.faults = append(r.faults, faultLine{At: at(19), Until: at(24), What: "clock", ClockMS: 20_000})
			r.record("l3").Time = at(42.4)
			r.phone("l3", "shown").Created, r.phone("l3", "shown").Expires = at(40), at(55)
		}},
		{"the store's clock was set back after the login began", func(r *run) {
			r.faults = append(r.faults, faultLine{At: at(-10), Until: at(1), What: "clock", ClockMS: 20_000})
			r.packet("q2", "sent").At, r.packet("q2", "heard").At, r.record("l1").Time = at(12), at(12.1), at(12)
			r.packet("q2b", "sent").At, r.packet("q2b", "heard").At = at(13), at(13.1)
			r.phone("l1", "shown").Created, r.phone("l1", "shown").Expires = at(20), at(35)
		}},
		{"a user binds twice while the store's clock is set back", func(r *run) {
			r.faults = append(r.faults, faultLine{At: at(129), Until: at(130.25), What: "clock", ClockMS: 2000})
			for i, login := range []string{"m3", "m4"} {
				began, name := 130+0.3*float64(i), "b"+login
				r.bind(8+i, began, name, "binh", "right-2")
				r.seen(began+0.05, login, "binh", "binds", "app", "99999"+login[1:])
				r.answered(began+0.1, login, "phone-binh", "approve", "", "accepted")
				r.result(8+i, began+0.2, name, bindSuccess, "")
			}
			r.book("n1", 132.2, "m3", "KKKKKK", "binh", "binds", "app", "accepted", "accepted", "approval", "phone-binh")
			r.book("n1", 130.5, "m4", "LLLLLL", "binh", "binds", "app", "accepted", "accepted", "approval", "phone-binh")
		}},
		{"a reply that ends no login", func(r *run) {
			r.ask(9, 70, "q9", "holds", "an", "s9", "right-1", "", reject, "It is still open [ZZZZZZ]", "")
		}},
		{"a second login after the first has ended", func(r *run) {
			r.seen(45, "l7", "binh", "holds", "s4", "777777")
			r.book("n2", 60, "l7", "GGGGGG", "binh", "holds", "s4", "rejected", "expired", "", "")
		}},
		{"a second login after the store lost the first", func(r *run) {
			r.seen(57, "l7", "an", "asks", "s5", "777777")
			r.book("n2", 71, "l7", "GGGGGG", "an", "asks", "s5", "rejected", "expired", "", "")
		}},
		{"nobody heard that the first packet was let in, and the next one hears it", func(r *run) {
			lost := slices.IndexFunc(r.nas, func(l nasLine) bool { return l.Request == "q2" && l.What == "heard" })
			r.nas = slices.Delete(r.nas, lost, lost+1)
			r.packet("q2b", "sent").At, r.packet("q2b", "heard").At = at(8), at(8.1)
		}},
		{"the owner's node died, and whoever binds next goes on", func(r *run) {
			r.robbed("broke", 102.9)
			r.faults = append(r.faults, faultLine{At: at(102.8), Until: at(104), Node: "n1"})
		}},
		{"a bind joins a login whose application has left", func(r *run) { r.robbed("left", 102.9) }},
		{"a bind that hears 52", func(r *run) { r.packet("b2", "result").Code = 52 }},
		{"an answer that nobody heard of", func(r *run) { r.phone("l3", "answered").Verdict = "" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := good()
			tc.do(r)
			require.Empty(t, broken(r))
		})
	}
}

func TestARunIsReadFromItsFolder(t *testing.T) {
	want := good()
	want.chain()
	dir := t.TempDir()
	write := func(name string, raw []byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	one, err := json.Marshal(want.world)
	require.NoError(t, err)
	write("world.json", one)
	write("secret.key", want.key)
	write("fcm.raw", want.raw)
	for node, audit := range want.chains {
		first := bytes.IndexByte(audit, '\n') + 1
		write("nodes/"+node+"/audit-20260324T000000Z.jsonl", audit[:first]) // of the day before
		write("nodes/"+node+"/audit.jsonl", audit[first:])
	}
	write("visits.jsonl", jsonLines(t, want.visits))
	write("nas.jsonl", jsonLines(t, want.nas))
	write("phone.jsonl", jsonLines(t, want.phones))
	write("push.jsonl", jsonLines(t, want.pushes))
	write("faults.jsonl", jsonLines(t, want.faults))
	got, err := readRun(dir)
	require.NoError(t, err)
	require.Equal(t, want.nas, got.nas)
	require.Equal(t, want.phones, got.phones)
	require.ElementsMatch(t, want.audit, got.audit)
	require.Empty(t, broken(got))

	var report bytes.Buffer
	c := newChecker(got)
	c.check()
	c.report(&report)
	require.Contains(t, report.String(), "voided        1 (14.3 %)")
	require.Contains(t, report.String(), "violations    0")

	require.NoError(t, os.Remove(filepath.Join(dir, "nas.jsonl")))
	_, err = readRun(dir)
	require.ErrorContains(t, err, "nas.jsonl")
}

func jsonLines[T any](t *testing.T, all []T) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, one := range all {
		require.NoError(t, e.Encode(one))
	}
	return b.Bytes()
}
