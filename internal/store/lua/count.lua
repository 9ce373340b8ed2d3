-- Notes an event unless the window is full.
-- KEYS: events, oldest first, each the op and the time
-- ARGV: op, limit, window in microseconds
-- Answers: 1 counted, 0 not
local t = now()
local events = redis.call('LRANGE', KEYS[1], 0, -1)
local left = #events
for _, event in ipairs(events) do
  if string.sub(event, 1, opSize) == ARGV[1] then return 1 end
end
for _, event in ipairs(events) do
  if tonumber(string.sub(event, opSize + 1)) > t - tonumber(ARGV[3]) then break end
  redis.call('LPOP', KEYS[1])
  left = left - 1
end
if left >= tonumber(ARGV[2]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1] .. int(t))
redis.call('PEXPIRE', KEYS[1], int(math.floor(ARGV[3] / 1000) + 300000))
return 1
