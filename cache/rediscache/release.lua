-- Gives a lock back, or holds it for longer, if it is still ours.
--
-- KEYS[1] the lock   ARGV 1 the fill that has it  2 milliseconds more; 0: it is over
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
