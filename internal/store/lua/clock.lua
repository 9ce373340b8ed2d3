-- KEYS: any key of the partition whose clock is asked
-- Answers: {time}
return {now()}
