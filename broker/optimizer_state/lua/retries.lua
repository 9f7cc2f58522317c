-- The fleet's retry budget.
--
--   <prefix>:{retries}         sorted set: reservation -> when its repetition was allowed
--   <prefix>:{retries}:calls   sorted set: "<how many calls> <telling>" -> when they were told of
--
-- Neither has a time to live: volatile-lfu must not evict them.
-- Count calls that began: {counted}
-- ARGV: count, within_ms, how many, telling
-- May a call be repeated: {granted} | {wait, ms}
-- ARGV: ask, within_ms, late_ms, share, least, reservation, then the worker's own repetitions: reservation, ms ago
local repeats, calls = KEYS[1], KEYS[1] .. ':calls'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local within = tonumber(ARGV[2])

if ARGV[1] == 'count' then
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - within)
  redis.call('ZADD', calls, 'NX', now, ARGV[3] .. ' ' .. ARGV[4])
  return {'counted'}
end

local late, share, least, reservation = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
-- Those that were made without Redis, or that it has forgotten.
for i = 7, #ARGV, 2 do redis.call('ZADD', repeats, 'NX', now - ARGV[i + 1], ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', repeats, '-inf', now - within - late)
if redis.call('ZSCORE', repeats, reservation) then return {'granted'} end

local begun = 0
for _, telling in ipairs(redis.call('ZRANGE', calls, '(' .. (now - within + late), '+inf', 'BYSCORE')) do
  begun = begun + tonumber(string.match(telling, '^%d+'))
end
if redis.call('ZCARD', repeats) + 1 <= math.max(least, math.floor(share * begun + 1e-9)) then
  redis.call('ZADD', repeats, now, reservation)
  return {'granted'}
end
local oldest = redis.call('ZRANGE', repeats, 0, 0, 'WITHSCORES')[2]
return {'wait', oldest and math.ceil(oldest + within + late - now) or within}
