package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"vssgate/internal/alert"
	"vssgate/otp"
)

// The end mark, PATH.end, says which record was the newest when the file was
// synced last: its hash, and a MAC over that. A chain that lost its last records
// is whole all the same; without them it does not reach its mark. Who writes there
// cannot make a mark, but can set back one that he has kept, or remove it: then
// only a copy elsewhere shows what was cut off.

// Missing is the action of the record that a Log begins with when records before
// it were gone at its start.
const Missing = "audit records missing"

func endOf(path string) string { return path + ".end" }

// markEnd notes the newest record, which is synced. Held: writing.
func (l *Log) markEnd() error {
	hash, err := hex.DecodeString(l.prev)
	if err != nil {
		return err
	}
	mark := fmt.Sprintf("%x %x\n", hash, l.keys.MAC(otp.PurposeAudit, []byte("end"), hash))
	fresh := endOf(l.path) + ".new"
	if err := os.WriteFile(fresh, []byte(mark), 0o600); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := os.Rename(fresh, endOf(l.path)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Head is the hash of the newest record of the log at path, as far as its end
// mark tells; "": there is none that was made with these keys.
func Head(path string, keys *otp.Keys) (string, error) {
	raw, err := os.ReadFile(endOf(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	first, second, _ := bytes.Cut(bytes.TrimSuffix(raw, []byte("\n")), []byte(" "))
	hash, bad := lowerHex(first)
	mac, worse := lowerHex(second)
	if bad != nil || worse != nil || len(hash) != hashBytes || len(mac) != hashBytes || !keys.VerifyMAC(otp.PurposeAudit, mac, []byte("end"), hash) {
		return "", nil
	}
	return string(first), nil
}

// checkEnd writes down that records are gone which the mark knows of.
func (l *Log) checkEnd() error {
	head, err := Head(l.path, l.keys)
	if err != nil || head == "" || head == l.prev {
		return err
	}
	files, err := Files(l.path)
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(files) { // mostly it is in the last one; an older version leaves the mark behind
		there, err := holds(name, head)
		if there || err != nil {
			return err
		}
	}
	l.log.Error("audit records are missing: they were cut off the end of the audit while it was not in use", alert.Kind("audit"), "file", l.path, "newest_had_hash", head)
	return l.Admin(Admin{By: "vssgate", Action: Missing, Target: filepath.Base(l.path), Why: "cut off the end while it was not in use; the newest of them had the hash " + head})
}

// holds tells whether a file has the record with that hash.
func holds(name, hash string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	end := []byte(hashField + hash + lineEnd)
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		if bytes.HasSuffix(lines.Bytes(), end) {
			return true, nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) { // verify says so
		return false, nil
	}
	return false, lines.Err()
}

// tellsOfMissing tells whether a line is the record of that.
func tellsOfMissing(line []byte) bool {
	if !bytes.Contains(line, []byte(`"action":"`+Missing+`"`)) {
		return false
	}
	var a adminLine
	return json.Unmarshal(line, &a) == nil && a.Kind == "admin" && a.Action == Missing
}
