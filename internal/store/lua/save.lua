-- Writes one record, if the version and the conditions allow it.
-- KEYS: record, change stream
-- ARGV: op, version, before, expires, durable, delete, names, value,
--       names reserved by op, until when those count, record key,
--       what the slot's keys begin with if the indexes are there ('': elsewhere),
--       index that may be full, at most, keys that do not count there
-- Answers: {time, what, version, names there now or before, ops, names to reserve,
--       id of the change, epoch, replicas}
local t = now()
local old = head(redis.call('GET', KEYS[1]))
local op = ARGV[1]

local after = place(old.ops, op)
if after then
  return vouched({t, 'done', math.max(old.version - after, 0), old.names, old.ops, string.char(0), ''}, ARGV[5])
end

local slot, none, left = ARGV[12], string.char(0), old.names
if not alive(old, t) then old.version, old.names = 0, none end
local function refuse(why, need)
  return {t, why, old.version, old.names, old.ops, need or none, '', '', 0}
end
if old.version ~= tonumber(ARGV[2]) then return refuse('conflict') end
local before = tonumber(ARGV[3])
if before ~= 0 and t >= before then return refuse('late') end

local expires, delete, told = tonumber(ARGV[4]), ARGV[6] == '1', ARGV[7]
local longer = old.expires ~= 0 and (expires == 0 or expires > old.expires)
if longer or told ~= left or told ~= old.names or ARGV[9] ~= none then -- else it is listed where it is to be
  local oldNames, newNames = names(old.names), names(ARGV[7])
  local reserved = names(ARGV[9])
  local need = without(newNames, {reserved, longer and {} or oldNames})
  if slot == '' then
    if #need > 0 then return refuse('need', pack(need)) end
    if #reserved > 0 and t >= tonumber(ARGV[10]) then return refuse('slow') end
  else -- one script writes the record and its indexes
    local full, taken, but = ARGV[13], 0, set(ARGV[15])
    if full ~= '' and #without({full}, {oldNames}) > 0 and #without({full}, {newNames}) == 0 then
      for _, member in ipairs(redis.call('ZRANGE', slot .. 'i:' .. full, 0, -1)) do
        if member ~= ARGV[11] and not but[member] and listed(slot, full, member, t) then taken = taken + 1 end
      end
      if taken >= tonumber(ARGV[14]) then return refuse('full') end
    end
    for _, name in ipairs(without(names(left), {newNames})) do redis.call('ZREM', slot .. 'i:' .. name, ARGV[11]) end
    for _, name in ipairs(need) do list(slot .. 'i:' .. name, ARGV[11], expires, t) end
  end
  if old.names ~= none then
    for _, name in ipairs(without(newNames, {oldNames})) do oldNames[#oldNames + 1] = name end
    told = pack(oldNames)
  end
end

local ops = string.sub(op .. old.ops, 1, 4 * opSize)
local version, e, keep = old.version + 1, '-', {}
if delete then
  version, keep = 0, {'PX', '60000'}
else
  if ARGV[5] ~= '1' then e = epoch() end
  if expires ~= 0 then keep = {'PXAT', cleanAt(expires)} end
end
redis.call('SET', KEYS[1], table.concat({int(version), ARGV[4], e, ops, #ARGV[7], ARGV[7] .. ARGV[8]}, ' '), unpack(keep))

local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', '20000', '*', 'k', ARGV[11], 'n', told)
return vouched({t, 'ok', version, old.names, ops, none, id}, ARGV[5])
