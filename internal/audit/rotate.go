package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A file is closed and renamed when the day (UTC) of its first record is over,
// or when it has grown to maxSize. Names sort in the order of the files:
// audit.jsonl is set aside as audit-20261124T235959.000001Z.jsonl.
const (
	maxSize   = 256 << 20
	stampForm = "20060102T150405.000000Z"
)

// Files lists the files of an audit log from the oldest to the one at path.
// Those that are not there are left out.
func Files(path string) ([]string, error) {
	stem, ext := split(path)
	all, err := filepath.Glob(escapeGlob(stem) + "-*" + escapeGlob(ext))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	all = slices.DeleteFunc(all, func(name string) bool { _, ok := SetAside(path, name); return !ok })
	slices.Sort(all)
	if _, err := os.Stat(path); err == nil {
		all = append(all, path)
	}
	return all, nil
}

func split(path string) (stem, ext string) {
	ext = filepath.Ext(path)
	return strings.TrimSuffix(path, ext), ext
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// Aside is the name under which the file at path is set aside at that time.
func Aside(path string, at time.Time) string {
	stem, ext := split(path)
	return stem + "-" + at.UTC().Format(stampForm) + ext
}

// SetAside tells when a file was set aside, if its name says that it was.
func SetAside(path, name string) (at time.Time, ok bool) {
	stem, ext := split(path)
	stamp, cut := strings.CutPrefix(strings.TrimSuffix(name, ext), stem+"-")
	at, err := time.Parse(stampForm, stamp)
	return at, cut && err == nil
}

// due tells whether the file has had its day. Held: writing.
func (l *Log) due(now time.Time) bool {
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	return l.size > 0 && (l.size >= maxSize || !l.begun.IsZero() && day(l.begun) != day(now))
}

// rotate sets the file aside and goes on in a new one, bound to the old one's
// last line. What fails leaves the old file in use.
func (l *Log) rotate(now time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if !l.due(now) || l.mend() != nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("audit: sync %s: %w", l.path, err)
	}
	aside := Aside(l.path, now)
	if _, err := os.Lstat(aside); err == nil {
		return nil // the clock stands still, or was set back: at the next tick
	}
	if err := os.Rename(l.path, aside); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	fresh, err := openLocked(l.path)
	if err != nil {
		return errors.Join(fmt.Errorf("audit: begin a new file: %w", err), os.Rename(aside, l.path))
	}
	old := l.file
	l.file, l.size, l.begun = fresh, 0, time.Time{}
	return errors.Join(old.Close(), syncFolder(l.path))
}

// openLocked opens a file for appending, as its only writer.
func openLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrInUse
	}
	return f, nil
}

// syncFolder makes a new name last.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Expired is the action of the record that a removed file leaves behind. It
// ends with the hash of that file's last line: there the chain that is left
// goes on.
const Expired = "audit file expired"

// expire removes the oldest files whose last record is older than keep.
func (l *Log) expire(now time.Time) error {
	if l.Keep <= 0 {
		return nil
	}
	files, err := Files(l.path)
	if err != nil {
		return err
	}
	for _, name := range files {
		at, aside := SetAside(l.path, name)
		if !aside || now.Sub(at) <= l.Keep {
			return nil
		}
		last, err := lastHash(name)
		if err != nil {
			return fmt.Errorf("audit: %s is older than audit.keep but not removed: %w", name, err)
		}
		if err := l.Admin(Admin{By: "vssgate", Action: Expired, Target: filepath.Base(name), Why: "older than audit.keep; its last hash was " + last}); err != nil {
			return err
		}
		if err := l.Sync(); err != nil { // the end mark may name a record of that file
			return err
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		l.log.Info("an audit file older than audit.keep was removed", "file", name, "keep", l.Keep)
	}
	return nil
}

// lastHash is what the line after a file is bound to.
func lastHash(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	last, _, err := tail(f, info.Size())
	if err != nil {
		return "", err
	}
	_, _, hash, err := cutLine(last)
	return hex.EncodeToString(hash), err
}

// attests returns the hash that a record of a removed file names, if line is one.
func attests(line []byte) (hash string, ok bool) {
	if !bytes.Contains(line, []byte(`"action":"`+Expired+`"`)) {
		return "", false
	}
	var a adminLine
	if json.Unmarshal(line, &a) != nil || a.Kind != "admin" || a.Action != Expired || len(a.Why) < 2*hashBytes {
		return "", false
	}
	return a.Why[len(a.Why)-2*hashBytes:], true
}
