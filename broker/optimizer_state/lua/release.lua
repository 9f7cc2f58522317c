-- Give a dispatch back: {next, number} | {lost}
-- After a failure that another backend may mend, the dispatches are counted up in the same step, so that no old copy of
-- this one can run beside the next. With `keep` it is the same delivery that runs it again later: the number stays, since
-- the broker would deliver that one if the worker dies.
-- ARGV: flight, number, owner, keep (0/1)
local flight, number, owner, keep = unpack(ARGV)
redis.call('HDEL', DEATHS, owner)
local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'r')
local following = keep == '1' and number or string.format('%.0f', tonumber(number) + 1)
if f[1] ~= flight then return {'lost'} end
-- Its answer was lost.
if f[2] == following and not f[3] and f[4] == owner then return {'next', following} end
if f[2] ~= number or f[3] ~= owner then return {'lost'} end
redis.call('HDEL', FLIGHT, 'o', 'l')
redis.call('HSET', FLIGHT, 'n', following, 'r', owner)
return {'next', following}
