-- A worker makes itself known, and tells what it used itself if this Redis does not know it: {known} | {restored}
-- ARGV: worker, lease_ms, grace_ms, number of slots, then slots: limit, slot, amount used in all, amount of it that was
--       used while this Redis was away; then flying: reservation, limit, slot_ms, amount, granted without Redis (0/1)
local worker, lease_ms, grace_ms, slots = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, last = redis.call('HEXISTS', KNOWN, worker) == 1, 4 + slots * 4
for i = 5, last, 4 do
  local amount = known and ARGV[i + 3] or ARGV[i + 2]
  if amount ~= '0' then redis.call('HINCRBY', window_key(ARGV[i]), ARGV[i + 1], amount) end
end

local flying = {}
for i = last + 1, #ARGV, 5 do
  -- A Redis that has forgotten nothing has also counted those of the others that are missing: they ended meanwhile.
  if not known or ARGV[i + 4] == '1' then
    local parts = flying[ARGV[i]] or {}
    parts[#parts + 1] = {ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])}
    flying[ARGV[i]] = parts
  end
end
for id, parts in pairs(flying) do
  if redis.call('HEXISTS', RESERVED, id) == 0 then hold(id, lease_ms, parts) end
end
if known then return {'known'} end
redis.call('HSET', KNOWN, worker, 1)

-- The first to speak after a loss does not know what the others used: give them time to say so.
if redis.call('SET', OPENED, now, 'NX') then
  local blocked = tonumber(redis.call('GET', BLOCKED) or 0)
  redis.call('SET', BLOCKED, string.format('%.0f', math.max(blocked, now + grace_ms)))
end
return {'restored'}
