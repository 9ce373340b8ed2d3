package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Found is a login's record, as far as it is shown again.
type Found struct {
	Time                               time.Time
	Attempt, Trace, Client, NAS, From  string
	FrontEnd                           string `json:"front_end"`
	Account, Username, Verdict, Reason string
	Factor, Device                     string
	Pushes, Requests                   int
	TookMS                             int64 `json:"took_ms"`
	Kind                               string
}

// Find looks for the newest record of a login by its trace or attempt, from the
// end of the newest file backwards through at most `most` bytes. nil: there is
// none within those.
func Find(files []string, which string, most int64) (found *Found, err error) {
	quoted := quoted(which)
	err = backwards(files, most, func(line []byte) (more bool) {
		if f := loginWith(line, quoted); f != nil && f.is(which) {
			found = f
		}
		return found == nil
	})
	return found, err
}

func (f *Found) is(which string) bool {
	return strings.EqualFold(f.Trace, which) || strings.EqualFold(f.Attempt, which)
}

// Latest are the last n logins of an account, the newest first, as far as they
// are within the last `most` bytes.
func Latest(files []string, account string, n int, most int64) (all []Found, err error) {
	quoted := quoted(account)
	err = backwards(files, most, func(line []byte) (more bool) {
		if f := loginWith(line, quoted); f != nil && f.Account == account {
			all = append(all, *f)
		}
		return len(all) < n
	})
	return all, err
}

// quoted is a word as it stands in a line in capitals: to pass quickly over
// lines that are about something else.
func quoted(word string) []byte { return []byte(`"` + strings.ToUpper(word) + `"`) }

// loginWith is the login that a line with that quoted word is about; nil: it has
// no such word, or is about something else.
func loginWith(line, quoted []byte) *Found {
	var f Found
	if !bytes.Contains(bytes.ToUpper(line), quoted) || json.Unmarshal(line, &f) != nil || f.Kind != "login" {
		return nil
	}
	return &f
}

// backwards visits the lines of the files from the last one on, in at most
// `most` bytes, as long as visit wants more.
func backwards(files []string, most int64, visit func(line []byte) (more bool)) error {
	more := true
	for i := len(files) - 1; i >= 0 && most > 0 && more; i-- {
		read, err := backwardsIn(files[i], most, func(line []byte) bool {
			more = visit(line)
			return more
		})
		if err != nil {
			return err
		}
		most -= read
	}
	return nil
}

func backwardsIn(name string, most int64, visit func(line []byte) (more bool)) (read int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // it was set aside, or is too old, since it was listed
	}
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	var rest []byte // the beginning of what was read before: its line begins further up
	for end := info.Size(); end > 0 && read < most && len(rest) <= maxLine; {
		n := min(end, 256<<10)
		block := make([]byte, n, n+int64(len(rest)))
		if _, err := f.ReadAt(block, end-n); err != nil && !errors.Is(err, io.EOF) {
			return read, fmt.Errorf("audit: %w", err)
		}
		end, read = end-n, read+n
		block = append(block, rest...)
		first := 0
		if end > 0 {
			first = bytes.IndexByte(block, '\n') + 1
		}
		if !linesBackwards(block[first:], visit) {
			return read, nil
		}
		rest = block[:first]
	}
	return read, nil
}

func linesBackwards(lines []byte, visit func(line []byte) (more bool)) (more bool) {
	for len(lines) > 0 {
		start := bytes.LastIndexByte(lines[:len(lines)-1], '\n') + 1
		if !visit(lines[start:]) {
			return false
		}
		lines = lines[:start]
	}
	return true
}
