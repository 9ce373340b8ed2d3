package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"vssgate/otp"
)

// maxLine bounds a line: the signed answer of a phone is the longest part.
const maxLine = 1 << 20

// ErrInUse is returned by Open while another process writes the file: two
// writers would make two chains.
var ErrInUse = errors.New("another process writes this audit file")

// Open opens or makes the file at path (mode 0600) and continues its chain. A
// last line without its end, as a crash leaves one, is moved to path.torn, and
// the log and the audit say so. A last line that does not verify is said too,
// and the chain goes on from it: verify will name it. Records that the end mark knows
// of and that are gone are said to be missing, in the log and the audit.
func Open(path string, keys *otp.Keys, log *slog.Logger) (*Log, error) {
	f, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %s: %w", path, err)
	}
	l := &Log{path: path, keys: keys, log: log, file: f}
	if err := l.resume(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("audit: %s: %w", path, err)
	}
	return l, nil
}

func (l *Log) resume(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	last, torn, err := tail(f, info.Size())
	if err != nil {
		return err
	}
	l.size = info.Size() - int64(len(torn))
	if l.prev, err = l.continueFrom(last); err != nil {
		return err
	}
	if l.begun, err = firstTime(f); err != nil {
		return err
	}
	if len(torn) > 0 {
		if err := l.setAside(torn); err != nil {
			return err
		}
	}
	return l.checkEnd()
}

// tail reads the last whole line and what stands behind it.
func tail(f io.ReaderAt, size int64) (last, torn []byte, err error) {
	window := min(size, 2*maxLine)
	raw := make([]byte, window)
	if _, err := f.ReadAt(raw, size-window); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	end := bytes.LastIndexByte(raw, '\n') + 1
	whole, torn := raw[:end], raw[end:]
	if end == 0 {
		if window < size {
			return nil, nil, fmt.Errorf("no line within its last %d bytes", window)
		}
		return nil, torn, nil
	}
	return whole[bytes.LastIndexByte(whole[:end-1], '\n')+1:], torn, nil
}

// continueFrom is the hash that the next line is bound to: that of the last
// line, of the file before where this one has none yet.
func (l *Log) continueFrom(last []byte) (string, error) {
	if last == nil {
		files, err := Files(l.path)
		if err != nil || len(files) < 2 {
			return firstPrev, err
		}
		return lastHash(files[len(files)-2])
	}
	signed, _, hash, err := cutLine(last)
	if err != nil {
		l.log.Error("the last audit line is not a record: the chain begins anew", "file", l.path, "error", err)
		return firstPrev, nil
	}
	if !l.keys.VerifyMAC(otp.PurposeAudit, hash, signed) {
		l.log.Error("the last audit line does not verify: it was changed, or written with another key", "file", l.path)
	}
	return fmt.Sprintf("%x", hash), nil
}

// firstTime is when the first record of a file was made; zero where there is
// none, or none that says so.
func firstTime(f io.ReaderAt) (time.Time, error) {
	raw := make([]byte, 256)
	n, err := f.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return time.Time{}, err
	}
	_, rest, _ := bytes.Cut(raw[:n], []byte(`,"time":"`))
	stamp, _, _ := bytes.Cut(rest, []byte(`"`))
	at, err := time.Parse(timeForm, string(stamp))
	if err != nil {
		return time.Time{}, nil
	}
	return at, nil
}

func (l *Log) setAside(torn []byte) error {
	aside := l.path + ".torn"
	f, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(torn, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("set the torn last line aside: %w", err)
	}
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	l.log.Warn("the last audit line was torn, as by a crash while it was written: set aside", "file", l.path, "to", aside, "bytes", len(torn))
	return l.Admin(Admin{By: "vssgate", Action: "audit torn line set aside", Target: aside, Why: "crash while it was written"})
}
