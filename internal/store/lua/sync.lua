-- A small write whose way to the replicas is waited for: when it is there, so is
-- all that was written before it.
-- KEYS: any key of the partition that is used for nothing else
-- Answers: epoch
redis.call('SET', KEYS[1], '', 'PX', '1000')
return epoch()
