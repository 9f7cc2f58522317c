-- What the budget scripts share. KEYS[1] is the base, "<prefix>:{backend:<name>}" (or "<prefix>:{quota}"); all keys
-- below carry its hash tag.
--
--   :window:<limit>   hash: slot -> amount used in it. A sliding window has 60 slots, numbered since 1970; a slot
--                     counts until it has wholly left. A fixed window has one slot a period, named by its start in ms.
--                     A sliding one also has `sum`, of all its slots, which is right until `until`, when the first of
--                     them leaves: most reservations need to know no more
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
--                       streak          refusals in a row, for ever longer blocks
--                       due             1 from a block until the call that goes first after it was answered
--                       first           the reservation of that call
--                       open            until when the circuit breaker is open; past means half-open, missing closed
--                       probe           the reservation of the one call that a half-open breaker lets through
--   :failures         sorted set: reservation -> when it failed; for the breaker. Empty after it opened or closed
--   :settings         hash, set by operators: mode (paused | draining), limit:<name> -> count instead of the configured
--                     one (limit:concurrency too)
--
-- None has a time to live, so that volatile-lfu can never evict a budget. Times are this server's, in milliseconds.
local base = KEYS[1]
local LEASES, RESERVED, FLYING = base .. ':leases', base .. ':reserved', base .. ':flying'
local KNOWN, OPENED, SETTINGS = base .. ':known', base .. ':opened', base .. ':settings'
local GATE, FAILURES = base .. ':gate', base .. ':failures'
local LIMIT, SLOT_MS, AMOUNT, MARGIN_MS, START_MS, END_MS, LEFT, SLOT, TWICE = 1, 2, 3, 4, 5, 6, 7, 8, 9
local SLOTS = 60
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function window_key(limit) return base .. ':window:' .. limit end
local function whole(number) return string.format('%.0f', number) end
-- When a slot of a sliding window has wholly left it.
local function leaves_at(slot, slot_ms) return (slot + 1 + SLOTS) * slot_ms end

-- `slot_ms` is 0 in a fixed window.
local function add(limit, slot_ms, slot, amount)
  if amount == 0 then return end
  local key = window_key(limit)
  redis.call('HINCRBY', key, whole(slot), whole(amount))
  if slot_ms == 0 then return end
  local first, leaves = redis.call('HGET', key, 'until'), math.ceil(leaves_at(slot, slot_ms))
  if not first then return end
  redis.call('HINCRBY', key, 'sum', whole(amount))
  if leaves < tonumber(first) then redis.call('HSET', key, 'until', whole(leaves)) end
end

-- Use more (or less) of a limit where a part of a reservation is counted.
local function use(part, amount)
  add(part[LIMIT], part[SLOT_MS], part[SLOT], amount)
  if part[TWICE] == 1 then add(part[LIMIT], part[SLOT_MS], part[END_MS], amount) end
end

-- What is reserved for a call that may not have arrived yet; a limit that nobody flies in is forgotten.
local function fly(part, amount)
  if amount ~= 0 and redis.call('HINCRBY', FLYING, part[LIMIT], whole(amount)) == 0 then
    redis.call('HDEL', FLYING, part[LIMIT])
  end
end

-- A call has arrived, at the latest at `at`. In a fixed window it counts in the period it was reserved in, and in the
-- next one too if it may have arrived there.
local function place(part, at)
  if part[SLOT_MS] > 0 then
    part[SLOT] = math.floor(at / part[SLOT_MS])
  else
    part[SLOT], part[TWICE] = part[START_MS], at >= part[END_MS] and 1 or 0
  end
end

-- Forget a reservation; returns its parts, or nil. Those that were flying are counted nowhere then.
local function take(id)
  local packed = redis.call('HGET', RESERVED, id)
  if not packed then return nil end
  redis.call('HDEL', RESERVED, id)
  redis.call('ZREM', LEASES, id)
  local parts = cmsgpack.unpack(packed)
  for _, part in ipairs(parts) do
    if part[SLOT] == 0 then fly(part, -part[AMOUNT]) end
  end
  return parts
end

local function hold(id, lease_ms, parts)
  redis.call('HSET', RESERVED, id, cmsgpack.pack(parts))
  redis.call('ZADD', LEASES, now + lease_ms, id)
  for _, part in ipairs(parts) do
    if part[SLOT] == 0 then fly(part, part[AMOUNT]) end
  end
end

-- A worker died in mid-call. When its request reached the backend is unknown: at the latest when its lease ran out.
local function collect_lapsed()
  local lapsed = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now - 1, 'WITHSCORES')
  for i = 1, #lapsed, 2 do
    for _, part in ipairs(take(lapsed[i]) or {}) do
      if part[SLOT] == 0 then
        place(part, tonumber(lapsed[i + 1]))
        use(part, part[AMOUNT])
      end
    end
  end
end

-- What is used of a limit without what flies, and when how much of that leaves: {{when, amount}, …} in no order. What
-- has left is forgotten, but a fixed window's last period is kept for those who settle late.
local function look_at(limit, slot_ms, start_ms, end_ms)
  local used, leaving, first, key = 0, {}, math.huge, window_key(limit)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local slot, amount = tonumber(fields[i]), tonumber(fields[i + 1])
    local counts, gone, leaves
    if not slot then
      counts, gone = false, false
    elseif slot_ms > 0 then
      leaves = leaves_at(slot, slot_ms)
      counts, gone = leaves > now, leaves <= now
    else
      leaves = end_ms
      counts, gone = slot == start_ms, slot < 2 * start_ms - end_ms
    end
    if gone then redis.call('HDEL', key, fields[i]) end
    if counts then
      used = used + amount
      leaving[#leaving + 1] = {leaves, amount}
      first = math.min(first, leaves)
    end
  end
  if slot_ms > 0 then
    if #leaving == 0 then
      redis.call('HDEL', key, 'sum', 'until')
    else
      redis.call('HSET', key, 'sum', whole(used), 'until', whole(math.ceil(first)))
    end
  end
  return used, leaving
end

-- The first of these alone.
local function used_of(limit, slot_ms, start_ms, end_ms)
  if slot_ms > 0 then
    local sum, first = unpack(redis.call('HMGET', window_key(limit), 'sum', 'until'))
    if first and now < tonumber(first) then return tonumber(sum) end
  end
  return (look_at(limit, slot_ms, start_ms, end_ms))
end
