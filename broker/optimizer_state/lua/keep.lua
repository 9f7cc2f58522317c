-- Renew the leases of calls in flight: {kept, how many}
-- ARGV: lease_ms, reservation…
local kept = 0
for i = 2, #ARGV do
  if redis.call('HEXISTS', RESERVED, ARGV[i]) == 1 then
    redis.call('ZADD', LEASES, 'XX', now + ARGV[1], ARGV[i])
    kept = kept + 1
  end
end
return {'kept', kept}
