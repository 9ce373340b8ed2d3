package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"vssgate/radius"
)

// A crowd logs its users in, whole logins: password, challenge, the code that
// VssID's server is shown, accept. Each of these goes to the next node.
type crowd struct {
	b       *testing.B
	nodes   []*node
	users   int // users 0 to users-1 take part
	clerks  []*clerk
	persons []string
	next    atomic.Int64
}

// A clerk is one of those who log users in: a port of a NAS and a server of
// VssID's, which asks from an address of its own.
type clerk struct {
	nas    []*radius.Asker // one for each node
	http   *http.Client
	phones []string
}

const clerks = 32

func newCrowd(b *testing.B, users int, nodes ...*node) *crowd {
	c := &crowd{b: b, nodes: nodes, users: users, persons: make([]string, users)}
	for i := range clerks {
		k := &clerk{http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i))}}).DialContext, MaxIdleConnsPerHost: 1,
		}}}
		for _, n := range nodes {
			nas, err := radius.DialFrom(&net.UDPAddr{IP: net.ParseIP(asked)}, n.at.RADIUS[0], sharedSecret)
			require.NoError(b, err)
			b.Cleanup(func() { nas.Close() })
			k.nas, k.phones = append(k.nas, nas), append(k.phones, "http://"+n.at.Phones+"/v1/persons")
		}
		b.Cleanup(k.http.CloseIdleConnections)
		c.clerks = append(c.clerks, k)
	}
	var all errgroup.Group
	for w, k := range c.clerks {
		all.Go(func() (err error) {
			for i := w; i < users && err == nil; i += clerks {
				var found struct {
					Person string `json:"person_id"`
				}
				err = k.ask(http.MethodPost, k.phones[0], map[string]string{"bhxh_number": identity(i).Number}, &found)
				c.persons[i] = found.Person
			}
			return err
		})
	}
	require.NoError(b, all.Wait())
	return c
}

// rate is how many logins a second there are for one turn.
func (c *crowd) rate() float64 {
	var done atomic.Int64
	begun := time.Now()
	c.each(func(k *clerk) error {
		for time.Since(begun) < turn {
			if err := c.logIn(k); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	})
	return float64(done.Load()) / time.Since(begun).Seconds()
}

// logins has so many logins done.
func (c *crowd) logins(many int) {
	var begun atomic.Int64
	c.each(func(k *clerk) error {
		for int(begun.Add(1)) <= many {
			if err := c.logIn(k); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *crowd) each(do func(k *clerk) error) {
	var all errgroup.Group
	for _, k := range c.clerks {
		all.Go(func() error { return do(k) })
	}
	require.NoError(c.b, all.Wait())
}

// logIn logs the next user in.
func (c *crowd) logIn(k *clerk) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	turn := int(c.next.Add(1))
	i, at := turn%c.users, func(step int) int { return (turn + step) % len(c.nodes) }
	q := radius.Question{Username: username(i), Password: []byte(password), NAS: "vpn-hanoi-1", Station: string(netipOf(i))}
	a, err := k.nas[at(0)].Ask(ctx, q)
	if err != nil {
		return err
	}
	var shown struct {
		Logins []struct{ Code string }
	}
	if err := k.ask(http.MethodGet, k.phones[at(1)]+"/"+c.persons[i]+"/logins", nil, &shown); err != nil {
		return err
	}
	if len(shown.Logins) != 1 {
		return fmt.Errorf("user %d has %d logins open, answered %v %s", i, len(shown.Logins), a.Code, a.Text)
	}
	q.State, q.Password = a.State, []byte(shown.Logins[0].Code)
	a, err = k.nas[at(2)].Ask(ctx, q)
	if err == nil && a.Code != radius.Accept {
		err = fmt.Errorf("user %d is not let in: %s", i, a.Text)
	}
	return err
}

// ask calls the phone API as VssID's server.
func (k *clerk) ask(method, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+backendToken)
	r.Header.Set("Content-Type", "application/json")
	answer, err := k.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s %w", method, url, answer.Status, text, err)
	}
	return json.Unmarshal(text, out)
}
