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
func Find(files []string, which string, most int64) (*Found, error) {
	for i := len(files) - 1; i >= 0 && most > 0; i-- {
		found, read, err := findIn(files[i], which, most)
		if found != nil || err != nil {
			return found, err
		}
		most -= read
	}
	return nil, nil
}

func findIn(name, which string, most int64) (found *Found, read int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil // it was set aside, or is too old, since it was listed
	}
	if err != nil {
		return nil, 0, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("audit: %w", err)
	}
	var rest []byte // the beginning of what was read before: its line begins further up
	for end := info.Size(); end > 0 && read < most && len(rest) <= maxLine; {
		n := min(end, 256<<10)
		block := make([]byte, n, n+int64(len(rest)))
		if _, err := f.ReadAt(block, end-n); err != nil && !errors.Is(err, io.EOF) {
			return nil, read, fmt.Errorf("audit: %w", err)
		}
		end, read = end-n, read+n
		block = append(block, rest...)
		first := 0
		if end > 0 {
			first = bytes.IndexByte(block, '\n') + 1
		}
		if found := findAmong(block[first:], which); found != nil {
			return found, read, nil
		}
		rest = block[:first]
	}
	return nil, read, nil
}

// findAmong is the last of these lines that is about that login.
func findAmong(lines []byte, which string) *Found {
	for len(lines) > 0 {
		start := bytes.LastIndexByte(lines[:len(lines)-1], '\n') + 1
		line := lines[start:]
		lines = lines[:start]
		if !bytes.Contains(bytes.ToUpper(line), []byte(`"`+strings.ToUpper(which)+`"`)) {
			continue
		}
		var f Found
		if json.Unmarshal(line, &f) == nil && f.Kind == "login" && (strings.EqualFold(f.Trace, which) || strings.EqualFold(f.Attempt, which)) {
			return &f
		}
	}
	return nil
}
