-- Keep the lease of a running dispatch, or (with an empty owner) only ask whether anybody waits for one that is held:
--   {ok, latest deadline} | {nobody} | {lost}
-- ARGV: flight, number, owner, lease_ms, keep_ms, rests (0/1): its call has ended, the next is made after a pause
local flight, number, owner, lease_ms, keep_ms, rests = unpack(ARGV)
if owner ~= '' then redis.call('HDEL', DEATHS, owner) end
local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'd')
if f[1] ~= flight or f[2] ~= number then return {'lost'} end
if owner ~= '' and f[3] ~= owner then return {'lost'} end
if end_if_nobody_waits(f[4], keep_ms) then return {'nobody'} end
if owner ~= '' then redis.call('HSET', FLIGHT, 'l', now + lease_ms, 'e', rests) end
return {'ok', tonumber(f[4])}
