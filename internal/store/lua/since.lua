-- When this epoch was first seen. An epoch that is over never comes back, so
-- one key remembers the present one.
-- KEYS: since: "epoch time"
-- Answers: {time, since}
local t = now()
local e = epoch()
local raw = redis.call('GET', KEYS[1])
if raw then
  local seen, since = string.match(raw, '^(%S+) (%d+)$')
  if seen == e then return {t, since} end
end
redis.call('SET', KEYS[1], e .. ' ' .. int(t))
return {t, int(t)}
