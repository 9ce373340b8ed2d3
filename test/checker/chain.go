package main

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// What follows a record's own fields: the hash of the line before, and its own,
// HMAC-SHA-256 over the length (4 bytes, big endian) and the bytes of the line
// before `","hash":"`.
var chained = regexp.MustCompile(`^(\{.*,"prev":"([0-9a-f]{64}))","hash":"([0-9a-f]{64})"\}$`)

// auditKeys are those that may have made hashes: one of each line of secret.key.
func auditKeys(file []byte) (keys [][]byte, err error) {
	for _, line := range strings.Fields(string(file)) {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("secret.key: %w", err)
		}
		key, err := hkdf.Key(sha256.New, raw, nil, "vssgate audit", sha256.Size)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("secret.key: no key in it")
	}
	return keys, nil
}

// checkChain tells where an audit does not fit; "" nowhere.
func checkChain(audit []byte, keys [][]byte) (why string) {
	prev := strings.Repeat("0", 2*sha256.Size)
	n := 0
	for line := range bytes.Lines(audit) {
		n++
		m := chained.FindSubmatch(bytes.TrimSuffix(line, []byte("\n")))
		switch {
		case m == nil:
			return fmt.Sprintf("line %d is no record", n)
		case string(m[2]) != prev:
			return fmt.Sprintf("line %d does not follow the one before", n)
		case !made(m[1], string(m[3]), keys):
			return fmt.Sprintf("line %d was changed, or written with another key", n)
		}
		prev = string(m[3])
	}
	if n == 0 {
		return "it is empty"
	}
	return ""
}

// made tells whether hash is that of signed under one of the keys.
func made(signed []byte, hash string, keys [][]byte) bool {
	for _, key := range keys {
		h := hmac.New(sha256.New, key)
		_ = binary.Write(h, binary.BigEndian, uint32(len(signed)))
		h.Write(signed)
		if hex.EncodeToString(h.Sum(nil)) == hash {
			return true
		}
	}
	return false
}
