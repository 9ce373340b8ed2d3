package chaos_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the checker reads: test/checker/doc.go describes each line.
type (
	visitLine struct {
		Visit  int    `json:"visit"`
		Kind   string `json:"kind"`
		Must   string `json:"must"`
		In     bool   `json:"in"`
		Tries  int    `json:"tries"`
		TookMS int64  `json:"took_ms"`
	}
	nasLine struct {
		At      time.Time `json:"at"`
		What    string    `json:"what"`
		Visit   int       `json:"visit"`
		Request string    `json:"request"`
		Server  string    `json:"server,omitempty"`
		Client  string    `json:"client,omitempty"`
		User    string    `json:"user,omitempty"`
		Station string    `json:"station,omitempty"`
		Typed   string    `json:"typed,omitempty"`
		State   string    `json:"state,omitempty"`
		Code    int       `json:"code,omitempty"`
		Text    string    `json:"text,omitempty"`
	}
	phoneLine struct {
		At       time.Time `json:"at"`
		Until    time.Time `json:"until,omitzero"`
		What     string    `json:"what"`
		Device   string    `json:"device"`
		User     string    `json:"user,omitempty"`
		Login    string    `json:"login,omitempty"`
		Code     string    `json:"code,omitempty"`
		Approval string    `json:"approval,omitempty"`
		Client   string    `json:"client,omitempty"`
		From     string    `json:"from,omitempty"`
		Created  time.Time `json:"created,omitzero"`
		Expires  time.Time `json:"expires,omitzero"`
		Answer   string    `json:"answer,omitempty"`
		Number   string    `json:"number,omitempty"`
		Verdict  string    `json:"verdict,omitempty"`
		Error    string    `json:"error,omitempty"`
	}
	pushLine struct {
		At       time.Time `json:"at"`
		Node     string    `json:"node"`
		Token    string    `json:"token"`
		Type     string    `json:"type"`
		Login    string    `json:"login"`
		Expires  string    `json:"expires"`
		Collapse string    `json:"collapse"`
		Fault    string    `json:"fault"`
		Raw      string    `json:"raw"`
	}
	faultLine struct {
		At      time.Time `json:"at"`
		Until   time.Time `json:"until"`
		What    string    `json:"what"`
		Loses   bool      `json:"loses"`
		ClockMS int64     `json:"clock_ms"`
		Node    string    `json:"node,omitempty"`
	}
)

// A journal is a file of JSON lines.
type journal struct {
	mu   sync.Mutex
	file *os.File
	t    testing.TB
}

func newJournal(t testing.TB, dir, name string) *journal {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return &journal{file: f, t: t}
}

// write may be called from any goroutine.
func (j *journal) write(line any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := json.NewEncoder(j.file).Encode(line); err != nil {
		j.t.Errorf("%s: %v", j.file.Name(), err)
	}
}
