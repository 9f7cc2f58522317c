-- Calls whose requests have been written reach the backend, though they still run: {arrived, how many are held here}
-- ARGV: reservation, how many ms ago it was written, …
local arrived = 0
for i = 1, #ARGV, 2 do
  local packed = redis.call('HGET', RESERVED, ARGV[i])
  if packed then
    local parts = cmsgpack.unpack(packed)
    for _, part in ipairs(parts) do
      if part[SLOT] == 0 then
        fly(part, -part[AMOUNT])
        place(part, now - tonumber(ARGV[i + 1]) + part[MARGIN_MS])
        use(part, part[AMOUNT])
      end
    end
    redis.call('HSET', RESERVED, ARGV[i], cmsgpack.pack(parts))
    arrived = arrived + 1
  end
end
return {'arrived', arrived}
