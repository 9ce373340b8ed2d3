package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"vssgate/otp"
)

// A BrokenError names the first line of an audit file that does not fit.
type BrokenError struct {
	Line int // from 1
	Why  string
}

func (e *BrokenError) Error() string { return fmt.Sprintf("audit line %d: %s", e.Line, e.Why) }

// Verify reads a whole audit file and returns how many records fit, from the
// first line on. The error is a *BrokenError when one does not.
func Verify(r io.Reader, keys *otp.Keys) (n int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	prev := firstPrev
	for lines.Scan() {
		hash, why := verifyLine(lines.Bytes(), prev, keys)
		if why != "" {
			return n, &BrokenError{Line: n + 1, Why: why}
		}
		prev = hash
		n++
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return n, &BrokenError{Line: n + 1, Why: "too long to be a record"}
	}
	return n, lines.Err()
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

func verifyLine(line []byte, prev string, keys *otp.Keys) (hash, why string) {
	signed, bound, mac, err := cutLine(line)
	switch {
	case err != nil:
		return "", err.Error()
	case !keys.VerifyMAC(otp.PurposeAudit, mac, signed):
		return "", "changed after it was written, or written with another key"
	case bound != prev:
		return "", "does not follow the line before: a line is missing, added or moved"
	}
	return hex.EncodeToString(mac), ""
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
