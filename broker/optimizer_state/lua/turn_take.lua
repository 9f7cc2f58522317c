-- A request asks for its turn, again and again:
--   {go} | {superseded} | {wait, place, how many are before it[, fingerprint, waiter]}
-- With fingerprint and waiter of the one that has the turn: it is older than this one, which supersedes it unless its
-- call has begun.
-- ARGV: name, after, deadline, supersede (0/1), fingerprint, waiter, place that it was told before (0: none)
local name, after, deadline, supersede, fingerprint, waiter, place = unpack(ARGV)

-- A user supersedes requests of its own: the reply queues of a user have all but their last word in common.
local function owner_of(each) return string.match(each, '\n(.*)%.[^.]*$') end
local function is_own(other) return owner_of(other) == owner_of(name) end

-- Somebody who waits already, and a server that knows nothing of it: the others and the worker that has the turn are to
-- have the time to say so.
if place ~= '0' and redis.call('EXISTS', TURN) == 0 then redis.call('HSET', TURN, 'g', now + LOSS_MS) end

-- All that a request comes after and that has not begun is superseded; what has not arrived, as soon as it does.
local function doom(older)
  for _ = 1, MOST_STEPS do
    if older == '' or older == HOLDER then return end
    if in_line(older) then
      local further = redis.call('HGET', entry_key(older), 'a') or ''
      step_out(older, 's')
      older = further
    else
      local kind, further = mark_of(older)
      if not kind then set_mark(older, 'd', '') end
      if not kind or kind == 'd' then return end
      older = further
    end
  end
end

-- Whether a request comes after this one, by way of others; `known` keeps what was found on the way.
local function is_newer(other, known)
  local way, found = {}, nil
  while found == nil do
    way[#way + 1], known[other] = other, false
    other = comes_after(other)
    if known[other] ~= nil then found = known[other] elseif other == '' or not in_line(other) then found = false end
  end
  for _, each in ipairs(way) do known[each] = found end
  return found
end

local function supersede_older()
  doom(redis.call('HGET', entry_key(name), 'a') or '')
  local known, older = {[name] = true}, {}
  for _, other in ipairs(redis.call('ZRANGE', LINE, '-inf', '(' .. in_line(name), 'BYSCORE')) do
    if known[other] == nil then is_newer(other, known) end
    if not known[other] and is_own(other) then older[#older + 1] = other end
  end
  for _, other in ipairs(older) do step_out(other, 's') end
end

local function first_free()
  local from = 0
  while true do
    local names = redis.call('ZRANGE', LINE, from, from + 15)
    if #names == 0 then return nil end
    for _, each in ipairs(names) do
      local until_ms = redis.call('HGET', entry_key(each), 'd')
      if not until_ms then
        redis.call('ZREM', LINE, each)
      elseif tonumber(until_ms) < now then
        step_out(each, 'e')
      elseif is_free(each) then
        return each
      else
        from = from + 1
      end
    end
  end
end

local function line_up()
  local newest = redis.call('ZRANGE', LINE, -1, -1, 'WITHSCORES')
  local score = clock[1] * 1000000 + clock[2]
  if place ~= '0' then score = tonumber(place) elseif newest[2] then score = math.max(score, newest[2] + 1) end
  redis.call('ZADD', LINE, string.format('%.0f', score), name)
  redis.call('HSET', entry_key(name), 'd', deadline, 'a', after, 's', now, 'f', fingerprint, 'w', waiter)
  redis.call('PEXPIREAT', entry_key(name), deadline + AFTERWARDS_MS)
  keep_until(deadline)
end

if HOLDER == name then return {'go'} end
local kind = mark_of(name)
if kind == 's' then return {'superseded'} end
if kind == 'd' then
  set_mark(name, 's', after)
  doom(after)
  return {'superseded'}
end

if not in_line(name) then
  line_up()
  if supersede == '1' then supersede_older() end
end

local closed = tonumber(redis.call('HGET', TURN, 'g') or 0) > now
if not HOLDER and not closed and is_free(name) and first_free() == name then
  redis.call('HSET', TURN, 'h', name, 'u', deadline + GRACE_MS, 'p', in_line(name))
  redis.call('ZREM', LINE, name)
  return {'go'}
end

local mine = in_line(name)
if not mine then return {'wait', '0', 0} end
local before = redis.call('ZRANK', LINE, name)
if not HOLDER then return {'wait', mine, before} end
if supersede == '1' and is_own(HOLDER) and tonumber(redis.call('HGET', TURN, 'p')) < tonumber(mine) then
  local entry = redis.call('HMGET', entry_key(HOLDER), 'f', 'w')
  if entry[1] then return {'wait', mine, before + 1, entry[1], entry[2]} end
end
return {'wait', mine, before + 1}
