-- KEYS: the write. ARGV: owner, record, milliseconds that the record lives in all, milliseconds after the lease.
-- Returns nothing when the claim was made, else the record that is there and 1 when its claim was not renewed in time.
local there = redis.call('HGET', KEYS[1], 'record')
if there then
  local dead = redis.call('HEXISTS', KEYS[1], 'owner') == 1 and redis.call('PTTL', KEYS[1]) <= tonumber(ARGV[4])
  return {there, dead and 1 or 0}
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'record', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {}
