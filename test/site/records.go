package site

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/audit"
	"vssgate/otp"
)

// A Record is a line of the audit.
type Record struct {
	Kind, Attempt, Trace, Client, NAS, From string
	Account, Username, Verdict, Reason      string
	Factor, Device, Signed                  string
	By, Action, Target                      string
	Presence                                string
	Pushes, Requests                        int
	FrontEnd                                string `json:"front_end"`
	WouldBe                                 string `json:"would_be"`
}

// Ended returns the audit's records of logins so far, oldest first.
func (s *Site) Ended() []Record { return s.records("login") }

// Ends waits until that many logins have ended, and returns their records: who
// sees a login gone, or told of an end that nobody waited for, is there before the
// record.
func (s *Site) Ends(many int) (all []Record) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { all = s.Ended(); return len(all) >= many }, Patience, 5*time.Millisecond, "not as many logins have ended as wanted")
	require.Len(s.t, all, many)
	return all
}

// Accepted are those of Ended that let somebody in.
func (s *Site) Accepted() (found []Record) {
	s.t.Helper()
	for _, r := range s.Ended() {
		if r.Verdict == "accepted" {
			found = append(found, r)
		}
	}
	return found
}

// Changes returns the audit's records of what administrators did.
func (s *Site) Changes() []Record { return s.records("admin") }

func (s *Site) records(kind string) (found []Record) {
	s.t.Helper()
	for line := range strings.Lines(s.Audit()) {
		var r Record
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		require.NoError(s.t, json.Unmarshal([]byte(line), &r), line)
		if r.Kind == kind {
			found = append(found, r)
		}
	}
	return found
}

// Last is the audit's newest record of a login.
func (s *Site) Last() Record {
	s.t.Helper()
	all := s.Ended()
	require.NotEmpty(s.t, all, "no login in the audit")
	return all[len(all)-1]
}

// Keys are the installation's.
func (s *Site) Keys() *otp.Keys {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.Dir, "secret.key"))
	require.NoError(s.t, err)
	keys, err := otp.ParseKeys(raw)
	require.NoError(s.t, err)
	return keys
}

// Verify wants the audit's chain to be whole, and returns how many lines it has.
func (s *Site) Verify() int {
	s.t.Helper()
	n, err := audit.Verify(strings.NewReader(s.Audit()), s.Keys())
	require.NoError(s.t, err)
	return n
}

// Logged waits until the node's log has that text: what a process writes is
// read a moment later.
func (s *Site) Logged(text string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return strings.Contains(s.Output(), text) }, Patience, 5*time.Millisecond, "not in the log: %s", text)
}

// Get fetches a page beside /metrics.
func (s *Site) Get(path string) (status int, body string) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.Metrics + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(raw)
}

// Metric adds up the values of all series that begin so.
func (s *Site) Metric(series string) (sum float64) {
	s.t.Helper()
	_, page := s.Get("/metrics")
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(series)+`[^ ]* ([0-9.e+]+)$`).FindAllStringSubmatch(page, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		require.NoError(s.t, err)
		sum += v
	}
	return sum
}
