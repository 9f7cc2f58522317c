-- Let no call of this backend start for a while, because the backend said so: {blocked, until}
-- ARGV: for_ms
local until_ms = math.max(tonumber(redis.call('GET', BLOCKED) or 0), now + tonumber(ARGV[1]))
redis.call('SET', BLOCKED, string.format('%.0f', until_ms))
return {'blocked', until_ms}
