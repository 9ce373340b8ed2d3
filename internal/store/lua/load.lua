-- Reads records of one partition.
-- KEYS: records
-- Answers: {time, then for each record: 1 alive or 0, what is stored or ''}
local t = now()
local out = {t}
for _, key in ipairs(KEYS) do
  local raw = redis.call('GET', key)
  out[#out + 1] = raw and alive(head(raw), t) and 1 or 0
  out[#out + 1] = raw or ''
end
return out
