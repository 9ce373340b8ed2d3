package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Problem is a mistake, or a warning, at its place.
type Problem struct {
	File         string
	Line, Column int    // from 1; columns count characters
	Message      string // what is wrong, and the way out; never a secret
	Warning      bool   // it works, but should not stay so
}

func (p Problem) String() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", p.File, p.Line, p.Column, kind, p.Message)
}

// Problems are all mistakes and warnings of a file, in the order of the file.
// As an error they print a line each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Mistaken tells whether there is more than warnings.
func (ps Problems) Mistaken() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
}

// Load reads and checks a file. Its error is Problems, with the warnings among
// them, or says why the file cannot be read.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration: %w (name yours with --config, or write one with: vssgate init DIR)", err)
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, problems := Parse(path, src)
	if c == nil {
		return nil, problems
	}
	return c, nil
}

// Parse is Load for a file that was read already; relative paths in it are
// relative to the folder of path. With a mistake there is no Config; with
// warnings only there is one, and they are in its Warnings too.
func Parse(path string, src []byte) (*Config, Problems) {
	d := newDecoder(path)
	c := Default()
	if d.parse(src, c) {
		d.check(c)
	}
	all := d.problems
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	if all.Mistaken() {
		return nil, all
	}
	sum := sha256.Sum256(src)
	c.Warnings, c.Hash = all, hex.EncodeToString(sum[:])
	c.file, c.places = path, d.places
	return c, all
}

// Place is where a key stands in the file, or where what it is in does, and
// whether the key itself is written: FILE:LINE:COLUMN.
func (c *Config) Place(path string) (at string, written bool) {
	d := &decoder{places: c.places}
	p := d.at(path)
	return fmt.Sprintf("%s:%d:%d", c.file, p.line, p.column), d.written(path)
}

// AdminSocket finds admin.socket in a file, and asks for nothing else: whoever
// may use the socket need not be able to read the secrets, nor does a mistake
// elsewhere keep a command from the daemon that runs.
func AdminSocket(path string) (string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	d := newDecoder(path)
	d.secretless = true
	c := Default()
	if !d.parse(src, c) || d.isBroken("admin.socket") {
		return "", d.problems
	}
	return d.abs(c.Admin.Socket), nil
}

func newDecoder(path string) *decoder {
	return &decoder{file: path, dir: filepath.Dir(path), places: map[string]place{}, from: map[string]string{}, broken: map[string]bool{}}
}

// TimeZone is the one in which people read times, as that file says; the
// default where it cannot be read.
func TimeZone(path string) *time.Location {
	c := Default()
	if src, err := os.ReadFile(path); err == nil {
		d := newDecoder(path)
		d.secretless = true
		d.parse(src, c)
	}
	if zone, err := time.LoadLocation(c.TimeZone); err == nil && c.TimeZone != "" {
		return zone
	}
	return time.UTC
}
