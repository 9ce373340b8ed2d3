package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A far is a server's clock and the node's notion of it.
type far struct {
	farClock
	set time.Duration // ahead of this machine's
}

func (f *far) real() micros { return toMicros(time.Now().Add(f.set)) }

// ask asks what time it is, which takes there and back so long.
func (f *far) ask(there, back time.Duration) (answer micros) {
	asked := time.Now()
	time.Sleep(there)
	answer = f.real()
	time.Sleep(back)
	f.heard(answer, asked)
	return answer
}

func TestTheFarClock(t *testing.T) {
	const ms, aMs = time.Millisecond, micros(1000)
	for name, test := range map[string]func(t *testing.T, f *far){
		"before any answer it is not known": func(t *testing.T, f *far) {
			_, ok := f.now()
			require.False(t, ok)
		},
		"it goes on after an answer, as far behind as that took": func(t *testing.T, f *far) {
			f.ask(3*ms, 7*ms)
			time.Sleep(20 * ms)
			now, ok := f.now()
			require.True(t, ok)
			require.Equal(t, f.real()-7*aMs, now)
		},
		"it is not known for longer than an answer counts": func(t *testing.T, f *far) {
			f.ask(0, 0)
			time.Sleep(fresh - time.Nanosecond)
			_, ok := f.now()
			require.True(t, ok)
			time.Sleep(time.Nanosecond)
			_, ok = f.now()
			require.False(t, ok)
		},
		"a slower answer does not set it back, nor make it count longer": func(t *testing.T, f *far) {
			f.ask(0, ms)
			f.ask(0, 20*ms)
			now, ok := f.now()
			require.True(t, ok)
			require.Equal(t, f.real()-aMs, now)
			time.Sleep(fresh - 20*ms)
			_, ok = f.now()
			require.False(t, ok)
		},
		"an answer that was long on its way says only that it is later": func(t *testing.T, f *far) {
			f.ask(fresh, 0)
			_, ok := f.now()
			require.False(t, ok)
			f.ask(0, 0)
			f.set = time.Minute
			f.ask(fresh/2, fresh/2)
			_, ok = f.now()
			require.False(t, ok, "before what the answer said")
		},
		"a clock that was set on is followed at once": func(t *testing.T, f *far) {
			f.ask(0, 0)
			f.set = time.Hour
			answer := f.ask(ms, ms)
			now, ok := f.now()
			require.True(t, ok)
			require.Equal(t, answer, now)
		},
		"a clock that was set back is followed soon": func(t *testing.T, f *far) {
			f.ask(0, 0)
			f.set = -time.Hour
			for range 2 * fresh / ms {
				f.ask(ms, 0)
			}
			now, ok := f.now()
			require.True(t, ok)
			require.Equal(t, f.real(), now)
		},
		"after a failure it is not known": func(t *testing.T, f *far) {
			f.ask(0, 0)
			f.forget()
			_, ok := f.now()
			require.False(t, ok)
		},
		"after the machine has slept it is not known": func(t *testing.T, f *far) {
			f.ask(0, 0)
			f.here = f.here.Round(0).Add(-time.Hour) // by the wall clock alone
			_, ok := f.now()
			require.False(t, ok)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &far{}) })
		})
	}
}
