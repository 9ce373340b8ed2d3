package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A world is what was set up.
type world struct {
	ValidFor  millis `json:"valid_for_ms"`
	Grace     millis `json:"grace_ms"`
	Slack     millis `json:"slack_ms"` // how late what happened may be seen
	Separator string `json:"separator"`
	Clients   map[string]struct {
		Approval string `json:"approval"`
	} `json:"clients"`
	Users   []user   `json:"users"`
	Interim []string `json:"interim"`
}

type user struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Number   string `json:"number"`
}

type millis int64

func (m millis) duration() time.Duration { return time.Duration(m) * time.Millisecond }

type visit struct {
	Visit  int    `json:"visit"`
	Kind   string `json:"kind"`
	Must   string `json:"must"`
	In     bool   `json:"in"`
	Tries  int    `json:"tries"`
	TookMS int64  `json:"took_ms"`
}

type nasLine struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"`
	Visit   int       `json:"visit"`
	Request string    `json:"request"`
	Server  string    `json:"server"`
	Client  string    `json:"client"`
	User    string    `json:"user"`
	Station string    `json:"station"`
	Typed   string    `json:"typed"`
	State   string    `json:"state"`
	Code    int       `json:"code"`
	Text    string    `json:"text"`
}

type phoneLine struct {
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"`
	What     string    `json:"what"`
	Device   string    `json:"device"`
	User     string    `json:"user"`
	Login    string    `json:"login"`
	Code     string    `json:"code"`
	Approval string    `json:"approval"`
	Client   string    `json:"client"`
	From     string    `json:"from"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Answer   string    `json:"answer"`
	Number   string    `json:"number"`
	Verdict  string    `json:"verdict"`
}

type pushLine struct {
	At       time.Time `json:"at"`
	Node     string    `json:"node"` // which one sent it
	Token    string    `json:"token"`
	Type     string    `json:"type"`
	Login    string    `json:"login"`
	Expires  string    `json:"expires"`
	Collapse string    `json:"collapse"`
	Fault    string    `json:"fault"`
	Raw      string    `json:"raw"`
}

type faultLine struct {
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
	What    string    `json:"what"`
	Loses   bool      `json:"loses"`
	ClockMS int64     `json:"clock_ms"`
	Node    string    `json:"node"`
}

type auditLine struct {
	Node     string    `json:"-"`
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	Attempt  string    `json:"attempt"`
	Trace    string    `json:"trace"`
	Client   string    `json:"client"`
	From     string    `json:"from"`
	Username string    `json:"username"`
	Verdict  string    `json:"verdict"`
	Reason   string    `json:"reason"`
	Factor   string    `json:"factor"`
	Device   string    `json:"device"`
}

// A run is all that was seen.
type run struct {
	world  world
	visits []visit
	nas    []nasLine
	phones []phoneLine
	pushes []pushLine
	faults []faultLine
	audit  []auditLine
	raw    []byte            // what FCM was sent
	chains map[string][]byte // by node: its audit files, one behind the other
	key    []byte            // secret.key
}

func readRun(dir string) (*run, error) {
	r := &run{chains: map[string][]byte{}}
	raw, err := os.ReadFile(filepath.Join(dir, "world.json"))
	if err == nil {
		err = json.Unmarshal(raw, &r.world)
	}
	var more [2]error
	r.key, more[0] = os.ReadFile(filepath.Join(dir, "secret.key"))
	r.raw, more[1] = os.ReadFile(filepath.Join(dir, "fcm.raw"))
	return r, errors.Join(err, more[0], more[1],
		lines(dir, "visits.jsonl", &r.visits), lines(dir, "nas.jsonl", &r.nas), lines(dir, "phone.jsonl", &r.phones),
		lines(dir, "push.jsonl", &r.pushes), lines(dir, "faults.jsonl", &r.faults), r.readAudit(dir))
}

// readAudit takes each node's files from the oldest to the one in use.
func (r *run) readAudit(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "nodes", "*", "audit*.jsonl"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: no audit file below nodes/: %w", dir, fs.ErrNotExist)
	}
	slices.Sort(files) // audit-TIME.jsonl, then audit.jsonl
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		node := filepath.Base(filepath.Dir(file))
		r.chains[node] = append(r.chains[node], raw...)
		var records []auditLine
		if err := lines(filepath.Dir(file), filepath.Base(file), &records); err != nil {
			return err
		}
		for _, a := range records {
			a.Node = node
			r.audit = append(r.audit, a)
		}
	}
	return nil
}

// lines reads a file of JSON lines.
func lines[T any](dir, name string, into *[]T) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	for n := 1; ; n++ {
		var line T
		err := d.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", filepath.Join(dir, name), n, err)
		}
		*into = append(*into, line)
	}
}
