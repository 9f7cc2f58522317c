-- The fleet's last calls in the order of their start, for backends that may have only a share of them.
--
--   <prefix>:{share}         hash: epoch: when this memory began; strict: 1 if there was another one before
--   <prefix>:{share}:calls   list: "<backend> <reservation>", the newest first
--
-- Neither has a time to live: volatile-lfu must not evict them.
-- Record a call: {taken, epoch} | {wait, epoch}
-- ARGV: take, reservation, backend, epoch that the worker last saw or '', window, slack, share or '' for all
-- Forget a call that was not made: {given}
-- ARGV: give_back, reservation, backend
local base, entry = KEYS[1], ARGV[3] .. ' ' .. ARGV[2]
local calls = base .. ':calls'

if ARGV[1] == 'give_back' then
  redis.call('LREM', calls, 1, entry)
  return {'given'}
end

local seen_epoch, window, slack, share = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local epoch = redis.call('HGET', base, 'epoch')
if not epoch then
  local clock = redis.call('TIME')
  epoch = clock[1] .. '.' .. clock[2]
  redis.call('HSET', base, 'epoch', epoch)
end
-- Calls of before the loss may still be among the fleet's last ones, and nobody knows where they went.
if seen_epoch ~= '' and seen_epoch ~= epoch then redis.call('HSET', base, 'strict', 1) end

local others = window + 2 * slack - 1
local last = redis.call('LRANGE', calls, 0, others - 1)
local own, prefix = 0, ARGV[3] .. ' '
for _, call in ipairs(last) do
  if call == entry then return {'taken', epoch} end
  if string.sub(call, 1, #prefix) == prefix then own = own + 1 end
end
if share then
  if #last < others and redis.call('HGET', base, 'strict') then return {'wait', epoch} end
  local surely = math.max(0, math.min(window, #last + 1 - slack))
  -- 0.29 * 100 is a little less than 29.
  if own + 1 > math.floor(share * surely + 1e-9) then return {'wait', epoch} end
end
redis.call('LPUSH', calls, entry)
redis.call('LTRIM', calls, 0, others - 1)
return {'taken', epoch}
