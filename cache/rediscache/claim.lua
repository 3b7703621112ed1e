-- What the replicas have of one question, and the right to ask Roam for all of them.
--
-- KEYS[1] the entry  KEYS[2] the lock of its fill  KEYS[3] the generations of the routes  KEYS[4] how often something was dropped
-- KEYS[5] the server that wrote all this   ARGV 1 the fill that wants the lock, or ''  2 the route  3 the lock's milliseconds
--
-- Answers the entry, or false, its age in milliseconds, the route's generation, and whether the lock is ours.

-- A copy that took its primary's place may not know of the latest drops: what it has is forgotten, and the replicas see that.
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
local kept = redis.call('HMGET', KEYS[1], 'generation', 'life', 'entry')
local entry, age = false, 0
if kept[1] == generation then
  entry, age = kept[3], tonumber(kept[2]) - redis.call('PTTL', KEYS[1])
end
local ours = 0
if ARGV[1] ~= '' and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) then ours = 1 end
return {entry, age, generation, ours}
