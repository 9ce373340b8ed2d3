package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Select copies the records about any of these accounts and devices (their ids)
// to out, as they stand in the files, and returns how many.
func Select(files []string, ids map[string]bool, out io.Writer) (n int, err error) {
	for _, name := range files {
		found, err := selectFrom(name, ids, out)
		n += found
		if err != nil {
			return n, fmt.Errorf("audit: %s: %w", name, err)
		}
	}
	return n, nil
}

func selectFrom(name string, ids map[string]bool, out io.Writer) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		var about struct{ Account, Device, Target string }
		if json.Unmarshal(lines.Bytes(), &about) != nil || !ids[about.Account] && !ids[about.Device] && !ids[about.Target] {
			continue
		}
		if _, err := out.Write(lines.Bytes()); err != nil {
			return n, err
		}
		n++
	}
	return n, lines.Err()
}
