package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vssgate/configs"
	"vssgate/otp"
)

// Init writes a commented vssgate.yaml into dir, with a fresh secret.key, a
// shared secret for the sample client and an empty file of users beside it. It
// never overwrites: a file that is there already is an error, and then nothing
// is written. The result passes `vssgate check`.
func Init(dir string) (written []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	files := []struct {
		name    string
		content []byte
	}{
		{"vssgate.yaml", configs.Sample},
		{"secret.key", []byte(otp.NewKeyLine())},
		{"hq-vpn.secret", []byte(rand.Text() + "\n")},
		{"users.yaml", []byte(usersSample)},
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already; nothing was written", path)
		}
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return written, err
		}
		_, err = file.Write(f.content)
		if err := errors.Join(err, file.Close()); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}

const usersSample = `# Users of the first factor "local", for a first try without a directory.
# - username: an.nv
#   password_hash: "$argon2id$..."    # printf %s PASSWORD | argon2 "$(openssl rand -hex 8)" -id -e   (Debian package argon2)
#   display_name: Nguyễn Văn An
#   groups: [vpn]
#   bhxh_number: "0123456789"
[]
`
