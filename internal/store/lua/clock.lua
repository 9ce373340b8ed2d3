-- KEYS: any key of the partition whose clock is asked
return int(now())
