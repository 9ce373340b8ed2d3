package login

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// notKept are the fields of an attempt that have no place in its record.
var notKept = map[string]bool{"ID": true, "WouldBe": true}

// newer is a field of a version after this one.
var newer = []byte{200, 3, 'n', 'e', 'w', 255, 0, 255, 1, 'x'}

// fill gives every field that v has, and every field of those, a value that is
// not zero and comes once.
func fill(v reflect.Value, next *int) {
	*next++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000, int64(*next))))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			switch field := v.Type().Field(i); {
			case notKept[field.Name] && v.Type() == reflect.TypeFor[Attempt]():
			case field.Name == "newer": // nobody else may set it
				*(*[]byte)(v.Field(i).Addr().UnsafePointer()) = newer
			default:
				fill(v.Field(i), next)
			}
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(bytes.Repeat([]byte{byte(*next)}, 24))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), next)
		fill(v.Index(1), next)
	case v.Kind() == reflect.Func: // asked before anything is kept
	case v.Kind() == reflect.String:
		v.SetString(string(rune('a' + *next)))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(*next))
	case v.CanUint():
		v.SetUint(uint64(*next))
	default:
		panic("encode.go knows no " + v.Kind().String())
	}
}

func full() (a Attempt) {
	n := 0
	fill(reflect.ValueOf(&a).Elem(), &n)
	return a
}

func TestEveryFieldOfAnAttemptIsKept(t *testing.T) {
	for name, a := range map[string]Attempt{
		"none of them set":    {},
		"all of them set":     full(),
		"an answer of nobody": {Answer: &Given{Chain: -1}, Verdict: &Verdict{}, Chains: make([]Chain, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeAttempt(a.encode())
			require.NoError(t, err)
			require.Equal(t, a, got)
		})
	}
}

// A node of the next version has added fields, to the attempt and to all that is
// within it. A node of this one changes the login in between: they are still there.
func TestWhatANewerVersionHasAddedIsWrittenBack(t *testing.T) {
	written := full() // as the newer node wrote it
	got, err := decodeAttempt(written.encode())
	require.NoError(t, err)
	got.Chains = append(got.Chains, Chain{Number: "99"})
	got.Chains[0].Newest, got.Requests, got.Owed = "another", got.Requests+1, false
	again, err := decodeAttempt(got.encode())
	require.NoError(t, err)
	require.Equal(t, got, again)
	for name, tail := range map[string][]byte{"attempt": again.newer, "identity": again.Who.newer, "chain": again.Chains[0].newer,
		"other chain": again.Chains[1].newer, "answer": again.Answer.newer, "verdict": again.Verdict.newer} {
		require.Equal(t, newer, tail, name)
	}
	require.Empty(t, again.Chains[2].newer)
	require.Equal(t, 6, bytes.Count(again.encode(), newer))
}

// The form is on disks and in Redis: this one was written by the first version.
func TestAnOldAttemptIsRead(t *testing.T) {
	old := "\x01\x01\x06radius\x02\x03vpn\x0b\x09\x01\x02id\x03\x03an.\x0d\x08\x17\x97\x9c\xfe\x36\x2a\x00\x01\x0f\x06\x01\x0242\x08\x00\x10\x01\x04\x14\x00\x1b\x09\x01\x04deny\x02\x01\x01"
	got, err := decodeAttempt([]byte(old))
	require.NoError(t, err)
	require.Equal(t, Attempt{
		FrontEnd: RADIUS, Client: "vpn", Who: Identity{ID: "id", Username: "an."}, Created: time.Unix(1_700_000_000, 1),
		Chains: []Chain{{Number: "42", SaidWrong: true}}, Requests: 2, Prompted: true, Answer: &Given{Kind: Deny, Chain: -1},
	}, got)
	require.Equal(t, old, string(got.encode()))
}

func TestADamagedAttemptIsAnError(t *testing.T) {
	whole := full()
	b := whole.encode()
	for n := range b {
		if got, err := decodeAttempt(b[:n]); err == nil {
			require.Less(t, len(got.encode()), len(b), "cut between two fields")
		}
	}
	for name, b := range map[string][]byte{
		"nothing":                   nil,
		"a form of the future":      {attemptForm + 1},
		"a length beyond the end":   {attemptForm, 2, 9, 'v'},
		"a length without end":      append([]byte{attemptForm, 2}, bytes.Repeat([]byte{0xff}, 11)...),
		"an instant of seven bytes": append([]byte{attemptForm, 13, 7}, make([]byte, 7)...),
		"a number with more behind": {attemptForm, 16, 2, 2, 2},
		"a number too large":        append([]byte{attemptForm, 23, 2}, binary.AppendVarint(nil, 300)...),
		"damage in a chain":         {attemptForm, 15, 2, 1, 9},
		"damage in the answer":      {attemptForm, 27, 2, 1, 9},
		"damage at the end":         {attemptForm, 250, 7},
		"fields out of order":       {attemptForm, 200, 0, 2, 1, 'v'},
		"the last one twice":        {attemptForm, 33, 1, 2, 33, 1, 4},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeAttempt(b)
			require.Error(t, err)
		})
	}
}

// What can be read is written and read again the same.
func FuzzAttempt(f *testing.F) {
	a := full()
	f.Add(a.encode())
	f.Add([]byte{attemptForm})
	f.Add([]byte{attemptForm, 15, 0, 15, 0, 27, 0, 28, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAttempt(b)
		if err != nil {
			return
		}
		again, err := decodeAttempt(a.encode())
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}
