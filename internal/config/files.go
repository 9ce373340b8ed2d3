package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"vssgate/internal/certs"
	"vssgate/otp"
)

// Files are read when the configuration is, so that a missing one is told now
// and not at the first login.

// readFile reads a plain file of a size that can be meant: anything else could
// keep the reader waiting for ever.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: file, Err: errors.New("no plain file")}
	case info.Size() > largest:
		return nil, &fs.PathError{Op: "read", Path: file, Err: fmt.Errorf("more than %d bytes; is it the right file?", largest)}
	}
	return os.ReadFile(file)
}

// withoutPath is err for a file of a secret: where its path should be, the
// secret itself may stand by mistake.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// content makes the path absolute and reads the file; ok is false when there is
// none to be read. What is wrong has been reported then.
func (d *decoder) content(path string, file *string) (raw []byte, ok bool) {
	if *file == "" || d.isBroken(path) {
		return nil, false
	}
	*file = d.abs(*file)
	raw, err := readFile(*file)
	if err != nil {
		d.wrong(path, "%v", err)
	}
	return raw, err == nil
}

// private warns of a file that too many may read or write.
func (d *decoder) private(path, file string, tooMuch os.FileMode) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&tooMuch != 0 {
		d.warn(path, "others may read %s; do: chmod 600 %s", file, file)
	}
}

func (d *decoder) checkKey(file *string) {
	const path = "secret_key_file"
	if *file == "" {
		d.wrong(path, "want the file of the installation's keys; vssgate init DIR makes one")
		return
	}
	*file = d.abs(*file)
	raw, err := readFile(*file)
	if err != nil {
		d.wrong(path, "%v; vssgate init DIR makes one", err)
		return
	}
	if _, err := otp.ParseKeys(raw); err != nil {
		d.wrong(path, "%s: %v", *file, err)
	}
	d.private(path, *file, 0o077)
}

// authorities wants certificates to trust.
func (d *decoder) authorities(path string, file *string) {
	raw, ok := d.content(path, file)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(raw) {
		d.wrong(path, "%s: no certificate in it; want PEM, beginning with -----BEGIN CERTIFICATE-----", *file)
	}
	d.expiring(path, *file, certs.Parse(raw))
}

// expiring warns of certificates that end soon, or have ended.
func (d *decoder) expiring(path, file string, chain []*x509.Certificate) {
	if ends := certs.Expiring(chain, time.Now()); ends != "" {
		d.warn(path, "%s: %s; put a new one there", file, ends)
	}
}

// pair wants a certificate with its key, both or neither.
func (d *decoder) pair(path string, cert, key *string) {
	switch {
	case *cert == "" && *key == "":
		return
	case *cert == "":
		d.wrong(path+".cert_file", "is missing; cert_file and key_file belong together, give both or neither")
		return
	case *key == "":
		d.wrong(path+".key_file", "is missing; cert_file and key_file belong together, give both or neither")
		return
	}
	certPEM, ok := d.content(path+".cert_file", cert)
	keyPEM, both := d.content(path+".key_file", key)
	if !ok || !both {
		return
	}
	own, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		d.wrong(path+".cert_file", "%s with %s: %s", *cert, *key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	d.expiring(path+".cert_file", *cert, certs.Chain(&own))
	d.private(path+".key_file", *key, 0o007)
}

// clientTLS checks how we show and verify ourselves as a client. Keys with their
// defaults are as good as left out, which is no TLS; {} is TLS with the system's
// authorities.
func (d *decoder) clientTLS(path string, t **ClientTLS) {
	if *t != nil && **t == (ClientTLS{}) && d.anyWritten(path, "ca_file", "cert_file", "key_file", "server_name") {
		*t = nil
	}
	if *t == nil {
		return
	}
	d.authorities(path+".ca_file", &(*t).CAFile)
	d.pair(path, &(*t).CertFile, &(*t).KeyFile)
}

// serviceAccount wants the key file that Google gives out. What cannot be read
// is not quoted: it holds a private key.
func (d *decoder) serviceAccount(f *FCM) {
	const path = "push.fcm.credentials_file"
	if f.CredentialsFile == "" {
		d.wrong(path, "is missing: the key file of the service account that may send messages")
		return
	}
	raw, ok := d.content(path, &f.CredentialsFile)
	if !ok {
		return
	}
	var account struct {
		Type      string `json:"type"`
		ProjectID string `json:"project_id"`
		Email     string `json:"client_email"`
		Key       string `json:"private_key"`
	}
	if json.Unmarshal(raw, &account) != nil || account.Type != "service_account" || account.Email == "" || account.Key == "" {
		d.wrong(path, "%s is not the JSON key file of a Google service account", f.CredentialsFile)
		return
	}
	if account.ProjectID == "" && f.ProjectID == "" {
		d.wrong("push.fcm.project_id", "is missing, here and in %s", f.CredentialsFile)
	}
	d.private(path, f.CredentialsFile, 0o007)
}
