package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

// openAttempt is a record the size of an open attempt: some 600 bytes sealed,
// listed in six indexes, one of which lists all.
func openAttempt(n int, value []byte) login.Record {
	id := fmt.Sprintf("%032x", n)
	return login.Record{
		Key: "attempt:" + id, Value: value, Expires: time.Now().Add(time.Hour),
		Indexes: []string{
			"open", "person:" + id, "owner:" + id, "login:" + id, "secret:" + id, "state:" + id,
		},
	}
}

func sealed() []byte {
	value := make([]byte, 600)
	rand.Read(value)
	return value
}

func openFull(b *testing.B, n int) *Embedded {
	e := open(b, tempPath(b))
	value := sealed()
	for i := range n {
		if _, err := e.Save(context.Background(), openAttempt(i, value), login.Condition{}); err != nil {
			b.Fatal(err)
		}
	}
	return e
}

func BenchmarkEmbeddedSave(b *testing.B) {
	ctx := context.Background()
	b.Run("new", func(b *testing.B) {
		e := openFull(b, 100_000)
		value := sealed()
		b.ReportAllocs()
		n := 1_000_000
		for b.Loop() {
			if _, err := e.Save(ctx, openAttempt(n, value), login.Condition{}); err != nil {
				b.Fatal(err)
			}
			n++
		}
	})
	b.Run("again", func(b *testing.B) {
		e := openFull(b, 100_000)
		r, _ := e.Load(ctx, openAttempt(50_000, nil).Key)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if r, err = e.Save(ctx, r, login.Condition{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("durable", func(b *testing.B) {
		e := openFull(b, 0)
		value := sealed()
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			r := openAttempt(0, value)
			r.Key, r.Durable = "device:"+rand.Text(), true
			for pb.Next() {
				var err error
				if r, err = e.Save(ctx, r, login.Condition{}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkEmbeddedLoad(b *testing.B) {
	e := openFull(b, 100_000)
	key := openAttempt(50_000, nil).Key
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Load(context.Background(), key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEmbeddedFind(b *testing.B) {
	e := openFull(b, 100_000)
	for name, index := range map[string]string{"one": openAttempt(50_000, nil).Indexes[1], "none": "person:nobody"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Find(context.Background(), index, "", 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("page of 1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if recs, err := e.Find(context.Background(), "open", "attempt:00000000000000000000000000008", 1000); err != nil || len(recs) != 1000 {
				b.Fatal(len(recs), err)
			}
		}
	})
}

// BenchmarkEmbeddedMemory100k says what 100,000 open attempts cost.
func BenchmarkEmbeddedMemory100k(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		before := heap()
		e := openFull(b, n)
		b.ReportMetric(float64(heap()-before)/n, "B/record")
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkRedisSave(b *testing.B) {
	ctx := context.Background()
	r := openRedis(b, RedisOptions{Addresses: []string{testenv.Redis(b)}})
	value := sealed()
	b.Run("new", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				rec := openAttempt(0, value)
				rec.Key = "attempt:" + rand.Text()
				for i := 1; i < len(rec.Indexes); i++ {
					rec.Indexes[i] = rand.Text() + rand.Text()
				}
				if _, err := r.Save(ctx, rec, login.Condition{}); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(redisMemory(b, r)/float64(b.N), "B/record")
	})
	b.Run("again", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			rec := openAttempt(0, value)
			rec.Key = "attempt:" + rand.Text()
			for pb.Next() {
				var err error
				if rec, err = r.Save(ctx, rec, login.Condition{}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// redisMemory is what the server takes, leases of the last 10 s included, and
// empties it.
func redisMemory(b *testing.B, r *Redis) float64 {
	info, err := r.client.Info(context.Background(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, text, _ := strings.Cut(info, "used_memory:")
	text, _, _ = strings.Cut(text, "\r\n")
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.client.FlushAll(context.Background()).Err(); err != nil {
		b.Fatal(err)
	}
	return n
}
