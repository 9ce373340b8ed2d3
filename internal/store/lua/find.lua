-- Reads the records of an index that is in their own slot.
-- KEYS: index
-- ARGV: what the slot's keys begin with, name of the index, from where, at most
-- Answers: {time, how many members, the last one, then for each record: key, what is stored}
local t = now()
local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[3], '+', 'LIMIT', 0, ARGV[4])
local out = {t, #members, members[#members] or ''}
for _, member in ipairs(members) do
  local raw = listed(ARGV[1], ARGV[2], member, t)
  if raw then out[#out + 1], out[#out + 2] = member, raw end
end
return out
