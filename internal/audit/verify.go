package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"vssgate/otp"
)

// A BrokenError names the first line of an audit file that does not fit.
type BrokenError struct {
	File string // "": only one was read
	Line int    // from 1
	Why  string
}

func (e *BrokenError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("audit line %d: %s", e.Line, e.Why)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Why)
}

// Verify reads a whole audit file and returns how many records fit, from the
// first line on. The error is a *BrokenError when one does not.
func Verify(r io.Reader, keys *otp.Keys) (n int, err error) {
	v := verifier{keys: keys, prev: firstPrev}
	if n, err = v.read(r); err == nil && v.gap != nil {
		err = v.gap
	}
	return n, err
}

// VerifyFiles reads the files of a log, from the oldest to the one in use, and
// returns how many records fit. Where older files were removed the chain may
// begin behind them: a record further on must name its beginning.
func VerifyFiles(files []string, keys *otp.Keys) (n int, err error) {
	return VerifyUpTo("", files, keys)
}

// VerifyUpTo is VerifyFiles of a log that is known to hold the record with that
// hash (Log.Head, Head): where it does not, records were cut off at its end.
func VerifyUpTo(head string, files []string, keys *otp.Keys) (n int, err error) {
	v := verifier{keys: keys, midway: true, head: head, whole: head == "" || head == firstPrev}
	var read int
	for _, name := range files {
		read, err = v.file(name)
		n += read
		var broken *BrokenError
		if errors.As(err, &broken) {
			broken.File = name
		}
		if err != nil {
			return n, err
		}
	}
	if v.first != "" && v.first != firstPrev && !v.attested {
		return n, &BrokenError{File: files[0], Line: 1, Why: "does not begin a chain: files before it are missing, and no record says that they were removed for their age"}
	}
	if !v.whole {
		return n, &BrokenError{File: files[len(files)-1], Line: read + 1, Why: "is missing: records were cut off the end, for the daemon has written more"}
	}
	if v.gap != nil {
		return n, v.gap
	}
	return n, nil
}

// A verifier goes along a chain.
type verifier struct {
	keys     *otp.Keys
	prev     string       // the hash that the next line must be bound to
	midway   bool         // the first line may be bound to anything: see first
	first    string       // what the very first line is bound to
	attested bool         // a record says why the chain begins there
	head     string       // the hash of a record that must be there
	whole    bool         // it is
	gap      *BrokenError // the first record that tells of missing ones; nil: none
}

func (v *verifier) file(name string) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	before := v.gap
	n, err = v.read(f)
	if v.gap != before {
		v.gap.File = name
	}
	return n, err
}

func (v *verifier) read(r io.Reader) (n int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		if why := v.line(lines.Bytes()); why != "" {
			return n, &BrokenError{Line: n + 1, Why: why}
		}
		if n++; v.gap == nil && tellsOfMissing(lines.Bytes()) {
			v.gap = &BrokenError{Line: n, Why: "tells that records before it are missing: they were cut off while the daemon did not run"}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return n, &BrokenError{Line: n + 1, Why: "too long to be a record"}
	}
	return n, lines.Err()
}

// line verifies the next line of the chain and tells why it does not fit.
func (v *verifier) line(line []byte) (why string) {
	signed, bound, mac, err := cutLine(line)
	switch {
	case err != nil:
		return err.Error()
	case !v.keys.VerifyMAC(otp.PurposeAudit, mac, signed):
		return "changed after it was written, or written with another key"
	case v.midway:
		v.midway, v.first = false, bound
	case bound != v.prev:
		return "does not follow the line before: a line is missing, added or moved"
	}
	v.prev = hex.EncodeToString(mac)
	v.whole = v.whole || v.prev == v.head
	if hash, ok := attests(line); ok && hash == v.first {
		v.attested = true
	}
	return ""
}

// wholeLines splits at newlines and keeps them: a last line without one is
// torn, and is told from a whole one.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// cutLine takes a line apart: the bytes its hash is over, the hash of the line
// before, and its own.
func cutLine(line []byte) (signed []byte, prev string, hash []byte, err error) {
	rest, ok := bytes.CutSuffix(line, []byte(lineEnd))
	if !ok {
		return nil, "", nil, errors.New("torn: it has no end")
	}
	const hashLength = 2 * hashBytes
	at := len(rest) - hashLength - len(hashField)
	if at < hashLength+len(prevField) || string(rest[at:at+len(hashField)]) != hashField {
		return nil, "", nil, errors.New("not an audit record")
	}
	hash, err = lowerHex(rest[at+len(hashField):])
	if err != nil {
		return nil, "", nil, errors.New("its hash is not one")
	}
	signed = rest[:at]
	if before := signed[:at-hashLength]; !bytes.HasSuffix(before, []byte(prevField)) || !json.Valid(line) {
		return nil, "", nil, errors.New("not an audit record")
	}
	return signed, string(signed[at-hashLength:]), hash, nil
}

// lowerHex reads hexadecimal in the one spelling that we write.
func lowerHex(text []byte) ([]byte, error) {
	raw, err := hex.AppendDecode(nil, text)
	if err == nil && !bytes.Equal(hex.AppendEncode(nil, raw), text) {
		err = errors.New("not in lower case")
	}
	return raw, err
}
