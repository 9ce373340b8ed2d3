-- Lists a record that is about to be written, and notes who is about to.
-- KEYS: index, lease of this member
-- ARGV: record key, op, at most (-1: any number), expires, keys that do not count
-- Answers: {time, 'ok'} or {time, 'full', members}
local t = now()
local atMost = tonumber(ARGV[3])
if atMost >= 0 then
  local others, but, n = redis.call('ZCARD', KEYS[1]), set(ARGV[5])
  but[ARGV[1]] = true
  for key in pairs(but) do
    if redis.call('ZSCORE', KEYS[1], key) then others = others - 1 end
  end
  if others >= atMost then
    return {t, 'full', redis.call('ZRANGE', KEYS[1], 0, atMost + n + 50)}
  end
end

list(KEYS[1], ARGV[1], tonumber(ARGV[4]), t)

local leases = {}
for other, till in string.gmatch(redis.call('GET', KEYS[2]) or '', '(%S+) (%d+);') do
  if tonumber(till) > t and other ~= ARGV[2] then leases[#leases + 1] = other .. ' ' .. till .. ';' end
end
leases[#leases + 1] = ARGV[2] .. ' ' .. int(t + 10000000) .. ';'
redis.call('SET', KEYS[2], table.concat(leases), 'PX', '10000')
return {t, 'ok'}
