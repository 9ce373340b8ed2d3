package store

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func TestAChangeThatAHintToldIsNotToldAgain(t *testing.T) {
	o := RedisOptions{Addresses: []string{testenv.Redis(t)}}
	r, other := openRedis(t, o), openRedis(t, o)
	ctx := context.Background()
	subscribed := other.client.Subscribe(ctx, channel)
	defer subscribed.Close()
	_, err := subscribed.Receive(ctx)
	require.NoError(t, err)
	var told []login.Change
	rd := &reader{Redis: other, changed: func(c login.Change) { told = append(told, c) }, cursors: []string{"0-0"}, last: []string{""}}

	rec, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"a", "b"}}, login.Condition{})
	require.NoError(t, err)
	message := (<-subscribed.Channel()).Payload
	rd.hear(message)
	require.Equal(t, []login.Change{{Key: "k", Indexes: []string{"a", "b"}}}, told)
	rd.lookAll(ctx)
	require.Len(t, told, 1, "the stream has it as well")

	rec.Indexes = []string{"b", "c"}
	_, err = r.Save(ctx, rec, login.Condition{})
	require.NoError(t, err)
	rd.hear("rubbish")
	require.Len(t, told, 1)
	rd.lookAll(ctx)
	require.Equal(t, login.Change{Key: "k", Indexes: []string{"a", "b", "c"}}, told[1], "its hint was lost")
	rd.hear((<-subscribed.Channel()).Payload)
	require.ElementsMatch(t, told[1].Indexes, told[2].Indexes, "a hint says what the stream says")
}

func TestAHintGoesAtOnceAndManyGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, messages := time.Now(), map[time.Duration]int{}
		h := &hints{send: func(message []byte) { messages[time.Since(began)] = len(message) }}
		one := hint{"1-0", login.Change{Key: "k", Indexes: []string{"i"}}}
		size := len(appendHint(nil, one))
		h.give(one)
		synctest.Wait()
		for range 3 {
			time.Sleep(time.Millisecond)
			h.give(one)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, map[time.Duration]int{0: size, gather: 3 * size}, messages)
		for range maxMessage / size * 2 {
			h.give(one)
		}
		synctest.Wait()
		h.flush()
		require.Less(t, messages[time.Since(began)], maxMessage+size, "while Redis takes none")
		time.Sleep(time.Second) // drive ends
	})
}

func TestWhatAnAnswerWasLostToIsHinted(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	given := make(chan []byte, 1)
	r.hints.send = func(message []byte) { given <- message }
	server.Freeze()
	hurry(t)
	_, err := r.Save(context.Background(), login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}}, login.Condition{})
	require.Error(t, err)
	server.Thaw()
	h, _, err := cutHint(string(<-given))
	require.NoError(t, err)
	require.Equal(t, hint{"", login.Change{Key: "k", Indexes: []string{"i"}}}, h)
}

func FuzzCutHint(f *testing.F) {
	f.Add("")
	f.Add(string(appendHint(nil, hint{"1-0", login.Change{Key: "k", Indexes: []string{"a", ""}}})) + "rest")
	f.Fuzz(func(t *testing.T, message string) {
		h, rest, err := cutHint(message)
		if err != nil {
			return
		}
		require.Equal(t, strings.TrimSuffix(message, rest), string(appendHint(nil, h)))
	})
}

func TestWhoFollowsChangesIsToldUntilItLeavesWhoeverReads(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.Redis(t)}})
	save := func(key string) {
		t.Helper()
		_, err := r.Save(context.Background(), login.Record{Key: key, Value: []byte("x")}, login.Condition{})
		require.NoError(t, err)
	}
	follow := func() (heard chan login.Change, leave func()) {
		ctx, cancel := context.WithCancel(context.Background())
		heard, ended := make(chan login.Change, 1000), make(chan struct{})
		go func() {
			defer close(ended)
			_ = r.Changes(ctx, func(c login.Change) { heard <- c })
		}()
		leave = func() { cancel(); <-ended }
		t.Cleanup(leave)
		return heard, leave
	}
	first, firstLeaves := follow()
	save("one")
	await(t, first, "one")
	second, _ := follow()
	await(t, second, "one") // it was told to the first before
	save("two")
	await(t, first, "two")
	await(t, second, "two")
	firstLeaves()
	told := len(first)
	save("three")
	await(t, second, "three")
	require.Len(t, first, told, "it has left")
}
