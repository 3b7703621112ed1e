-- Keeps an answer for all replicas, unless a write dropped its route since the fill began.
--
-- KEYS[1] the entry  KEYS[2] the generations of the routes   ARGV 1 the route  2 its generation  3 milliseconds to keep  4 the entry
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'life', ARGV[3], 'entry', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
