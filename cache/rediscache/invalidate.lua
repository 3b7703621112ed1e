-- Drops routes for all replicas, and tells them. They were dropped so often, and so many heard of it now.
--
-- KEYS[1] the generations of the routes  KEYS[2] how often something was dropped   ARGV 1 the channel  2... the routes
local time = redis.call('TIME')
local generation = time[1] .. string.format('%06d', time[2])
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], generation) end
local number = redis.call('INCR', KEYS[2])
local heard = redis.call('SPUBLISH', ARGV[1], cjson.encode({number = number, routes = {unpack(ARGV, 2)}}))
return {number, heard}
