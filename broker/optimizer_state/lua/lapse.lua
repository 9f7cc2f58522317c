-- A worker died: the leases of its calls end now instead of some time later: {lapsed, how many}
-- ARGV: what the names of its reservations begin with
local lapsed = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, now, '+inf')) do
  if string.sub(id, 1, #ARGV[1]) == ARGV[1] then
    redis.call('ZADD', LEASES, 'XX', now - 1, id)
    lapsed = lapsed + 1
  end
end
collect_lapsed()
return {'lapsed', lapsed}
