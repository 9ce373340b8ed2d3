-- Takes a member out of an index whose record was seen not to be listed there,
-- unless somebody may have listed it anew since, or may be about to.
-- KEYS: index, lease of this member
-- ARGV: record key, when the record was seen, ops that were settled by then
-- Answers: {time, 1 when it is out or 0 when that must wait}
local t = now()
if t > tonumber(ARGV[2]) + 3000000 then return {t, 0} end
for op, till in string.gmatch(redis.call('GET', KEYS[2]) or '', '(%S+) (%d+);') do
  if tonumber(till) > t and not place(ARGV[3], op) then return {t, 0} end
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return {t, 1}
