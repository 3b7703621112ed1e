-- Gives routes a new generation, and publishes that to all replicas.
--
-- KEYS[1] a hash: the generation of each route   KEYS[2] the counter of invalidations   ARGV[1] the channel   ARGV[2...] the routes
--
-- Returns the number of this invalidation, and the number of subscribers.
local time = redis.call('TIME')
local generation = time[1] .. string.format('%06d', time[2])
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], generation) end
local number = redis.call('INCR', KEYS[2])
local subscribers = redis.call('SPUBLISH', ARGV[1], cjson.encode({number = number, routes = {unpack(ARGV, 2)}}))
return {number, subscribers}
