-- What the replicas have of one question, and the right to ask Roam for all of them.
--
-- KEYS[1] the entry  KEYS[2] the lock of its fill  KEYS[3] the generations of the routes
-- ARGV    1 the fill that wants the lock, or ''  2 the route  3 the lock's milliseconds
--
-- Answers the entry, or false, its age in milliseconds, the route's generation, and whether the lock is ours.
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
