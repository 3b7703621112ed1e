-- Stores an entry for all replicas, unless a write invalidated its route since the claim.
--
-- KEYS[1] the entry   KEYS[2] a hash: the generation of each route
-- ARGV[1] the route   ARGV[2] its generation at the claim   ARGV[3] the life of the entry in milliseconds   ARGV[4] the entry
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'life', ARGV[3], 'entry', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
