package store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// Redis is the login.Store of any number of nodes that share one Redis: a
// single server, one behind Sentinel, or a Cluster. See doc.go for the order of
// its writes.
type Redis struct {
	client    redis.UniversalClient
	convoy    convoy
	options   RedisOptions
	log       *slog.Logger
	parts     int
	clock     farClock
	hints     hints
	followers *followers
	closed    atomic.Bool
}

// RedisOptions say where Redis is. All nodes of an installation say the same.
type RedisOptions struct {
	Addresses  []string // host:port; with MasterName: of the Sentinels; with Cluster: of some of its nodes
	MasterName string   // as the Sentinels call it; "": no Sentinel
	Cluster    bool
	Username   string // also for Sentinels that ask for one, as Password
	Password   secret.Secret
	TLS        *tls.Config // also for Sentinels; nil: no TLS
	Log        *slog.Logger
}

var _ login.Store = (*Redis)(nil)

// clusterParts is into how many parts keys are divided in a Cluster, where the
// keys of a part share a slot. Elsewhere there is one part.
const clusterParts = 32

// OpenRedis connects, and fails when Redis does not answer now or is too old.
func OpenRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	switch {
	case len(o.Addresses) == 0:
		return nil, errors.New("redis: no address")
	case o.Cluster && o.MasterName != "":
		return nil, errors.New("redis: Cluster and Sentinel exclude each other")
	case len(o.Addresses) > 1 && !o.Cluster && o.MasterName == "":
		return nil, errors.New("redis: several addresses need a master name (Sentinel) or cluster")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	logTo(o.Log)
	r := &Redis{client: redis.NewUniversalClient(o.universal()), options: o, log: o.Log, parts: 1, followers: newFollowers()}
	r.convoy.send, r.hints.send = r.send, r.publish
	if o.Cluster {
		r.parts = clusterParts
	}
	if err := r.greet(ctx); err != nil {
		_ = r.client.Close()
		return nil, fmt.Errorf("open redis at %s: %w", strings.Join(o.Addresses, ", "), err)
	}
	return r, nil
}

// universal are the client's options. It does not ask again by itself: only
// this package knows how to do that without doing a thing twice.
func (o RedisOptions) universal() *redis.UniversalOptions {
	u := &redis.UniversalOptions{
		Addrs: o.Addresses, MasterName: o.MasterName, IsClusterMode: o.Cluster,
		Username: o.Username, Password: o.Password.Reveal(), TLSConfig: o.TLS,
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: tryLimit, ReadTimeout: tryLimit, WriteTimeout: tryLimit, PoolTimeout: callLimit,
		ContextTimeoutEnabled: true, PoolSize: 64, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.MasterName != "" {
		u.OnConnect = o.introduce
	}
	return u
}

// greet sees whether Redis can do what the scripts need, and makes this node
// the first that sees the epoch, if it is.
func (r *Redis) greet(ctx context.Context) error {
	if _, err := r.Since(ctx); err != nil {
		return err
	}
	info, err := r.client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	if major, _, _ := strings.Cut(version, "."); len(major) == 1 && major < "7" {
		return fmt.Errorf("version %s is too old: 7.0 or later is needed", version)
	}
	return nil
}

// A librarian hands what the client library logs to slog. The library has one
// logger for all clients: the store opened last lends its own.
type librarian struct{ to atomic.Pointer[slog.Logger] }

func (l *librarian) Printf(ctx context.Context, format string, v ...any) {
	l.to.Load().WarnContext(ctx, "redis client", "said", fmt.Sprintf(format, v...))
}

var (
	library     librarian
	libraryOnce sync.Once
)

func logTo(log *slog.Logger) {
	library.to.Store(log)
	libraryOnce.Do(func() { redis.SetLogger(&library) })
}

// Keys. The braces hold the part, which decides the slot in a Cluster.
func (r *Redis) name(part int, kind string) string {
	return "vssgate:{" + strconv.Itoa(part) + "}:" + kind
}

func (r *Redis) part(key string) int {
	if r.parts == 1 {
		return 0
	}
	of, _, _ := strings.Cut(key, login.Beside)
	h := fnv.New32a()
	h.Write([]byte(of))
	return int(h.Sum32() % uint32(r.parts))
}

// slot is what all keys begin with where all of them share one slot, as they do
// outside of a Cluster: one script then reads and writes records with their
// indexes. "": they do not.
func (r *Redis) slot() string {
	if r.parts > 1 {
		return ""
	}
	return r.name(0, "")
}

func (r *Redis) recordKey(key string) string  { return r.name(r.part(key), "r:"+key) }
func (r *Redis) indexKey(index string) string { return r.name(r.part(index), "i:"+index) }
func (r *Redis) streamKey(part int) string    { return r.name(part, "changes") }
func (r *Redis) markKey(key string) string    { return r.name(r.part(key), "m:"+key) }
func (r *Redis) eventsKey(key string) string  { return r.name(r.part(key), "c:"+key) }
func (r *Redis) undoneKey(key, op string) string {
	return r.name(r.part(key), "u:"+op)
}

func (r *Redis) leaseKey(index, key string) string {
	return r.name(r.part(index), "l:"+index+"\x00"+key)
}

// newOp names one operation, however often it is sent: 12 bytes without spaces.
func newOp() string { return rand.Text()[:opSize] }

// opSize is that of every op, here and in the scripts.
const opSize = 12

// micros is how Redis keeps instants: microseconds since 1970, 0 is never.
type micros int64

func toMicros(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return micros(t.UnixMicro())
}

func (m micros) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m))
}

func (m micros) String() string { return strconv.FormatInt(int64(m), 10) }

func parseMicros(s string) (micros, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return micros(n), err
}

// limited bounds one Store method.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callLimit, errors.New("no answer in time"))
}

// Since implements login.Store. Ask for it after UseOnce, not before: then a
// failover in between is seen. In a Cluster it is the latest of all parts.
func (r *Redis) Since(ctx context.Context) (time.Time, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	calls := make([]call, r.parts)
	for part := range calls {
		calls[part] = call{script: scriptSince, keys: []string{r.name(part, "since")}}
	}
	answers, err := r.runAll(ctx, calls)
	if err != nil {
		return time.Time{}, err
	}
	var latest micros
	for _, read := range answers {
		latest = max(latest, read.micros())
		if read.err != nil {
			return time.Time{}, read.err
		}
	}
	return latest.time(), nil
}

// Count implements login.Store.
func (r *Redis) Count(ctx context.Context, quotas ...login.Quota) (counted bool, err error) {
	for _, q := range quotas {
		if err := checkKey(q.Key); err != nil {
			return false, err
		}
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	if r.slot() != "" {
		return r.count(ctx, quotas)
	}
	for i := range quotas { // each in a slot of its own
		if counted, err = r.count(ctx, quotas[i:i+1]); counted && err == nil {
			continue
		}
		for _, noted := range quotas[:i] {
			err = errors.Join(err, r.Uncount(ctx, noted.Key))
		}
		return false, err
	}
	return true, nil
}

// count does it by one script: all keys are in one slot.
func (r *Redis) count(ctx context.Context, quotas []login.Quota) (counted bool, err error) {
	keys, args := make([]string, len(quotas)), make([]any, 1, 1+2*len(quotas))
	args[0] = newOp()
	for i, q := range quotas {
		keys[i] = r.eventsKey(q.Key)
		args = append(args, q.Limit.Count, q.Limit.Within.Microseconds())
	}
	read, err := r.run(ctx, scriptCount, keys, args...)
	if err != nil {
		return false, err
	}
	return read.number() == 1, read.err
}

// Counted implements login.Counting.
func (r *Redis) Counted(ctx context.Context, key string, window time.Duration) (at []time.Time, err error) {
	now, err := r.Now(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	events, err := r.client.LRange(ctx, r.eventsKey(key), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	for _, event := range events {
		if len(event) < opSize {
			return nil, errPacked
		}
		t, err := parseMicros(event[opSize:])
		if err != nil {
			return nil, err
		}
		if noted := t.time(); noted.After(now.Add(-window)) {
			at = append(at, noted)
		}
	}
	return at, nil
}

// Uncount implements login.Store.
func (r *Redis) Uncount(ctx context.Context, keys ...string) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	var calls []call
	for _, of := range r.byPart(keys) {
		c := call{script: scriptUncount, keys: []string{r.undoneKey(keys[of[0]], newOp())}}
		for _, at := range of {
			c.keys = append(c.keys, r.eventsKey(keys[at]))
		}
		calls = append(calls, c)
	}
	_, err := r.runAll(ctx, calls)
	return err
}

// UseOnce implements login.Store.
func (r *Redis) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (first bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	read, err := r.run(ctx, scriptUse, []string{r.markKey(key)}, newOp(), toMicros(expiry).String(), flag(durable))
	if err != nil {
		return false, err
	}
	what, epoch, replicas := read.text(), read.text(), read.number()
	switch {
	case read.err != nil:
		return false, read.err
	case what == "late":
		return false, login.ErrLate
	case what == "used":
		return false, nil
	}
	if err := r.confirm(ctx, r.part(key), epoch, replicas); err != nil {
		return false, err
	}
	return true, nil
}

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// Load implements login.Store.
func (r *Redis) Load(ctx context.Context, keys ...string) (login.Record, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	all, err := r.peek(ctx, keys)
	if err != nil {
		return login.Record{}, err
	}
	for _, s := range all {
		if s.alive {
			return s.Record, nil
		}
	}
	return login.Record{}, login.ErrNotFound
}

// A sighting is what was stored under a key at one instant, Read.
type sighting struct {
	login.Record
	alive bool   // neither absent, expired nor of another epoch
	ops   string // the last operations: those settled by then
}

// lists tells whether the record was listed under index.
func (s *sighting) lists(index string) bool { return s.alive && slices.Contains(s.Indexes, index) }

// peekAtOnce is how many records one script reads: others wait for it.
const peekAtOnce = 128

// peek reads records, in the order of keys.
func (r *Redis) peek(ctx context.Context, keys []string) ([]sighting, error) {
	var calls []call
	var places [][]int // of each call's keys
	for part, of := range r.byPart(keys) {
		for chunk := range slices.Chunk(of, peekAtOnce) {
			c := call{script: scriptLoad}
			for _, at := range chunk {
				c.keys = append(c.keys, r.name(part, "r:"+keys[at]))
			}
			calls, places = append(calls, c), append(places, chunk)
		}
	}
	answers, err := r.runAll(ctx, calls)
	if err != nil {
		return nil, err
	}
	seen := make([]sighting, len(keys))
	for i, read := range answers {
		for _, at := range places[i] {
			alive, raw := read.number() == 1, read.text()
			if read.err != nil {
				return nil, read.err
			}
			if seen[at], err = parseStored(raw); err != nil {
				return nil, fmt.Errorf("redis: record %s: %w", keys[at], err)
			}
			seen[at].Key, seen[at].Read, seen[at].alive = keys[at], read.at.time(), alive
		}
	}
	return seen, nil
}

// byPart sorts the places of keys by part.
func (r *Redis) byPart(keys []string) map[int][]int {
	parts := map[int][]int{}
	for at, key := range keys {
		parts[r.part(key)] = append(parts[r.part(key)], at)
	}
	return parts
}

// parseStored reads what save.lua wrote: "version expires epoch ops length
// names value". Nothing at all is a record that was never there.
func parseStored(raw string) (s sighting, err error) {
	if raw == "" {
		return s, nil
	}
	var fields [5]string
	for i := range fields {
		var ok bool
		if fields[i], raw, ok = strings.Cut(raw, " "); !ok {
			return s, errPacked
		}
	}
	version, err1 := strconv.ParseUint(fields[0], 10, 64)
	expires, err2 := parseMicros(fields[1])
	length, err3 := strconv.Atoi(fields[4])
	if errors.Join(err1, err2, err3) != nil || length < 0 || length > len(raw) {
		return s, errPacked
	}
	names, rest, err := cutNames(raw[:length])
	if err != nil || rest != "" {
		return s, errPacked
	}
	s.Record = login.Record{
		Value: []byte(raw[length:]), Version: version, Indexes: names,
		Expires: expires.time(), Durable: fields[2] == "-",
	}
	s.ops = fields[3]
	return s, nil
}

// Close closes the connections. Closing twice is harmless.
func (r *Redis) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	r.hints.flush()
	return r.client.Close()
}
