package chaos_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestChaos is a short storm on loopback; run.sh, for make chaos, asks for the
// long one by CHAOS_LOGINS, CHAOS_SEED, CHAOS_NETWORK and CHAOS_VSSGATE.
func TestChaos(t *testing.T) {
	s, seed := short, uint64(time.Now().UnixNano())
	if logins := number(t, "CHAOS_LOGINS"); logins > 0 {
		s = long
		s.logins, s.revocations = logins, max(min(s.revocations, logins/10), 1)
	}
	if given := number(t, "CHAOS_SEED"); given > 0 {
		seed = uint64(given)
	}
	r := newRun(t, s, seed, os.Getenv("CHAOS_NETWORK") == "namespaces")
	t.Logf("chaos: %d logins, seed %d (CHAOS_SEED repeats the plan)", s.logins, seed)
	t.Log(r.net.about())
	t.Log("a node's own wall clock is not moved: nothing can move it for a Go program alone; Redis's, which decides, is")
	r.storms()
	r.judge()
}

func number(t *testing.T, name string) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// storms has all visits made while things break, then lets what is open end.
func (r *run) storms() {
	r.began = time.Now()
	stopWatch := r.watchEpochs()
	visiting, over := context.WithCancel(r.t.Context())
	storm := make(chan struct{})
	go func() {
		r.visitAll(visiting)
		over()
	}()
	go func() {
		defer close(storm)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-visiting.Done():
				return
			case <-tick.C:
				r.t.Logf("%6.1f s  %d of %d visits, %d let in, %d faults, the store changed hands %d times", time.Since(r.began).Seconds(),
					r.done.Load(), r.size.logins, r.in.Load(), r.struck.Load(), r.epochs.Load())
			}
		}
	}()
	r.storm(visiting)
	<-storm
	r.t.Logf("%6.1f s  all is mended; what is open ends", time.Since(r.began).Seconds())
	time.Sleep(max(r.size.validFor+r.size.grace, recordsOf) + 3*time.Second)
	stopWatch()
	r.stop()
}

// recordsOf is after how long another node writes the record that a dead one
// owes, with the second in which it finds out.
const recordsOf = 12 * time.Second

func (r *run) visitAll(ctx context.Context) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range r.size.visitors {
		wg.Go(func() {
			for n := range next {
				v, s := r.newVisit(n)
				v.visit(ctx, s)
			}
		})
	}
	for n := range r.size.logins {
		next <- n
	}
	close(next)
	wg.Wait()
}

// judge has the checker read what was seen.
func (r *run) judge() {
	r.t.Helper()
	checker := filepath.Join(r.dir, "checker")
	out, err := exec.Command("go", "build", "-o", checker, "vssgate/test/checker").CombinedOutput()
	require.NoError(r.t, err, string(out))
	report, err := exec.Command(checker, r.dir).CombinedOutput()
	r.t.Logf("%d faults, the store changed hands %d times, %.0f s\n%s", r.struck.Load(), r.epochs.Load(), time.Since(r.began).Seconds(), report)
	if err != nil {
		r.showEvidence(string(report))
	}
	require.NoError(r.t, err, "the checker")
	require.GreaterOrEqual(r.t, float64(r.in.Load()), r.size.enough*float64(r.size.logins), "so few were let in that nothing is shown")
}

var named = regexp.MustCompile(`\b(user[0-9]{4}|[0-9a-f]{32})\b`)

// showEvidence logs what was seen of the users and logins that a report names.
func (r *run) showEvidence(report string) {
	names := named.FindAllString(report, -1)
	files, err := filepath.Glob(filepath.Join(r.dir, "*.jsonl"))
	require.NoError(r.t, err)
	audits, err := filepath.Glob(filepath.Join(r.dir, "nodes", "*", "audit*.jsonl"))
	require.NoError(r.t, err)
	for _, file := range append(files, audits...) {
		raw, err := os.ReadFile(file)
		require.NoError(r.t, err)
		for line := range strings.Lines(string(raw)) {
			if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(line, name) }) {
				r.t.Logf("%s: %.500s", filepath.Base(file), line)
			}
		}
	}
}
