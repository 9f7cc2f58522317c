-- A submitted request has come, for the first time or again: 
--   {open, what is known, was it new (0/1)} | {ended} | {conflict}
-- What was written first holds: a copy that comes later must not move the deadline.
-- ARGV: fingerprint, what is known, deadline, keep_ms
local fingerprint, known, deadline, keep_ms = unpack(ARGV)
local m = redis.call('HMGET', box, 'f', 'w', 'r')
if m[1] and m[1] ~= fingerprint then return {'conflict'} end
if m[3] then return {'ended'} end
if m[1] then return {'open', m[2], 0} end
redis.call('HSET', box, 'f', fingerprint, 'w', known)
redis.call('PEXPIRE', box, math.max(0, tonumber(deadline) - now) + keep_ms)
return {'open', known, 1}
