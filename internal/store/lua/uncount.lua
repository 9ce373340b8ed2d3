-- Takes the latest event back, once for each op.
-- KEYS: events, mark of this op: a call ends after a second
if redis.call('SET', KEYS[2], '', 'NX', 'PX', '3000') then redis.call('RPOP', KEYS[1]) end
return 1
