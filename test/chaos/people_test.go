package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
)

// enrolAll gives everybody a phone but those who are to have none: the first
// size.users are used again and again, then come those whose phone will be
// revoked, then those without.
func (r *run) enrolAll() {
	r.t.Helper()
	s := r.size
	for n := 1; n <= s.users+s.revocations+s.absent; n++ {
		r.users = append(r.users, &user{run: r, name: testenv.UserName(n), password: testenv.UserPassword(n), number: testenv.UserNumber(n)})
	}
	var g errgroup.Group
	g.SetLimit(4)
	for i, u := range r.users[:s.users+s.revocations] {
		g.Go(func() error { return r.enrol(u, []string{"android", "ios"}[i%2], r.nodes[i%nodes]) })
	}
	require.NoError(r.t, g.Wait())
}

// enrol insists: on a busy machine Redis may be slow, and Sentinels act on it.
func (r *run) enrol(u *user, platform string, at *node) (err error) {
	for range 10 {
		if err = r.enrolOnce(u, platform, at); err == nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("enrol %s: %w", u.name, err)
}

func (r *run) enrolOnce(u *user, platform string, at *node) error {
	said, err := r.command(at, "device", "add", "--account", u.name, "--json")
	if err != nil {
		return err
	}
	var a struct {
		ActivationCode string `json:"activation_code"`
	}
	if err := json.Unmarshal(said, &a); err != nil {
		return err
	}
	key, err := phone.NewKey()
	if err != nil {
		return err
	}
	if err := u.at(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	_, err = u.clients[0].Enrol(ctx, phone.Enrolment{ActivationCode: a.ActivationCode, Name: "phone", Platform: platform, AppVersion: "1.6.8",
		PushToken: u.token, Can: []string{"code", "approve", "number"}, Notifications: "allowed"})
	return err
}

// command runs vssgate beside a node.
func (r *run) command(at *node, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(r.t), append(words, "--config", at.dir+"/vssgate.yaml")...)
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("vssgate %v: %w: %s", words, err, complaint.String())
	}
	return said.Bytes(), nil
}

// revoke ends a user's phone for good, at whichever node is there.
func (r *run) revoke(ctx context.Context, u *user) bool {
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if _, err := r.command(r.nodes[i%nodes], "device", "revoke", u.device, "--why", "lost"); err == nil {
			r.phones.write(phoneLine{At: began, Until: time.Now(), What: "revoked", Device: u.device, User: u.name})
			return true
		}
		pause(ctx, 200*time.Millisecond)
	}
	return false
}

// describe tells the checker what was set up.
func (r *run) describe() {
	r.t.Helper()
	type account struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		Number   string `json:"number"`
	}
	var accounts []account
	for _, u := range r.users {
		accounts = append(accounts, account{u.name, u.password, u.number})
	}
	raw, err := json.Marshal(map[string]any{
		"valid_for_ms": r.size.validFor.Milliseconds(), "grace_ms": r.size.grace.Milliseconds(), "slack_ms": r.size.slack.Milliseconds(), "separator": ",",
		"clients": map[string]any{"asks": map[string]string{"approval": "number"}, "holds": map[string]string{"approval": "simple"}, "appends": map[string]string{"approval": "simple"},
			"binds": map[string]string{"approval": "simple"}},
		"users": accounts,
		// What leaves a login open, or belongs to none any more.
		"interim": []string{"Password correct.", "Waiting time is over.", "Wrong code.", "no longer valid", "This code has been used.", "Several logins", "temporarily unavailable"},
	})
	require.NoError(r.t, err)
	r.file("world.json", string(raw))
}
