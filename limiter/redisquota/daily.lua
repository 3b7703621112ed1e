-- One more call of a tool today, unless it has made as many as it may.
--
-- KEYS[1] the day, a hash   ARGV 1 the tool  2 the most that it may make  3 calls that were made while Redis was away
--                                4 what the replica knows, should the day have been lost
-- Answers how many were made, and whether this one may be.
local used = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or ARGV[4]) + tonumber(ARGV[3])
local may = used < tonumber(ARGV[2]) and 1 or 0
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', used + may))
redis.call('EXPIRE', KEYS[1], 172800)
return {used + may, may}
