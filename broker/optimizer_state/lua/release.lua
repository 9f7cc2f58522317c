-- Give a dispatch back after a failure that another backend may mend, and count the dispatches up in the same step, so
-- that no old copy of this one can run beside the next: {next, number} | {lost}
-- ARGV: flight, number, owner
local flight, number, owner = unpack(ARGV)
local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'r')
local following = string.format('%.0f', tonumber(number) + 1)
if f[1] ~= flight then return {'lost'} end
if f[2] == following and f[4] == owner then return {'next', following} end
if f[2] ~= number or f[3] ~= owner then return {'lost'} end
redis.call('HDEL', FLIGHT, 'o', 'l')
redis.call('HSET', FLIGHT, 'n', following, 'r', owner)
return {'next', following}
