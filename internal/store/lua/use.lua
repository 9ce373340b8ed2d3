-- Marks a key as used.
-- KEYS: mark: "expires epoch op"
-- ARGV: op, expires, durable
-- Answers: {time, 'first', 'used' or 'late', epoch, replicas}
local t = now()
local expires = tonumber(ARGV[2])
if past(expires, t) then return {t, 'late', '', 0} end
local raw = redis.call('GET', KEYS[1])
if raw then
  local x, e, op = string.match(raw, '^(%d+) (%S+) (%S+)$')
  if op == ARGV[1] then return vouched({t, 'first'}, ARGV[3]) end
  if not past(tonumber(x), t) and (e == '-' or e == epoch()) then return {t, 'used', '', 0} end
end
local keep = {}
if expires ~= 0 then keep = {'PXAT', cleanAt(expires)} end
local e = '-'
if ARGV[3] ~= '1' then e = epoch() end
redis.call('SET', KEYS[1], table.concat({int(expires), e, ARGV[1]}, ' '), unpack(keep))
return vouched({t, 'first'}, ARGV[3])
