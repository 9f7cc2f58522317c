-- Let no call start for a while, because the backend said so; after that one goes first: {blocked, for how many ms}
-- ARGV: for_ms (-1: the backend did not say), reason, reservation of the refused call (empty: none, what is told again),
--       first_ms, longest_ms: how long after the first refusal of several in a row, doubling up to the longest
local before, due, first, streak = unpack(redis.call('HMGET', GATE, 'blocked', 'due', 'first', 'streak'))
before, streak = tonumber(before or 0), tonumber(streak or 0)
local for_ms, refused, first_ms, longest_ms = tonumber(ARGV[1]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if refused ~= '' then
  -- A refusal of the call that went first is one more in a row, or soon after it was well if the backend does not say
  -- how long. Calls that were in flight beside the refused one are refused on the same occasion.
  if not due then
    streak = for_ms < 0 and now - before < 10000 and streak + 1 or 1
  elseif first == refused then
    streak = streak + 1
  end
  if for_ms < 0 or streak > 1 then
    for_ms = math.max(for_ms, math.min(longest_ms, first_ms * 2 ^ math.max(0, math.min(streak, 20) - 1)))
  end
end
redis.call('HSET', GATE, 'due', 1, 'streak', streak)
redis.call('HDEL', GATE, 'first')
if now + for_ms <= before then return {'blocked', before - now} end
redis.call('HSET', GATE, 'blocked', whole(now + for_ms), 'reason', ARGV[2])
return {'blocked', math.ceil(for_ms)}
