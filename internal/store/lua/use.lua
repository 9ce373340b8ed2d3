-- Marks a key as used.
-- KEYS: mark: "expires epoch op"
-- ARGV: op, expires, durable
-- Answers: 'first', 'used' or 'late'
local t = now()
local expires = tonumber(ARGV[2])
if past(expires, t) then return 'late' end
local raw = redis.call('GET', KEYS[1])
if raw then
  local x, e, op = string.match(raw, '^(%d+) (%S+) (%S+)$')
  if op == ARGV[1] then return 'first' end
  if not past(tonumber(x), t) and (e == '-' or e == epoch()) then return 'used' end
end
local keep = {}
if expires ~= 0 then keep = {'PXAT', cleanAt(expires)} end
local e = '-'
if ARGV[3] ~= '1' then e = epoch() end
redis.call('SET', KEYS[1], table.concat({int(expires), e, ARGV[1]}, ' '), unpack(keep))
return 'first'
