-- What every script begins with. Times are microseconds since 1970, 0 is never.
-- Every answer begins with the server's time (redis_clock.go). See redis.go for
-- the keys and pack.go for packed names.

-- now is when the script began: all that one script does happens at one instant.
local begun
local function now()
  if not begun then
    local t = redis.call('TIME')
    begun = tonumber(t[1]) * 1000000 + tonumber(t[2])
  end
  return begun
end

local function int(n) return string.format('%d', n) end

-- The epoch names this primary's memory: it changes when the process restarts
-- and when a replica becomes the primary. Besides, how many replicas listen.
-- Asked once in a script: that is half of what most of them take.
local known, listen
local function server()
  if not known then
    local function field(info, name, length) -- finding plain text is much faster than a pattern
      local _, at = string.find(info, name .. ':', 1, true)
      return string.sub(info, at + 1, at + length)
    end
    local info = redis.call('INFO', 'server', 'replication')
    known = field(info, 'run_id', 12) .. field(info, 'master_replid', 12)
    listen = tonumber(string.match(field(info, 'connected_slaves', 9), '^%d+'))
  end
  return known, listen
end

local function epoch()
  local e = server()
  return e
end

local function past(expires, t) return expires ~= 0 and expires <= t end

-- cleanAt is when Redis may clean up: five minutes after the expiry.
local function cleanAt(expires) return int(math.floor(expires / 1000) + 300000) end

-- head reads a record's header: "version expires epoch ops length names value".
-- ops are the last operations, newest first, 12 bytes each. Version 0 is a
-- deleted record whose operations are still known.
local function head(raw)
  local r = {version = 0, expires = 0, epoch = '-', ops = '', names = string.char(0)}
  if raw then
    local v, x, e, ops, n, at = string.match(raw, '^(%d+) (%d+) (%S+) (%S+) (%d+) ()')
    r.version, r.expires, r.epoch, r.ops = tonumber(v), tonumber(x), e, ops
    r.names = string.sub(raw, at, at + tonumber(n) - 1)
  end
  return r
end

-- alive: it exists, has not expired, and is durable or of this epoch.
local function alive(r, t)
  return r.version > 0 and not past(r.expires, t) and (r.epoch == '-' or r.epoch == epoch())
end

-- names unpacks names.
local function names(packed)
  local list, at = {}, 2
  for i = 1, string.byte(packed, 1) do
    local n = string.byte(packed, at)
    list[i] = string.sub(packed, at + 1, at + n)
    at = at + 1 + n
  end
  return list
end

-- set unpacks keys: each a byte that says how long it is, and the key.
local function set(packed)
  local has, n, at = {}, 0, 1
  while at <= #packed do
    local size = string.byte(packed, at)
    has[string.sub(packed, at + 1, at + size)] = true
    n, at = n + 1, at + 1 + size
  end
  return has, n
end

local function pack(list)
  local out = {string.char(#list)}
  for _, name in ipairs(list) do out[#out + 1] = string.char(#name) .. name end
  return table.concat(out)
end

-- without returns the names of a that are in none of the sets.
local function without(a, sets)
  local known, left = {}, {}
  for _, set in ipairs(sets) do
    for _, name in ipairs(set) do known[name] = true end
  end
  for _, name in ipairs(a) do
    if not known[name] then left[#left + 1] = name end
  end
  return left
end

local opSize = 12

-- place finds op among ops: how many operations came after it, or nil.
local function place(ops, op)
  if not string.find(ops, op, 1, true) then return nil end -- nearly always
  for i = 1, #ops, opSize do
    if string.sub(ops, i, i + opSize - 1) == op then return (i - 1) / opSize end
  end
  return nil
end

-- vouched ends an answer: for what is durable, in which epoch it was written and
-- how many replicas are to confirm it.
local function vouched(answer, durable)
  local e, replicas = '', 0
  if durable == '1' then e, replicas = server() end
  answer[#answer + 1], answer[#answer + 2] = e, replicas
  return answer
end

-- list puts a member into an index, which lives as long as the longest-lived
-- record it was given.
local function list(index, member, expires, t)
  local ttl = redis.call('PTTL', index)
  redis.call('ZADD', index, 0, member)
  if expires == 0 then
    redis.call('PERSIST', index)
  elseif ttl == -2 or ttl >= 0 and tonumber(cleanAt(expires)) > t / 1000 + ttl then
    redis.call('PEXPIREAT', index, cleanAt(expires))
  end
end

-- listed looks up a member of an index that is in the record's own slot, and
-- takes it out if its record is not listed there any more. slot is what the
-- slot's keys begin with.
local function listed(slot, name, member, t)
  local raw = redis.call('GET', slot .. 'r:' .. member)
  local r = head(raw)
  if alive(r, t) then
    for _, n in ipairs(names(r.names)) do
      if n == name then return raw end
    end
  end
  redis.call('ZREM', slot .. 'i:' .. name, member)
  return nil
end
