package app

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A port may have the digits of a status.
func TestAPortIsNoAnswerOfGoogles(t *testing.T) {
	for _, port := range []string{"40375", "14040", "44443"} {
		key, _ := fcmAdvice(errors.New(`cannot fetch token: Post "http://127.0.0.1:` + port + `/token": dial tcp 127.0.0.1:` + port + `: connect: connection refused`))
		require.Equal(t, "push.fcm.endpoint", key)
	}
	key, _ := fcmAdvice(errors.New("oauth2: cannot fetch token: 403 Forbidden"))
	require.Equal(t, "push.fcm.project_id", key)
}
