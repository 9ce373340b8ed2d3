package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/alexedwards/argon2id"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// File is a first factor made of a few users in a YAML file.
//
//   - username: an.nv
//     password_hash: $argon2id$v=19$m=65536,t=3,p=2$...
//     display_name: Nguyễn Văn An
//     groups: [vpn]
//     bhxh_number: "7900000001"
//
// It is read once; a changed file is read by making another File.
type File struct {
	users map[string]fileUser // by nameKey
	decoy secret.Secret       // a hash that nobody's password has, as costly as the dearest real one
	slots chan struct{}       // each hash takes its whole memory while it runs
}

var _ login.FirstFactor = (*File)(nil)

// A fileUser is one entry of the file.
type fileUser struct {
	Username     string        `yaml:"username"`
	PasswordHash secret.Secret `yaml:"password_hash"`
	DisplayName  string        `yaml:"display_name"`
	Groups       []string      `yaml:"groups"`
	Number       string        `yaml:"bhxh_number"`

	line   int
	params *argon2id.Params
}

// UnmarshalYAML keeps the line, for mistakes found later.
func (u *fileUser) UnmarshalYAML(node ast.Node) error {
	type plain fileUser
	if err := yaml.NodeToValue(node, (*plain)(u), yaml.Strict()); err != nil {
		return err
	}
	u.line = node.GetToken().Position.Line
	return nil
}

// NewFile reads the file. All mistakes in its entries are reported at once, with
// their lines and without any of the values.
func NewFile(path string, log *slog.Logger) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	users, err := parseUsers(raw)
	if err != nil {
		return nil, fmt.Errorf("users file %s: %w", path, err)
	}
	f := &File{users: users, slots: make(chan struct{}, min(runtime.GOMAXPROCS(0), 4))}
	if f.decoy, err = decoy(users); err != nil {
		return nil, fmt.Errorf("users file %s: %w", path, err)
	}
	if log != nil {
		log.Info("users read from file", "path", path, "users", len(users))
	}
	return f, nil
}

func parseUsers(raw []byte) (map[string]fileUser, error) {
	list, err := readUsers(raw)
	if err != nil {
		return nil, err
	}
	users := make(map[string]fileUser, len(list))
	var mistakes []error
	for _, u := range list {
		if err := u.check(); err != nil {
			mistakes = append(mistakes, fmt.Errorf("line %d: %w", u.line, err))
			continue
		}
		key := nameKey(u.Username)
		if first, ok := users[key]; ok {
			mistakes = append(mistakes, fmt.Errorf("line %d: this username is the same as in line %d", u.line, first.line))
			continue
		}
		users[key] = u
	}
	return users, errors.Join(mistakes...)
}

// readUsers reads the YAML. The decoder panics at some that it cannot read,
// such as a tag before a plain word.
func readUsers(raw []byte) (list []fileUser, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("is no YAML list of users")
		}
	}()
	if err := yaml.UnmarshalWithOptions(raw, &list, yaml.Strict()); err != nil {
		// Without the excerpt: it would show hashes and numbers.
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	return list, nil
}

func (u *fileUser) check() error {
	if _, ok := typedName(u.Username); !ok {
		return fmt.Errorf("username must be 1 to %d bytes of UTF-8 and not blank", longestName)
	}
	if !isNumber(u.Number) {
		return errors.New("bhxh_number must be 10 or 12 digits, in quotes, or left out")
	}
	params, err := checkHash(u.PasswordHash.Reveal())
	u.params = params
	return err
}

// isNumber: a mã số BHXH has 10 digits, or is the 12 of the personal
// identification number; none is allowed too.
func isNumber(s string) bool {
	return s == "" || (len(s) == 10 || len(s) == 12) && strings.Trim(s, "0123456789") == ""
}

// Bounds of what a hash may ask of this machine, and below which it is none:
// with a key of no bytes every password would be right.
const (
	leastSalt, leastKey = 8, 16
	mostMemory          = 1 << 20 // KiB
	mostIterations      = 64
)

func checkHash(hash string) (*argon2id.Params, error) {
	params, salt, key, err := argon2id.DecodeHash(hash)
	switch {
	case err != nil:
		return nil, errors.New("password_hash is no argon2id hash ($argon2id$v=19$m=...,t=...,p=...$salt$hash)")
	case len(salt) < leastSalt || len(key) < leastKey:
		return nil, fmt.Errorf("password_hash needs a salt of %d bytes and a key of %d at least", leastSalt, leastKey)
	case params.Iterations < 1 || params.Iterations > mostIterations || params.Parallelism < 1 || params.Memory < 8 || params.Memory > mostMemory:
		return nil, fmt.Errorf("password_hash: m must be 8 to %d, t 1 to %d, p 1 or more", mostMemory, mostIterations)
	}
	return params, nil
}

// decoy makes the hash that unknown users are compared with.
func decoy(users map[string]fileUser) (secret.Secret, error) {
	dearest := *argon2id.DefaultParams
	var cost uint64
	for _, u := range users {
		if c := uint64(u.params.Memory) * uint64(u.params.Iterations); c > cost {
			dearest, cost = *u.params, c
		}
	}
	hash, err := argon2id.CreateHash("decoy", &dearest)
	return secret.Secret(hash), err
}

// nameKey is equal for names that are the same user: letters put together
// (NFC) and without case.
func nameKey(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(name)))
}

// Resolve finds the user of that name, in any case and Unicode form.
func (f *File) Resolve(_ context.Context, typed string) (login.Identity, error) {
	name, ok := typedName(typed)
	if !ok {
		return login.Identity{}, nil
	}
	u, ok := f.users[nameKey(name)]
	if !ok {
		return login.Identity{}, nil
	}
	return u.identity(), nil
}

// HasGroup tells whether some user is in that group.
func (f *File) HasGroup(_ context.Context, name string) (bool, error) {
	group, err := ParseGroup(name)
	if err != nil {
		return false, err
	}
	for _, u := range f.users {
		if NewMembership(u.Groups).In(group) {
			return true, nil
		}
	}
	return false, nil
}

func (u fileUser) identity() login.Identity {
	shown := u.DisplayName
	if shown == "" {
		shown = u.Username
	}
	return login.Identity{
		ID: filePrefix + u.Username, Username: u.Username, DisplayName: shown,
		Groups: u.Groups, Number: u.Number,
	}
}

// filePrefix keeps ids of files apart from those of directories.
const filePrefix = "file:"

// Check compares the password with the user's hash, or with the decoy. It waits
// while too many hashes are being computed.
func (f *File) Check(ctx context.Context, id login.Identity, password []byte) (login.Checked, error) {
	if len(bytes.Trim(password, "\x00")) == 0 {
		return login.Checked{First: login.FirstWrong, Reason: login.EmptyPassword}, nil
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return login.Checked{}, fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
	}
	hash, known := f.hash(id)
	same, err := argon2id.ComparePasswordAndHash(string(password), hash)
	switch {
	case err != nil:
		return login.Checked{}, fmt.Errorf("compare with the hash of %s: %w", id.ID, err)
	case !same || !known:
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
	}
	return login.Checked{First: login.FirstRight}, nil
}

func (f *File) hash(id login.Identity) (hash string, known bool) {
	name, ok := strings.CutPrefix(id.ID, filePrefix)
	u, found := f.users[nameKey(name)]
	if !ok || !found || u.Username != name {
		return f.decoy.Reveal(), false
	}
	return u.PasswordHash.Reveal(), true
}
