-- What the budget scripts share. KEYS[1] is "<prefix>:{backend:<name>}"; all keys below carry its hash tag.
--
--   :window:<limit>   hash: slot -> amount used in it. A window has 60 slots; a slot counts until it has wholly left
--   :flying           hash: limit -> amount reserved by calls in flight; these never leave the window
--   :reserved         hash: reservation -> cmsgpack {{limit, slot_ms, amount}, …}
--   :leases           sorted set: reservation -> until when its worker surely lives
--   :known            hash: worker -> 1; the workers that have told this Redis what they used. Missing after a loss
--   :opened           when this Redis first heard of the backend
--   :blocked          until when no call may start, because the backend said so
--
-- None has a time to live, so that volatile-lfu can never evict a budget. Times are this server's, in milliseconds.
local base = KEYS[1]
local LEASES, RESERVED, FLYING = base .. ':leases', base .. ':reserved', base .. ':flying'
local KNOWN, OPENED, BLOCKED = base .. ':known', base .. ':opened', base .. ':blocked'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function window_key(limit) return base .. ':window:' .. limit end

local function count_in(limit, slot_ms, amount, at)
  redis.call('HINCRBY', window_key(limit), string.format('%.0f', math.floor(at / slot_ms)), amount)
end

-- Forget a reservation; returns what it held, or nil.
local function take(id)
  local packed = redis.call('HGET', RESERVED, id)
  if not packed then return nil end
  redis.call('HDEL', RESERVED, id)
  redis.call('ZREM', LEASES, id)
  local held = cmsgpack.unpack(packed)
  for _, part in ipairs(held) do redis.call('HINCRBY', FLYING, part[1], -part[3]) end
  return held
end

-- A worker died in mid-call. When its request reached the backend is unknown: at the latest when its lease ran out.
local function collect_lapsed()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now - 1)) do
    local until_ms = tonumber(redis.call('ZSCORE', LEASES, id))
    for _, part in ipairs(take(id) or {}) do count_in(part[1], part[2], part[3], until_ms) end
  end
end

local function hold(id, lease_ms, parts)
  redis.call('HSET', RESERVED, id, cmsgpack.pack(parts))
  redis.call('ZADD', LEASES, now + lease_ms, id)
  for _, part in ipairs(parts) do redis.call('HINCRBY', FLYING, part[1], part[3]) end
end
