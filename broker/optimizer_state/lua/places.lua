-- Tell the places of one worker's line: {told}. What was told before is gone, and all of it after a while.
-- ARGV: ttl_ms, then fingerprint, place…
redis.call('DEL', KEYS[1])
if #ARGV > 1 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {'told'}
