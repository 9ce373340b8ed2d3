-- Takes the latest event back, once for each op.
-- KEYS: events, mark of this op
if redis.call('SET', KEYS[2], '', 'NX', 'PX', '10000') then redis.call('RPOP', KEYS[1]) end
return 1
