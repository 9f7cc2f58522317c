-- What the budget scripts share. KEYS[1] is the base, "<prefix>:{backend:<name>}" (or "<prefix>:{quota}"); all keys
-- below carry its hash tag.
--
--   :window:<limit>   hash: slot -> amount used in it. A sliding window has 60 slots, numbered since 1970; a slot counts
--                     until it has wholly left. A fixed window has one slot per period, named by its start in ms
--   :flying           hash: limit -> amount reserved by calls that may not have reached the backend yet; these never
--                     leave the window
--   :reserved         hash: reservation -> cmsgpack {part, …}; a part is {limit, slot_ms (0: fixed window), amount,
--                     margin_ms, start_ms, end_ms (of a fixed window's period), left after it was reserved,
--                     slot it is counted in (0: it is still flying), and in the next period too (1, else 0)}
--   :leases           sorted set: reservation -> until when its worker surely lives; its size is the concurrency
--   :known            hash: worker -> number of the last thing it told; a worker that is missing must tell (restore)
--   :opened           when this Redis first heard of the backend
--   :gate             hash, what stops all calls:
--                       grace           until when workers tell what they used, after Redis lost its memory
--                       blocked, reason until when no call may start, because the backend said so, and why
--                       due             1 from a block until the call that goes first after it was answered
--                       first           the reservation of that call
--                       open            until when the circuit breaker is open; past means half-open, missing closed
--                       probe           the reservation of the one call that a half-open breaker lets through
--   :failures         sorted set: reservation -> when it failed; the breaker counts them. Emptied when it opens or closes
--   :settings         hash, set by operators: mode (paused | draining), limit:<name> -> count instead of the configured
--                     one (limit:concurrency too)
--
-- None has a time to live, so that volatile-lfu can never evict a budget. Times are this server's, in milliseconds.
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
