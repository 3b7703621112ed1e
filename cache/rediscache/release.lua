-- Releases the lock of a fill, or extends it, if this fill still holds it.
--
-- KEYS[1] the lock   ARGV[1] the token of the fill   ARGV[2] the milliseconds to extend it by; 0 releases it
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
