package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"vssgate/internal/app"
	"vssgate/internal/directory"
	"vssgate/internal/phone"
	"vssgate/internal/secret"
	"vssgate/radius"
)

// A walk shows logins, step by step.
type walk struct {
	mu     sync.Mutex // of out: a NAS and a phone speak at once
	out    io.Writer
	begun  time.Time
	at     app.Addresses
	d      *Directory
	push   *pushService
	phones map[string]*phone.Client
}

// show walks through one login of each kind and says what to try by hand.
func (o Options) show(ctx context.Context, dir string, d *Directory, push *pushService, at app.Addresses) error {
	w := &walk{out: o.Out, begun: time.Now(), at: at, d: d, push: push}
	fmt.Fprintf(w.out, "vssgate demo: RADIUS on %s/udp, LDAP on %s, phone API on http://%s, a directory in this process.\n",
		at.RADIUS[0], at.LDAP[0], at.Phones)
	fmt.Fprintf(w.out, "->: to vssgate, <-: from vssgate, VssID: on the phone of the user. Times in seconds.\n")
	var err error
	if w.phones, err = enrolPhones(ctx, dir, d, at); err != nil {
		return err
	}
	for i, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"RADIUS, challenge: the user types the code that VssID shows", w.challenge},
		{"RADIUS, hold: the VPN waits until the user approves in VssID", w.held},
		{"RADIUS, hold: the user denies", w.denied},
		{"RADIUS, append, for whom can neither ask nor wait: the code goes behind the password", w.appended},
		{"The same, without a code: the user approves when nobody waits any more, and the next try is let in", w.late},
		{"LDAP: a bind is held and approved; then the application searches through the proxy", w.bind},
		{"RADIUS: a wrong password; no phone is told", w.wrongPassword},
	} {
		fmt.Fprintf(w.out, "\n%d. %s\n", i+1, step.title)
		bounded, cancel := context.WithTimeout(ctx, longest)
		err := step.run(bounded)
		cancel()
		if err != nil {
			return fmt.Errorf("demo, %s: %w", step.title, err)
		}
	}
	w.byHand(dir)
	return nil
}

func (w *walk) say(at time.Time, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.out, "  %7.3f  %s\n", at.Sub(w.begun).Seconds(), fmt.Sprintf(format, args...))
}

func (w *walk) user(name string) DirectoryUser {
	for _, u := range w.d.Users {
		if u.Username == name {
			return u
		}
	}
	panic("no demo user " + name)
}

// nas is a NAS at that loopback address.
func (w *walk) nas(from string) (*radius.Asker, error) {
	a, err := radius.DialFrom(&net.UDPAddr{IP: net.ParseIP(from)}, w.at.RADIUS[0], secret.Secret(Secret))
	if err == nil {
		a.Trace = func(p radius.Traced) { w.say(p.At, "%v", p) }
	}
	return a, err
}

// onPhone waits until the user's phone was told of a login, and shows it.
func (w *walk) onPhone(ctx context.Context, user string) (phone.Login, error) {
	for told := ""; told != user; {
		select {
		case told = <-w.push.told:
		case <-ctx.Done():
			return phone.Login{}, fmt.Errorf("the phone of %s was not told: %w", user, ctx.Err())
		}
	}
	w.say(time.Now(), "push to the phone of %s: a login waits (neither code nor name goes through the push service)", user)
	list, err := w.phones[user].Logins(ctx, 20*time.Second, "")
	if err != nil {
		return phone.Login{}, err
	}
	if len(list.Logins) == 0 {
		return phone.Login{}, errors.New("the phone shows no login")
	}
	l := list.Logins[0]
	w.say(time.Now(), "VssID of %s: login to %s from %s, code %s %s", user, l.Client, l.From, l.Code[:3], l.Code[3:])
	return l, nil
}

func (w *walk) challenge(ctx context.Context) error {
	a, err := w.nas("127.0.0.1")
	if err != nil {
		return err
	}
	defer a.Close()
	u := w.user("an.nv")
	q := radius.Question{Username: u.Username, Password: []byte(u.Password), NAS: "demo-vpn", Station: "203.0.113.7"}
	answer, err := a.Ask(ctx, q)
	if err != nil {
		return err
	}
	if answer.Code != radius.Challenge {
		return fmt.Errorf("want a challenge, got %v %s", answer.Code, answer.Text)
	}
	l, err := w.onPhone(ctx, u.Username)
	if err != nil {
		return err
	}
	w.say(time.Now(), "%s types %s", u.Username, l.Code)
	q.State, q.Password = answer.State, []byte(l.Code)
	return w.want(ctx, a, q, radius.Accept)
}

// want asks and wants that answer.
func (w *walk) want(ctx context.Context, a *radius.Asker, q radius.Question, code radius.Code) error {
	answer, err := a.Ask(ctx, q)
	if err == nil && answer.Code != code {
		err = fmt.Errorf("want %v, got %v %s", code, answer.Code, answer.Text)
	}
	return err
}

func (w *walk) held(ctx context.Context) error {
	return w.holds(ctx, "binh.tt", radius.Accept, func(l phone.Login) error {
		done, err := w.phones["binh.tt"].Approve(ctx, l.ID, "")
		w.say(time.Now(), "VssID of binh.tt: Approve -> %s", done.Verdict)
		return err
	})
}

func (w *walk) denied(ctx context.Context) error {
	return w.holds(ctx, "chi.lv", radius.Reject, func(l phone.Login) error {
		done, err := w.phones["chi.lv"].Deny(ctx, l.ID, false)
		w.say(time.Now(), "VssID of chi.lv: Deny -> %s", done.Verdict)
		return err
	})
}

// holds logs the user in at the NAS that holds, and answers on the phone after
// a moment.
func (w *walk) holds(ctx context.Context, user string, want radius.Code, answer func(phone.Login) error) error {
	a, err := w.nas("127.0.0.2")
	if err != nil {
		return err
	}
	defer a.Close()
	u := w.user(user)
	asked := make(chan error, 1)
	go func() {
		asked <- w.want(ctx, a, radius.Question{Username: u.Username, Password: []byte(u.Password), NAS: "demo-wifi", Station: "198.51.100.20"}, want)
	}()
	return errors.Join(w.onPhoneAfter(ctx, user, answer), <-asked)
}

// appended logs in where nothing can be asked: the password alone opens the
// login and is rejected with what to do, password and code are let in.
func (w *walk) appended(ctx context.Context) error {
	return w.twice(ctx, "binh.tt", func(u DirectoryUser, l phone.Login) (string, error) {
		w.say(time.Now(), "%s types %s,%s as the password", u.Username, u.Password, l.Code)
		return u.Password + "," + l.Code, nil
	})
}

// late approves when nobody waits: the next try is let in, once.
func (w *walk) late(ctx context.Context) error {
	return w.twice(ctx, "chi.lv", func(u DirectoryUser, l phone.Login) (string, error) {
		done, err := w.phones[u.Username].Approve(ctx, l.ID, "")
		w.say(time.Now(), "VssID of %s: Approve -> %s, within %d s", u.Username, done.Verdict, done.RetryWithin)
		return u.Password, err
	})
}

// twice logs the user in with the password, and then with what next says.
func (w *walk) twice(ctx context.Context, user string, next func(DirectoryUser, phone.Login) (password string, err error)) error {
	a, err := w.nas("127.0.0.3")
	if err != nil {
		return err
	}
	defer a.Close()
	u := w.user(user)
	q := radius.Question{Username: u.Username, Password: []byte(u.Password), NAS: "demo-old", Station: "198.51.100.30"}
	if err := w.want(ctx, a, q, radius.Reject); err != nil {
		return err
	}
	l, err := w.onPhone(ctx, user)
	if err != nil {
		return err
	}
	password, err := next(u, l)
	if err != nil {
		return err
	}
	q.Password = []byte(password)
	return w.want(ctx, a, q, radius.Accept)
}

// thinking is how long a demo user looks at the phone.
const thinking = time.Second

func (w *walk) onPhoneAfter(ctx context.Context, user string, answer func(phone.Login) error) error {
	l, err := w.onPhone(ctx, user)
	if err != nil {
		return err
	}
	select {
	case <-time.After(thinking):
	case <-ctx.Done():
		return ctx.Err()
	}
	return answer(l)
}

func (w *walk) bind(ctx context.Context) error {
	u := w.user("dung.pq")
	bound := make(chan error, 1)
	w.say(time.Now(), "-> BindRequest %s", u.DN)
	go func() {
		r, err := directory.Try(ctx, "ldap://"+w.at.LDAP[0], false, &tls.Config{}, u.DN, u.Password, w.d.Base, "(uid=*)")
		if err == nil {
			w.say(time.Now(), "<- BindResponse %d %s %s", r.Code, r.Name, r.Text)
			w.say(time.Now(), "-> SearchRequest %s (uid=*), relayed to the directory: %d entries", w.d.Base, r.Seen)
		}
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("want success, got %d %s", r.Code, r.Text)
		}
		bound <- err
	}()
	err := w.onPhoneAfter(ctx, u.Username, func(l phone.Login) error {
		done, err := w.phones[u.Username].Approve(ctx, l.ID, "")
		w.say(time.Now(), "VssID of %s: Approve -> %s", u.Username, done.Verdict)
		return err
	})
	return errors.Join(err, <-bound)
}

func (w *walk) wrongPassword(ctx context.Context) error {
	a, err := w.nas("127.0.0.1")
	if err != nil {
		return err
	}
	defer a.Close()
	return w.want(ctx, a, radius.Question{Username: "an.nv", Password: []byte("not it"), NAS: "demo-vpn", Station: "203.0.113.7"}, radius.Reject)
}

// byHand says what to type next.
func (w *walk) byHand(dir string) {
	u := w.user("an.nv")
	url := "http://" + w.at.Phones
	fmt.Fprintf(w.out, `
All of it works. The demo stays up; try it by hand from another terminal (Ctrl-C here ends it):

  1. the phone of %[1]s, which answers by key press:
     %[7]s phone watch --url %[2]s --key %[3]s

  2. a VPN login (the password is %[4]s):
     %[7]s try radius --server %[5]s --secret %[8]s --user %[1]s --password %[4]s

  3. an LDAP login, held until you approve it on that phone:
     ldapsearch -x -H ldap://%[6]s -D %[9]s -w %[4]s -b %[10]s uid

  4. what the administrator sees of all that; one login step by step: login show, with the six characters in brackets
     %[7]s login list --socket %[12]s

Users: %[11]s. The log is on standard error.
`, u.Username, url, KeyFile(dir, u.Username), u.Password, w.at.RADIUS[0], w.at.LDAP[0], program(), Secret, u.DN, w.d.Base, w.users(), w.at.Admin)
}

func (w *walk) users() string {
	var all []string
	for _, u := range w.d.Users {
		all = append(all, u.Username+" (password "+u.Password+")")
	}
	return strings.Join(all, ", ")
}
