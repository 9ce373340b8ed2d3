package otp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
)

// A Purpose names what a sub-key is for. Keys of different purposes are
// independent (RFC 5869, HKDF with the purpose as info).
type Purpose string

// The purposes that exist. A new one needs no change to the key file.
const (
	PurposeCode     Purpose = "code"     // codes that people type
	PurposeJoin     Purpose = "join"     // what says that two requests are one login
	PurposeSeal     Purpose = "seal"     // what is kept in the store
	PurposeState    Purpose = "state"    // RADIUS State
	PurposeAudit    Purpose = "audit"    // the chain of the audit
	PurposeNumber   Purpose = "number"   // finding a person by social insurance number
	PurposeFallback Purpose = "fallback" // recovery and help-desk codes, and those used last
)

var purposes = []Purpose{PurposeCode, PurposeJoin, PurposeSeal, PurposeState, PurposeAudit, PurposeNumber, PurposeFallback}

// KeySize is the length of an installation key in bytes.
const KeySize = 32

// ErrSealed is returned by Open for what no key of this installation sealed.
var ErrSealed = errors.New("sealed with another key, or damaged")

// Keys are the installation's keys. The first line of the key file makes, all
// lines verify, so that a key can be replaced without ending open logins.
// Keys never print themselves.
type Keys struct {
	sub []map[Purpose]*subKey // by line of the key file
}

type subKey struct {
	macs sync.Pool // of *macer, keyed: saves the key schedule
	aead cipher.AEAD
}

// A macer makes HMACs under one key, with room for what goes in and comes out.
type macer struct {
	hash.Hash
	in  []byte
	sum [sha256.Size]byte
}

// ParseKeys reads a key file: one key of 32 bytes in base64 a line. Empty
// lines and lines that begin with # are passed over.
func ParseKeys(file []byte) (*Keys, error) {
	k := &Keys{}
	for n, line := range bytes.Split(file, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(raw) != KeySize {
			return nil, fmt.Errorf("line %d: want 32 bytes in base64 (44 characters); make one with: head -c 32 /dev/urandom | base64", n+1)
		}
		if err := k.add(raw); err != nil {
			return nil, err
		}
	}
	if len(k.sub) == 0 {
		return nil, errors.New("no key in it; make one with: head -c 32 /dev/urandom | base64")
	}
	return k, nil
}

// NewKeyLine returns a fresh line for a key file.
func NewKeyLine() string {
	raw := make([]byte, KeySize)
	rand.Read(raw) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(raw) + "\n"
}

func (k *Keys) add(raw []byte) error {
	sub := map[Purpose]*subKey{}
	for _, p := range purposes {
		key, err := hkdf.Key(sha256.New, raw, nil, "vssgate "+string(p), KeySize)
		if err != nil {
			return err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		s := &subKey{}
		if s.aead, err = cipher.NewGCM(block); err != nil {
			return err
		}
		s.macs.New = func() any { return &macer{Hash: hmac.New(sha256.New, key)} }
		sub[p] = s
	}
	k.sub = append(k.sub, sub)
	return nil
}

func (s *subKey) mac(fields [][]byte) (sum []byte) {
	with(s, fields, func(mac []byte) { sum = bytes.Clone(mac) })
	return sum
}

// with hands the MAC of the fields to f, which must not keep it.
func with[F []byte | string](s *subKey, fields []F, f func(mac []byte)) {
	m := s.macs.Get().(*macer)
	defer s.macs.Put(m)
	m.Reset()
	size := 0
	for _, field := range fields {
		size += 4 + len(field)
	}
	m.in = slices.Grow(m.in, size) // before anything is in it: what is left behind was cleared
	for _, field := range fields {
		m.in = append(binary.BigEndian.AppendUint32(m.in, uint32(len(field))), field...)
	}
	m.Write(m.in)
	clear(m.in) // passwords are among it
	m.in = m.in[:0]
	f(m.Sum(m.sum[:0]))
}

// MAC is HMAC-SHA-256 over the fields, each with its length before it, so that
// no two different lists of fields give the same input. 32 bytes.
func (k *Keys) MAC(p Purpose, fields ...[]byte) []byte {
	return k.sub[0][p].mac(fields)
}

// Name is the kind and behind it the first half of the MAC over kind and fields,
// 22 characters of base64url: a name that tells nothing of the fields.
func (k *Keys) Name(p Purpose, kind string, fields ...string) (name string) {
	const usual = 8 // fields, and no allocation for them
	all := append(append(make([]string, 0, usual), kind), fields...)
	with(k.sub[0][p], all, func(mac []byte) {
		room := make([]byte, 0, 64)
		name = string(base64.RawURLEncoding.AppendEncode(append(room, kind...), mac[:len(mac)/2]))
	})
	return name
}

// MACs gives the MAC under each key, the making one first: for looking up what
// was stored under an older key.
func (k *Keys) MACs(p Purpose, fields ...[]byte) [][]byte {
	all := make([][]byte, len(k.sub))
	for i := range k.sub {
		all[i] = k.sub[i][p].mac(fields)
	}
	return all
}

// VerifyMAC tells whether mac, or its first len(mac) bytes (at least 8), was
// made by one of the keys over the fields. In constant time for each key.
func (k *Keys) VerifyMAC(p Purpose, mac []byte, fields ...[]byte) bool {
	if len(mac) < 8 || len(mac) > sha256.Size {
		return false
	}
	for i := range k.sub {
		right := false
		with(k.sub[i][p], fields, func(sum []byte) { right = hmac.Equal(mac, sum[:len(mac)]) })
		if right {
			return true
		}
	}
	return false
}

// Seal encrypts and authenticates plain (AES-256-GCM, random nonce) and binds
// it to the place where it is kept. The result is 28 bytes longer.
func (k *Keys) Seal(place string, plain []byte) []byte {
	aead := k.sub[0][PurposeSeal].aead
	out := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(out)
	return aead.Seal(out, out, plain, []byte(place))
}

// Open undoes Seal, or returns ErrSealed.
func (k *Keys) Open(place string, sealed []byte) ([]byte, error) {
	for i := range k.sub {
		aead := k.sub[i][PurposeSeal].aead
		n := aead.NonceSize()
		if len(sealed) < n {
			return nil, ErrSealed
		}
		if plain, err := aead.Open(nil, sealed[:n], sealed[n:], []byte(place)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}

func (k *Keys) String() string   { return "[keys]" }
func (k *Keys) GoString() string { return "[keys]" }
