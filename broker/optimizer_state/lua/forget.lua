-- Forget a tenant in the flights of one question:
--   {answers, outcomes, requests that waited, whether an open flight is left that nobody waits in (0/1), waiters…}
-- Its waiters leave, and marks keep late copies of their requests out. A flight that they were in goes on for tenants
-- that share it, but what comes of it is not stored (x). One that nobody waits in any more stays until the worker that
-- holds its call has noticed: so the one who asks sees when the call is gone.
-- ARGV: tenant, until when they asked (ms), keep_ms, only count (0/1), ended flights…
local tenant, until_ms, keep_ms, only_count = unpack(ARGV)
until_ms = tonumber(until_ms)
local counts, told = {0, 0, 0}, {}

local function concerns(record)
  local read, fields = pcall(cmsgpack.unpack, record)
  -- What cannot be read, or names nobody, is kept for nobody.
  if not read or type(fields) ~= 'table' or not fields.tenant then return true end
  return fields.tenant == tenant and (fields.since_ms or 0) <= until_ms
end

-- The waiters of the tenant in a flight, each with its field; how many others there are.
local function theirs(key)
  local fields, found, others = redis.call('HGETALL', key), {}, 0
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'w:' then
      if concerns(fields[i + 1]) then
        found[#found + 1] = {fields[i], fields[i + 1]}
      else
        others = others + 1
      end
    end
  end
  return found, others
end

local function take_out(key, found)
  for _, one in ipairs(found) do
    redis.call('HDEL', key, one[1])
    redis.call('SET', id_key(string.match(one[1], '^w:([^\n]*)')), 'cancelled', 'PX', keep_ms)
  end
end

local answer = redis.call('GET', ANSWER)
if answer and concerns(answer) then
  counts[1] = 1
  if only_count ~= '1' then redis.call('DEL', ANSWER) end
end

for i = 5, #ARGV do
  local done = done_key(ARGV[i])
  local found, others = theirs(done)
  local blob = redis.call('HGET', done, 'blob')
  if #found > 0 or (others == 0 and blob and concerns(blob)) then
    counts[2] = counts[2] + 1
    if only_count ~= '1' then
      take_out(done, found)
      if others == 0 then redis.call('DEL', done) end
    end
  end
end

local found = theirs(FLIGHT)
counts[3] = #found
if only_count ~= '1' and #found > 0 then
  take_out(FLIGHT, found)
  redis.call('HSET', FLIGHT, 'x', '1')
  for _, one in ipairs(found) do told[#told + 1] = one[2] end
end
local alone = redis.call('HGET', FLIGHT, 'x') and #waiters(FLIGHT) == 0
return {counts[1], counts[2], counts[3], alone and 1 or 0, unpack(told)}
