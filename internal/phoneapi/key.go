package phoneapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// A PublicKey is a device's key as JWK (RFC 7517, RFC 7518 section 6.2).
type PublicKey struct {
	_   struct{} `additionalProperties:"true"`
	Kty string   `json:"kty" enum:"EC"`
	Crv string   `json:"crv" enum:"P-256"`
	X   string   `json:"x" minLength:"43" maxLength:"43" doc:"32 bytes in base64url"`
	Y   string   `json:"y" minLength:"43" maxLength:"43" doc:"32 bytes in base64url"`
}

var errKey = errors.New("not a P-256 public key in its canonical form")

// coordinate is the length of x and y in bytes.
const coordinate = 32

// point is the key as an uncompressed point (SEC 1 section 2.3.3). Each
// coordinate has exactly one spelling, so a key has exactly one thumbprint.
func (k PublicKey) point() ([]byte, error) {
	if k.Kty != "EC" || k.Crv != "P-256" {
		return nil, errKey
	}
	point := []byte{4}
	for _, s := range []string{k.X, k.Y} {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil || len(raw) != coordinate || len(s) != 43 {
			return nil, errKey
		}
		point = append(point, raw...)
	}
	return point, nil
}

// parsePoint refuses what is not on the curve.
func parsePoint(point []byte) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errKey
	}
	return key, nil
}

// identify is the device's id and its point. It is checked like any other's.
func (k PublicKey) identify() (id string, point []byte, err error) {
	if point, err = k.point(); err != nil {
		return "", nil, err
	}
	key, err := parsePoint(point)
	if err != nil {
		return "", nil, err
	}
	id, err = thumbprint(key)
	return id, point, err
}

// thumbprint is the device id of a key (RFC 7638).
func thumbprint(key *ecdsa.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: key}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}
