-- Reads the entry of one key, and takes the lock of its fill if it is free.
--
-- KEYS[1] the entry   KEYS[2] the lock of its fill   KEYS[3] a hash: the generation of each route
-- KEYS[4] the counter of invalidations   KEYS[5] the run id of the server that wrote these keys
-- ARGV[1] the token for the lock, or '' for none   ARGV[2] the route   ARGV[3] the life of the lock in milliseconds
--
-- Returns the entry or false, its age in milliseconds, the generation of its route, and 1 if the lock was taken.

-- After a failover the new primary may lack the latest invalidations. So its generations are deleted, which makes every entry
-- stale, and the counter is incremented, so that every replica notices.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local before = redis.call('GET', KEYS[5])
if before ~= server then
  redis.call('SET', KEYS[5], server)
  if before then
    redis.call('DEL', KEYS[3])
    redis.call('INCR', KEYS[4])
  end
end
local generation = redis.call('HGET', KEYS[3], ARGV[2])
if not generation then
  if redis.call('HLEN', KEYS[3]) >= 10000 then redis.call('DEL', KEYS[3]) end
  local time = redis.call('TIME')
  generation = time[1] .. string.format('%06d', time[2])
  redis.call('HSET', KEYS[3], ARGV[2], generation)
end
local stored = redis.call('HMGET', KEYS[1], 'generation', 'life', 'entry')
local entry, age = false, 0
if stored[1] == generation then
  entry, age = stored[3], tonumber(stored[2]) - redis.call('PTTL', KEYS[1])
end
local locked = 0
if ARGV[1] ~= '' and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) then locked = 1 end
return {entry, age, generation, locked}
