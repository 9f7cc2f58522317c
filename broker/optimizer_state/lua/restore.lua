-- A worker makes itself known, and tells what it used itself if this Redis does not know it:
--   {known} | {restored} | {forgotten}: a repetition of what was told to a Redis that has lost its memory since
-- ARGV: worker, number of this telling, repeated (0/1), lease_ms, grace_ms, blocked until, reason, breaker open until,
--       number of settings, these as name, value; number of slots, these as limit, slot, amount used in all, amount of
--       it that was used while this Redis was away; what is in flight: reservation, granted without Redis (0/1), limit
--       (empty: it takes none), slot_ms, amount, margin_ms, start_ms, end_ms, slot (0: it still flies), in the next
--       period too (0/1)
local worker, number, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local blocked, reason, open = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local settings = 9 + 2 * tonumber(ARGV[9])
local slots = settings + 1 + 4 * tonumber(ARGV[settings + 1])

local told = redis.call('HGET', KNOWN, worker)
local known = told and true or false
if ARGV[3] == '1' and not known then return {'forgotten'} end
redis.call('HSET', KNOWN, worker, number)
if not known or tonumber(told) < number then
  for i = settings + 2, slots, 4 do
    add(ARGV[i], 0, ARGV[i + 1], tonumber(known and ARGV[i + 3] or ARGV[i + 2]))
    -- How wide the slots are is not told: whoever looks next adds them up.
    redis.call('HDEL', window_key(ARGV[i]), 'sum', 'until')
  end
end

local flying = {}
for i = slots + 1, #ARGV, 10 do
  -- A Redis that has forgotten nothing has also counted those of the others that are missing: they ended meanwhile.
  if not known or ARGV[i + 1] == '1' then
    local part, parts = {ARGV[i + 2], 0, 0, 0, 0, 0, 0, 0, 0}, flying[ARGV[i]] or {}
    for field = SLOT_MS, END_MS do part[field] = tonumber(ARGV[i + 1 + field]) end
    part[SLOT], part[TWICE] = tonumber(ARGV[i + 8]), tonumber(ARGV[i + 9])
    -- A call that takes no limit holds its place in the concurrency only.
    if ARGV[i + 2] ~= '' then parts[#parts + 1] = part end
    flying[ARGV[i]] = parts
  end
end
for id, parts in pairs(flying) do
  if redis.call('HEXISTS', RESERVED, id) == 0 then hold(id, lease_ms, parts) end
end
if known then return {'known'} end

-- The first to speak after a loss does not know what the others used: give them time to say so.
if redis.call('SET', OPENED, now, 'NX') then redis.call('HSET', GATE, 'grace', whole(now + tonumber(ARGV[5]))) end
local gate = redis.call('HMGET', GATE, 'grace', 'blocked', 'open')
if blocked > math.max(now, tonumber(gate[2] or 0)) then
  redis.call('HSET', GATE, 'blocked', whole(blocked), 'reason', reason, 'due', 1)
end
if open > math.max(now, tonumber(gate[3] or 0)) then redis.call('HSET', GATE, 'open', whole(open)) end
-- What operators have set since a loss is newer than what a worker remembers.
if tonumber(gate[1] or 0) > now then
  for i = 10, settings, 2 do redis.call('HSETNX', SETTINGS, ARGV[i], ARGV[i + 1]) end
end
return {'restored'}
