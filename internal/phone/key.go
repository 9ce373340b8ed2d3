package phone

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"
)

// A Key is a device's own. It never prints itself.
type Key struct {
	private *ecdsa.PrivateKey
	id      string
	signer  jose.Signer
}

// NewKey makes a key that is kept in no file.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newKey(private)
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	sum, err := (&jose.JSONWebKey{Key: &private.PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	k := &Key{private: private, id: base64.RawURLEncoding.EncodeToString(sum)}
	signing := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: k.id}}
	k.signer, err = jose.NewSigner(signing, (&jose.SignerOptions{}).WithType("JWT"))
	return k, err
}

// OpenKey reads the key file, a private JWK (RFC 7517); it is made with mode
// 0600 when there is none.
func OpenKey(path string) (*Key, error) {
	k, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if k, err = NewKey(); err != nil {
		return nil, err
	}
	return k, k.write(path)
}

// LoadKey reads the key file.
func LoadKey(path string) (*Key, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return nil, fmt.Errorf("key file %s: not a JWK", path) // the cause might quote it
	}
	private, ok := jwk.Key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key file %s: not a private P-256 key", path)
	}
	return newKey(private)
}

func (k *Key) write(path string) error {
	raw, err := json.MarshalIndent(jose.JSONWebKey{Key: k.private, KeyID: k.id}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return nil
}

// ID is the device id: the key's thumbprint (RFC 7638).
func (k *Key) ID() string { return k.id }

// Public is the public part, as enrolments carry it.
func (k *Key) Public() jose.JSONWebKey { return jose.JSONWebKey{Key: &k.private.PublicKey} }

func (k *Key) sign(payload []byte) (string, error) {
	jws, err := k.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

func (k *Key) String() string   { return "[key " + k.id + "]" }
func (k *Key) GoString() string { return k.String() }
