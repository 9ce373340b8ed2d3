-- Notes an event under each key, unless one of their windows is full.
-- KEYS: events, oldest first, each the op and the time
-- ARGV: op, then for each key: limit, window in microseconds
-- Answers: {time, 1 counted or 0 not}
local t = now()
for i, key in ipairs(KEYS) do
  local events = redis.call('LRANGE', key, 0, -1)
  local left = #events
  for _, event in ipairs(events) do
    if string.sub(event, 1, opSize) == ARGV[1] then return {t, 1} end
  end
  for _, event in ipairs(events) do
    if tonumber(string.sub(event, opSize + 1)) > t - tonumber(ARGV[2 * i + 1]) then break end
    redis.call('LPOP', key)
    left = left - 1
  end
  if left >= tonumber(ARGV[2 * i]) then return {t, 0} end
end
for i, key in ipairs(KEYS) do
  redis.call('RPUSH', key, ARGV[1] .. int(t))
  redis.call('PEXPIRE', key, int(math.floor(ARGV[2 * i + 1] / 1000) + 300000))
end
return {t, 1}
