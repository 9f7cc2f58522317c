-- What some calls of one model used is added up, and all that the fleet knows of the model comes back: {field, amount, …}
-- KEYS[1]: <backend>:learned:<model>, a hash of sums. It has a time to live: to learn it anew costs little.
-- ARGV: after how many calls the old ones count half; the time to live; field, amount, …
local key = KEYS[1]
for i = 3, #ARGV, 2 do redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
if #ARGV > 2 then redis.call('PEXPIRE', key, ARGV[2]) end
local sums = redis.call('HGETALL', key)
if tonumber(redis.call('HGET', key, 'calls') or 0) <= tonumber(ARGV[1]) then return sums end
for i = 1, #sums, 2 do
  local half = string.format('%.0f', math.floor(sums[i + 1] / 2))
  sums[i + 1] = half
  if half == '0' then redis.call('HDEL', key, sums[i]) else redis.call('HSET', key, sums[i], half) end
end
return sums
